//! What can be wrong with a configuration, in one line each.

use std::fmt;

/// A configuration that skyring refuses. It prints as one line that names the knob, what is wrong
/// with it and what to write instead.
///
/// ```
/// use skyring::config::Config;
///
/// let error = Config::from_pairs([("SKYRING_SPIN", "fast")]).unwrap_err();
/// assert!(error.to_string().starts_with("SKYRING_SPIN=fast: not a duration"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No knob has this name.
    Unknown {
        /// The name as it was given.
        name: String,
        /// The knob that was probably meant.
        hint: Option<&'static str>,
    },
    /// The value does not read as what the knob holds.
    Unreadable {
        /// The knob.
        name: &'static str,
        /// The value as it was given.
        value: String,
        /// What is wrong with it and what to write.
        reason: String,
    },
    /// The value reads well but lies outside of the knob's range.
    OutOfRange {
        /// The knob.
        name: &'static str,
        /// The value, printed with its unit.
        value: String,
        /// The range, printed with its units.
        range: String,
    },
    /// Two values do not go together, or one does not go with this machine.
    Conflict {
        /// Both values, where they come from, and the way out.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, hint: Some(hint) } => {
                write!(f, "{}: no such knob; did you mean {hint}?", Shown(name))
            }
            Self::Unknown { name, hint: None } => {
                write!(f, "{}: no such knob; `skyring config` lists them", Shown(name))
            }
            Self::Unreadable { name, value, reason } if value.trim().is_empty() => {
                write!(f, "{name} is empty: {reason}")
            }
            Self::Unreadable { name, value, reason } => {
                write!(f, "{name}={}: {reason}", Shown(value))
            }
            Self::OutOfRange { name, value, range } => {
                write!(f, "{name}={}: out of range, which is {range}", Shown(value))
            }
            Self::Conflict { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Text from outside, cut short and escaped, so that a message stays one line.
struct Shown<'a>(&'a str);

/// Characters of a value that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(SHOWN_CHARS_MAX) {
            match c {
                '"' | '\'' | '\\' => write!(f, "{c}")?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        if self.0.chars().nth(SHOWN_CHARS_MAX).is_some() { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_whatever_was_given() {
        for value in ["a\nb", "\u{1b}[31m", &"9".repeat(100_000), "\u{2028}", "\0"] {
            let error = ConfigError::Unreadable {
                name: "SKYRING_SPIN",
                value: value.into(),
                reason: "not a duration".into(),
            };
            let line = error.to_string();
            assert!(line.len() < 200, "{line}");
            assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }

    #[test]
    fn a_hint_names_one_knob() {
        let hint = ConfigError::Unknown { name: "SKYRING_SPN".into(), hint: Some("SKYRING_SPIN") };
        assert_eq!(hint.to_string(), "SKYRING_SPN: no such knob; did you mean SKYRING_SPIN?");
        let none = ConfigError::Unknown { name: "SKYRING_X".into(), hint: None };
        assert_eq!(none.to_string(), "SKYRING_X: no such knob; `skyring config` lists them");
    }
}
