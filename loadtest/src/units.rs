//! Values as people type and read them: `10s`, `250ms`, `50k`, `64k`.

use std::time::Duration;

/// Parses `10s`, `250ms`, `40us`, `2m`; a bare number counts seconds.
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{text}` is no duration; write 10s, 250ms or 2m")),
    };
    let value: f64 =
        number.parse().map_err(|_| format!("`{text}` is no duration; write 10s, 250ms or 2m"))?;
    Duration::try_from_secs_f64(value * factor)
        .map_err(|_| format!("`{text}` is out of range for a duration"))
}

/// Parses a count with an optional `k` (1,000) or `m` (1,000,000).
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let value = scaled(text, 1e3).ok_or(format!("`{text}` is no count; write 500, 50k or 1.5m"))?;
    if value.fract() == 0.0 {
        Ok(value as u64)
    } else {
        Err(format!("`{text}` is no whole number"))
    }
}

/// Parses a number of bytes with an optional `k` (1,024) or `m` (1,048,576).
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let value = scaled(text, 1024.0).ok_or(format!("`{text}` is no size; write 64, 16k or 1m"))?;
    if value.fract() == 0.0 {
        Ok(value as usize)
    } else {
        Err(format!("`{text}` is no whole number"))
    }
}

/// Parses a rate per second, fractions allowed: `0.5`, `50k`.
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match scaled(text.trim_end_matches("/s"), 1e3) {
        Some(value) if value > 0.0 && value <= 1e8 => Ok(value),
        Some(_) => Err(format!("`{text}`: a rate lies above 0 and up to 100 million a second")),
        None => Err(format!("`{text}` is no rate; write 500, 50k or max")),
    }
}

/// A time for reading: three significant digits and a unit.
pub fn show_ns(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", digits(value / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", digits(value / 1e6)),
        _ => format!("{} s", digits(value / 1e9)),
    }
}

/// A whole number with commas between the thousands.
pub fn show_count(count: u64) -> String {
    let plain = count.to_string();
    let mut shown = String::with_capacity(plain.len() + plain.len() / 3);
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A rate for reading: whole above 100, else with fractions.
pub fn show_rate(rate: f64) -> String {
    if rate >= 100.0 { show_count(rate.round() as u64) } else { format!("{rate:.2}") }
}

fn digits(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

fn scaled(text: &str, thousand: f64) -> Option<f64> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" => 1.0,
        "k" | "K" => thousand,
        "m" | "M" => thousand * thousand,
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * factor;
    (value.is_finite() && value >= 0.0).then_some(value)
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("ten").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn counts_bytes_and_rates_take_units() {
        assert_eq!(parse_count("50k"), Ok(50_000));
        assert_eq!(parse_bytes("16k"), Ok(16_384));
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        assert_eq!(parse_rate("20k/s"), Ok(20_000.0));
        assert!(parse_rate("0").is_err());
        assert!(parse_count("1.5").is_err());
        assert!(parse_bytes("6z").is_err());
    }

    #[test]
    fn times_and_counts_are_shown_for_reading() {
        assert_eq!(show_ns(999), "999 ns");
        assert_eq!(show_ns(1_234), "1.23 us");
        assert_eq!(show_ns(470_600_000), "471 ms");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_count(100), "100");
    }
}
