//! What a row of the table can do: read a value, check it, print it, describe its range.

use super::error::ConfigError;
use super::table::Row;
use super::value::{Kind, NETWORKS_MAX, Profile, Value};

impl Row {
    /// Reads a value and checks it against the range.
    pub(crate) fn read(&'static self, text: &str) -> Result<Value, ConfigError> {
        let word = text.trim().to_ascii_lowercase();
        let value = match self.zero {
            Some(zero) if word == zero => Value::Number(0),
            _ => self.kind.read(text).map_err(|reason| self.unreadable(text, reason))?,
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Checks a value that was set by the program or has just been read.
    pub(crate) fn check(&'static self, value: &Value) -> Result<(), ConfigError> {
        let fits = match value {
            Value::Number(0) if self.zero.is_some() => true,
            Value::Number(n) => self.fits(*n),
            Value::Cores(cores) => {
                return cores.check().map_err(|reason| self.unreadable(&self.print(value), reason));
            }
            Value::Share(super::Share::Percent(percent)) => *percent <= 100,
            Value::Networks(networks) => networks.len() <= NETWORKS_MAX,
            Value::Share(_)
            | Value::Switch(_)
            | Value::Path(_)
            | Value::Level(_)
            | Value::Profile(_) => true,
        };
        if fits {
            return Ok(());
        }
        let (name, value, range) = (self.name.as_str(), self.print(value), self.range_text());
        Err(ConfigError::OutOfRange { name, value, range })
    }

    fn fits(&self, n: u64) -> bool {
        let in_range = self.range.is_none_or(|(low, high)| (low..=high).contains(&n));
        in_range && (self.kind != Kind::Power || n.is_power_of_two())
    }

    fn unreadable(&'static self, value: &str, mut reason: String) -> ConfigError {
        if let Some(zero) = self.zero {
            reason.push_str(&format!(", or {zero}"));
        }
        ConfigError::Unreadable { name: &self.name, value: value.to_owned(), reason }
    }

    /// Prints a value with its unit, so that it reads back as the same.
    pub(crate) fn print(&self, value: &Value) -> String {
        match (value, self.zero) {
            (Value::Number(0), Some(zero)) => zero.to_owned(),
            _ => self.kind.print(value),
        }
    }

    /// What the knob may be, in words.
    pub(crate) fn range_text(&self) -> String {
        let mut text = match (self.kind, self.range) {
            (_, Some((low, high))) => {
                let print = |n| self.kind.print(&Value::Number(n));
                let unit = match self.kind {
                    // Bytes and durations carry their units themselves.
                    Kind::Count | Kind::Power => format!(" {}", self.unit),
                    _ => String::new(),
                };
                format!("{} to {}{unit}", print(low), print(high))
            }
            (Kind::Switch, _) => "on, off".into(),
            (Kind::Cores, _) => "auto, 1 to 1024, or a list as 0,2-3".into(),
            (Kind::Share, _) => "0% to 100%, or a number of blocks".into(),
            (Kind::Networks, _) => {
                format!("none, or up to {NETWORKS_MAX} networks as 10.0.0.0/8,::1")
            }
            (Kind::Path, _) => "none, or the path of a file".into(),
            (Kind::Level, _) => super::level::names(),
            (Kind::Profile, _) => Profile::ALL.map(Profile::name).join(", "),
            (Kind::Count | Kind::Power | Kind::Bytes | Kind::Time, None) => "any".into(),
        };
        if self.kind == Kind::Power {
            text.push_str(", a power of two");
        }
        if let Some(zero) = self.zero {
            text.push_str(&format!(", or {zero}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::rows;
    use super::*;

    #[test]
    fn every_entry_of_the_table_reads_and_is_described() {
        let mut names = std::collections::BTreeSet::new();
        for (index, row) in rows().iter().enumerate() {
            assert_eq!(row.knob as usize, index);
            assert!(names.insert(&row.name), "{} stands twice", row.name);
            assert!(row.meaning.ends_with('.') && row.when.ends_with('.'), "{}", row.name);
            assert!(!row.meaning.contains("  "), "{}: {}", row.name, row.meaning);
            row.check(&row.default).unwrap();
            assert_eq!(row.read(&row.print(&row.default)).unwrap(), row.default);
            let ranged = matches!(row.kind, Kind::Count | Kind::Power | Kind::Bytes | Kind::Time);
            assert_eq!(row.range.is_some(), ranged, "{}", row.name);
        }
    }

    #[test]
    fn the_last_allowed_values_pass_and_the_next_ones_are_refused() {
        for row in rows() {
            let Some((low, high)) = row.range else { continue };
            let unit = if row.kind == Kind::Time { "ns" } else { "" };
            let read = |n: u64| row.read(&format!("{n}{unit}"));
            assert_eq!(read(low).unwrap(), Value::Number(low), "{}", row.name);
            assert_eq!(read(high).unwrap(), Value::Number(high), "{}", row.name);
            let below = low.checked_sub(1).filter(|&n| n > 0 || row.zero.is_none());
            for n in below.into_iter().chain([high + 1, u64::MAX]) {
                let error = read(n).unwrap_err();
                assert!(matches!(error, ConfigError::OutOfRange { .. }), "{n}: {error}");
                let line = error.to_string();
                assert!(line.contains(&row.name) && line.contains(" to "), "{line}");
            }
            assert_eq!(read(0).is_ok(), low == 0 || row.zero.is_some(), "{}", row.name);
        }
    }

    #[test]
    fn the_word_for_zero_reads_and_prints() {
        for row in rows() {
            let Some(zero) = row.zero else { continue };
            assert_eq!(row.read(&zero.to_uppercase()).unwrap(), Value::Number(0));
            assert_eq!(row.print(&Value::Number(0)), zero);
            assert!(row.range_text().ends_with(&format!("or {zero}")));
        }
    }

    #[test]
    fn a_power_of_two_is_what_it_says() {
        let row = rows().iter().find(|row| row.kind == Kind::Power).unwrap();
        for n in ["3", "255", "257"] {
            let line = row.read(n).unwrap_err().to_string();
            assert!(line.ends_with("2 to 32768 blocks, a power of two"), "{line}");
        }
    }
}
