//! The time of day as people read it. No clock here: the time is an argument.

use std::fmt;
use std::time::Duration;

/// A moment, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    millis: u64,
}

const DAY_S: u64 = 24 * 3600;

impl Stamp {
    /// The moment so long after 1970-01-01 00:00:00 UTC; [`unix_time`](crate::unix_time) gives that.
    pub fn new(unix_time: Duration) -> Stamp {
        Stamp { millis: unix_time.as_secs() * 1000 + u64::from(unix_time.subsec_millis()) }
    }

    /// `HH:MM:SS`.
    pub fn time(self) -> String {
        let (hour, minute, second) = self.time_of_day();
        format!("{hour:02}:{minute:02}:{second:02}")
    }

    fn time_of_day(self) -> (u64, u64, u64) {
        let second = self.millis / 1000 % DAY_S;
        (second / 3600, second / 60 % 60, second % 60)
    }

    /// Year, month and day. Years begin with March here, so that the day that is sometimes there
    /// is a year's last, and the months before it have lengths that one line counts.
    fn date(self) -> (u64, u64, u64) {
        /// Days of 400 years, after which the calendar repeats.
        const ERA: u64 = 146_097;
        // From the first of March of the year 0.
        let days = self.millis / 1000 / DAY_S + 719_468;
        let (era, day) = (days / ERA, days % ERA);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + next_year, month, day)
    }
}

/// As RFC 3339 has it, to the millisecond: `2026-01-31T23:59:59.001Z`.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let millis = self.millis % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{}.{millis:03}Z", self.time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(unix_s: u64) -> String {
        Stamp::new(Duration::from_secs(unix_s)).to_string()
    }

    #[test]
    fn known_moments_are_shown() {
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_399), "2000-02-28T23:59:59.000Z");
        assert_eq!(shown(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(shown(951_868_800), "2000-03-01T00:00:00.000Z");
        assert_eq!(shown(1_767_225_599), "2025-12-31T23:59:59.000Z");
        assert_eq!(shown(1_767_225_600), "2026-01-01T00:00:00.000Z");
        assert_eq!(shown(4_107_542_399), "2100-02-28T23:59:59.000Z");
        assert_eq!(shown(4_107_542_400), "2100-03-01T00:00:00.000Z", "no leap year");
        let stamp = Stamp::new(Duration::from_millis(3_723_004));
        assert_eq!((stamp.time().as_str(), stamp.millis), ("01:02:03", 3_723_004));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let lengths = |year: u64| {
            let every = |years| year.is_multiple_of(years);
            let leap = every(4) && (!every(100) || every(400));
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut expected = (1970, 1, 1);
        for day in 0..200_000 {
            assert_eq!(Stamp::new(Duration::from_secs(day * DAY_S)).date(), expected);
            let (year, month, day) = &mut expected;
            *day += 1;
            if *day > lengths(*year)[*month as usize - 1] {
                (*day, *month) = (1, *month + 1);
            }
            if *month > 12 {
                (*month, *year) = (1, *year + 1);
            }
        }
    }
}
