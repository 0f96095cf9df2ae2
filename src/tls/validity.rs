//! Until when a certificate is valid: read from its DER, as far as that goes (RFC 5280, 4.1).

use std::ops::Range;
use std::time::Duration;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate is valid, in seconds since 1970; `None` when that cannot be read.
pub(super) fn validity(certificate: &[u8]) -> Option<Range<u64>> {
    let (_, certificate, _) = element(certificate, SEQUENCE)?;
    let (_, body, _) = element(certificate, SEQUENCE)?;
    let behind_version = element(body, VERSION).map_or(body, |(_, _, behind)| behind);
    let (_, _, behind) = element(behind_version, INTEGER)?; // the serial number
    let (_, _, behind) = element(behind, SEQUENCE)?; // the signature's algorithm
    let (_, _, behind) = element(behind, SEQUENCE)?; // the issuer
    let (_, validity, _) = element(behind, SEQUENCE)?;
    let (from, behind) = time(validity)?;
    let (until, _) = time(behind)?;
    Some(from..until)
}

/// What is wrong with a certificate now, in words, if anything is.
pub(super) fn complaint(certificate: &[u8], now: Duration) -> Option<String> {
    const DAY: u64 = 24 * 60 * 60;
    const SOON: u64 = 7 * DAY;
    let now = now.as_secs();
    let Range { start, end } = validity(certificate)?;
    if now > end {
        return Some(format!("it has expired {} days ago", (now - end).div_ceil(DAY)));
    }
    if now < start {
        return Some(format!("it is valid in {} days only", (start - now).div_ceil(DAY)));
    }
    (end - now < SOON).then(|| format!("it expires in {} days", (end - now) / DAY))
}

/// The element of this kind at the front of DER: its tag, its content, and what is behind.
fn element(der: &[u8], expected: u8) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag != expected {
        return None;
    }
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (len, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(len)?;
    Some((tag, content, behind))
}

/// A time, and what is behind it: `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(der: &[u8]) -> Option<(u64, &[u8])> {
    let utc = element(der, UTC_TIME);
    let (tag, text, behind) = utc.or_else(|| element(der, GENERALIZED_TIME))?;
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: Range<usize>| -> Option<u64> {
        let digits = digits.get(range)?;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let (year, at) = match tag {
        // Two digits are of 1950 to 2049 (RFC 5280, 4.1.2.5.1).
        UTC_TIME => (number(0..2)? + if number(0..2)? < 50 { 2000 } else { 1900 }, 2),
        _ => (number(0..4)?, 4),
    };
    let (month, day) = (number(at..at + 2)?, number(at + 2..at + 4)?);
    let clock = number(at + 4..at + 6)? * 3600 + number(at + 6..at + 8)? * 60;
    let seconds = clock + number(at + 8..at + 10)?;
    if digits.len() != at + 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some((days(year, month, day)? * 86_400 + seconds, behind))
}

/// Days from 1970-01-01 to a date; `None` before.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // The year begins with March, so that the day of a leap year is its last.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    (year * 365 + leaps + (month * 153 + 2) / 5 + day - 1).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn a_certificate_says_when_it_is_valid() {
        let der = certificate((1975, 1, 1), (2026, 11, 28));
        assert_eq!(validity(&der), Some(157_766_400..1_795_824_000));
        let der = certificate((2000, 2, 29), (2096, 3, 1));
        assert_eq!(validity(&der), Some(951_782_400..3_981_398_400));
    }

    #[test]
    fn what_is_wrong_with_a_date_is_said() {
        let der = certificate((2020, 1, 1), (2026, 11, 28));
        let at = |seconds: u64| complaint(&der, Duration::from_secs(seconds));
        assert_eq!(at(1_795_824_000 - 30 * 86_400), None);
        assert_eq!(at(1_795_824_000 - 2 * 86_400).as_deref(), Some("it expires in 2 days"));
        assert_eq!(at(1_795_824_001).as_deref(), Some("it has expired 1 days ago"));
        assert_eq!(at(1_577_836_799).as_deref(), Some("it is valid in 1 days only"));
    }

    #[test]
    fn a_cut_or_changed_certificate_is_no_panic() {
        let der = certificate((2020, 1, 1), (2026, 11, 28));
        for at in 0..der.len() {
            let _ = validity(&der[..at]);
            let mut changed = der.clone();
            changed[at] ^= 0x55;
            let _ = validity(&changed);
        }
    }
}
