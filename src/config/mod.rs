//! Configuration: one table of knobs, and the values that five sources give them.
//!
//! A value comes from the table's default, a [`Profile`], the program (the setters of
//! [`Config`]), the environment (`SKYRING_SPIN=50us`) or the command line ([`Config::set`]); the
//! later in this list wins, whatever the order of the calls, and each value keeps its [`Source`].
//! docs/TUNING.md describes every knob; it is made from the same table.
//!
//! ```
//! use std::time::Duration;
//! use skyring::config::{Config, Source};
//!
//! let config = Config::new()
//!     .cores(2)                                   // a count; `[0, 1]` would be a list
//!     .spin(Duration::from_micros(50))
//!     .set("spin", "1ms")?                        // from the command line, so it wins
//!     .pool_blocks(512);
//! let spin = config.entries().find(|entry| entry.name == "SKYRING_SPIN").unwrap();
//! assert_eq!((spin.value.as_str(), spin.source), ("1ms", Source::CommandLine));
//! # Ok::<(), skyring::config::ConfigError>(())
//! ```
//!
//! Nothing else in the library reads the environment.

mod cores;
mod error;
mod host;
mod level;
mod names;
mod page;
mod row;
mod settings;
mod table;
mod take;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

pub use cores::Cores;
pub use error::ConfigError;
pub use host::{Host, Limit, raise_descriptors};
pub use page::tuning_page;
pub use settings::Grant;
pub use table::Settings;
pub use value::{Profile, Share};

use table::{Knob, Row, profile_value, row, rows};
use value::Value;

/// Where a value comes from; a later source wins over an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// The table.
    Default,
    /// The set of defaults that `SKYRING_PROFILE` names.
    Profile,
    /// The program, by a setter of [`Config`].
    Builder,
    /// A variable of the environment.
    Environment,
    /// `--set` of a command line.
    CommandLine,
}

impl Source {
    /// The source in a word or two, as `skyring config` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Profile => "profile",
            Self::Builder => "program",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The knobs of an engine: what was asked for, by whom. [`resolve`](Self::resolve) makes the
/// [`Settings`] that the engine runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Values that somebody gave. Sources sort as they win.
    given: BTreeMap<(Knob, Source), Value>,
}

/// One knob with its effective value, as `skyring config` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name in the environment, `SKYRING_SPIN`.
    pub name: &'static str,
    /// The heading that it stands under in the documentation.
    pub group: &'static str,
    /// The value with its unit, as it could be set: `50us`.
    pub value: String,
    /// The value of a count, of bytes, or of a duration in nanoseconds; `None` for other kinds.
    pub number: Option<u64>,
    /// The table's default, written as the value.
    pub default: String,
    /// Where the value comes from.
    pub source: Source,
    /// What it counts: `bytes`, `duration`, `blocks`.
    pub unit: &'static str,
    /// What it may be: `1us to 10s, or off`.
    pub range: String,
    /// What it does.
    pub meaning: &'static str,
    /// When to change it.
    pub when: &'static str,
}

impl Config {
    /// The defaults, without a look at the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// The defaults and what the environment says.
    ///
    /// # Errors
    /// A value that does not read or is out of range, and a name that looks like ours but is
    /// none, the alphabetically first of them.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::new().with_env()
    }

    /// The defaults and what these variables say, as [`from_env`](Self::from_env) would: names
    /// of other programs are passed over, and the last of two equal names counts.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    ///
    /// ```
    /// use skyring::config::Config;
    ///
    /// let error = Config::from_pairs([("SKYRNG_IDLE", "30s")]).unwrap_err();
    /// assert_eq!(error.to_string(), "SKYRNG_IDLE: no such knob; did you mean SKYRING_IDLE?");
    /// ```
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, ConfigError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut config = Self::new();
        for (name, value) in pairs {
            config = config.with_variable(name.as_ref(), value.as_ref())?;
        }
        Ok(config)
    }

    /// Adds what the environment says. It wins over the program's values wherever this call
    /// stands among the setters.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn with_env(mut self) -> Result<Self, ConfigError> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let mut variables: Vec<_> = std::env::vars_os().map(|(n, v)| (text(n), text(v))).collect();
        variables.sort_unstable();
        for (name, value) in variables {
            self = self.with_variable(&name, &value)?;
        }
        Ok(self)
    }

    /// Sets a knob from the command line, which wins over every other source. The name is the
    /// variable's, or the short one: `SKYRING_RING_ENTRIES`, `ring_entries`, `ring-entries`.
    ///
    /// # Errors
    /// No knob has this name, or the value does not read or is out of range.
    pub fn set(self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let row = names::find(name)?;
        Ok(self.with(row.knob, Source::CommandLine, row.read(value)?))
    }

    /// Every knob with its effective value, in the order of the documentation.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        rows().iter().map(|row| self.entry(row))
    }

    fn entry(&self, row: &'static Row) -> Entry {
        let (value, source) = self.value(row.knob);
        Entry {
            name: &row.name,
            group: row.group,
            value: row.print(value),
            number: match value {
                Value::Number(n) => Some(*n),
                _ => None,
            },
            default: row.print(&row.default),
            source,
            unit: row.unit,
            range: row.range_text(),
            meaning: &row.meaning,
            when: row.when,
        }
    }

    fn with_variable(self, name: &str, value: &str) -> Result<Self, ConfigError> {
        match names::find_variable(name, value)? {
            None => Ok(self),
            Some(row) => Ok(self.with(row.knob, Source::Environment, row.read(value)?)),
        }
    }

    fn with(mut self, knob: Knob, source: Source, value: Value) -> Self {
        self.given.insert((knob, source), value);
        self
    }

    /// The effective value of a knob, and its source.
    fn value(&self, knob: Knob) -> (&Value, Source) {
        let sources = (knob, Source::Default)..=(knob, Source::CommandLine);
        if let Some(((_, source), value)) = self.given.range(sources).next_back() {
            return (value, *source);
        }
        let of_profile = match knob {
            Knob::profile => None,
            knob => profile_value(self.chosen_profile(), knob),
        };
        match of_profile {
            Some(value) => (value, Source::Profile),
            None => (&row(knob).default, Source::Default),
        }
    }

    fn chosen_profile(&self) -> Profile {
        match self.value(Knob::profile).0 {
            Value::Profile(profile) => *profile,
            other => unreachable!("a profile, not {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
