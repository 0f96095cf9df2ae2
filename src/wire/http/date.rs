//! Dates in heads (RFC 9110, 5.6.7): seconds since 1970 to text and back.

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY: u64 = 24 * 60 * 60;
/// The last second of the year 9999: four digits say no more.
const LAST: u64 = 253_402_300_799;

/// Writes a moment, in seconds since 1970, as heads have it. The year 9999 does not end.
///
/// ```
/// assert_eq!(&skyring::wire::http::write_date(784111777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
pub fn write_date(unix_seconds: u64) -> [u8; 29] {
    let seconds = unix_seconds.min(LAST);
    let (days, second) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    two(&mut text[5..], day);
    text[8..11].copy_from_slice(MONTHS[(month - 1) as usize]);
    two(&mut text[12..], year / 100);
    two(&mut text[14..], year % 100);
    two(&mut text[17..], second / 3600);
    two(&mut text[20..], second / 60 % 60);
    two(&mut text[23..], second % 60);
    text
}

fn two(text: &mut [u8], number: u64) {
    text[0] = b'0' + (number / 10) as u8;
    text[1] = b'0' + (number % 10) as u8;
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

/// Reads a date in any of the three forms that there are, as seconds since 1970. `None` for what is
/// no date, and for those before 1970.
///
/// ```
/// use skyring::wire::http::parse_date;
/// assert_eq!(parse_date(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(784111777));
/// assert_eq!(parse_date(b"yesterday"), None);
/// ```
pub fn parse_date(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(['-', ' ']).filter(|word| !word.is_empty());
    let first = words.next()?;
    let (day, month, year, time);
    if first.ends_with(',') {
        (day, month) = (words.next()?, words.next()?);
        year = words.next()?;
        time = words.next()?;
        if words.next()? != "GMT" {
            return None;
        }
    } else {
        (month, day) = (words.next()?, words.next()?);
        time = words.next()?;
        year = words.next()?;
    }
    if words.next().is_some() {
        return None;
    }
    let month = 1 + MONTHS.iter().position(|name| month.as_bytes() == *name)? as u64;
    let year = match year.len() {
        4 => number(year)?,
        // RFC 850 has two digits: the century that is nearest to this one.
        2 => number(year).map(|year| if year < 70 { 2000 + year } else { 1900 + year })?,
        _ => return None,
    };
    let mut parts = time.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let day = number(day).filter(|day| (1..=31).contains(day))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    Some(days_since_1970(year, month, day)? * DAY + hour * 3600 + minute * 60 + second)
}

fn number(text: &str) -> Option<u64> {
    let is_plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let seconds = (0..LAST).step_by(86_399 * 997).chain([0, 951_782_400, 1_709_164_800, LAST]);
        for second in seconds {
            assert_eq!(parse_date(&write_date(second)), Some(second));
        }
        assert_eq!(write_date(u64::MAX), write_date(LAST));
        assert_eq!(&write_date(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn old_forms_are_read_and_nonsense_is_not() {
        assert_eq!(parse_date(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_date(b"Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        for bad in [
            "",
            "Sun,",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
        }
    }
}
