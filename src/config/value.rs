//! Values of knobs: how they read, what they may be, how they print.
//!
//! | kind | reads | prints |
//! |---|---|---|
//! | count | `1024` | `1024` |
//! | bytes | `65536`, `64k`, `64kib`, `1m`, `1g` (1024 each) | the largest unit that divides |
//! | time | `200us`, `5ms`, `10s`, `2min`, `1h`, `0` | the largest unit that divides |
//! | networks | `10.0.0.0/8,::1`, `none` | the same |
//! | path | `/etc/cert.pem`, `none` | the same |
//! | switch | `on`, `off`, `true`, `false`, `yes`, `no`, `1`, `0` | `on`, `off` |
//! | level | `off`, `error`, `warn`, `info`, `debug`, `trace` | the same |
//!
//! Letters may be large or small (but in paths), spaces around a value are dropped, fractions are refused: one
//! way to write an amount less to get wrong.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::cores::Cores;
use super::level;
use crate::network::Network;

/// What a knob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number of things.
    Count,
    /// A number of things that is a power of two.
    Power,
    /// An amount of memory, in bytes.
    Bytes,
    /// A span of time, in nanoseconds.
    Time,
    /// On or off.
    Switch,
    /// A choice of cores.
    Cores,
    /// A part of the pool's blocks.
    Share,
    /// Networks, between commas.
    Networks,
    /// A file.
    Path,
    /// How much a log says.
    Level,
    /// A set of defaults.
    Profile,
}

/// The value of a knob. What it counts is said by the knob's [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Switch(bool),
    Cores(Cores),
    Share(Share),
    Networks(Vec<Network>),
    /// Empty for none.
    Path(PathBuf),
    Level(LevelFilter),
    Profile(Profile),
}

/// A part of a whole number of things: in percent, or a number of them.
///
/// ```
/// use skyring::config::Share;
///
/// assert_eq!("50%".parse(), Ok(Share::Percent(50)));
/// assert_eq!(Share::Percent(50).of(256), 128);
/// assert_eq!(Share::Blocks(100).of(256), 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// 0 to 100 hundredths, rounded down to whole things.
    Percent(u32),
    /// So many.
    Blocks(u32),
}

impl Share {
    /// So many of `whole`.
    pub fn of(self, whole: u32) -> u32 {
        match self {
            Self::Percent(percent) => (u64::from(whole) * u64::from(percent) / 100) as u32,
            Self::Blocks(blocks) => blocks,
        }
    }
}

/// A set of defaults for one kind of use. Any knob that is set by itself wins over the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// The defaults as they stand in the table.
    #[default]
    Balanced,
    /// Cores of one's own that may burn: spin before sleeping, take turns in smaller portions.
    Latency,
    /// Large messages and many of them: more blocks, larger portions.
    Throughput,
    /// A machine shared with other programs: small rings and pools, reactors that may wander.
    Shared,
}

impl Profile {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Balanced, Self::Latency, Self::Throughput, Self::Shared];

    /// The name as it is written in `SKYRING_PROFILE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Shared => "shared",
        }
    }
}

impl Kind {
    /// Reads a value; the error says what to write instead.
    pub(crate) fn read(self, text: &str) -> Result<Value, String> {
        if self == Self::Path {
            return Ok(Value::Path(path(text.trim())));
        }
        let text = text.trim().to_ascii_lowercase();
        match self {
            Self::Count | Self::Power => number(&text, COUNT).map(Value::Number),
            Self::Bytes => number(&text, BYTES).map(Value::Number),
            Self::Time => number(&text, TIME).map(Value::Number),
            Self::Switch => switch(&text).map(Value::Switch),
            Self::Cores => text.parse().map(Value::Cores),
            Self::Share => text.parse().map(Value::Share),
            Self::Networks => networks(&text).map(Value::Networks),
            Self::Path => Ok(Value::Path(path(&text))),
            Self::Level => level::read(&text).map(Value::Level),
            Self::Profile => text.parse().map(Value::Profile),
        }
    }

    /// Prints a value so that it reads back as the same.
    pub(crate) fn print(self, value: &Value) -> String {
        match value {
            Value::Number(n) if self == Self::Bytes => in_units(*n, BYTES.units, ""),
            Value::Number(n) if self == Self::Time => in_units(*n, TIME.units, "s"),
            Value::Number(n) => n.to_string(),
            Value::Switch(on) => if *on { "on" } else { "off" }.to_owned(),
            Value::Cores(cores) => cores.to_string(),
            Value::Share(share) => share.to_string(),
            Value::Networks(networks) if networks.is_empty() => NOTHING.to_owned(),
            Value::Networks(networks) => {
                networks.iter().map(Network::to_string).collect::<Vec<_>>().join(",")
            }
            Value::Path(path) if path.as_os_str().is_empty() => NOTHING.to_owned(),
            Value::Path(path) => path.display().to_string(),
            Value::Level(level) => level.to_string(),
            Value::Profile(profile) => profile.to_string(),
        }
    }
}

/// How numbers of one kind are written: units from large to small, and what to say when one is not.
#[derive(Clone, Copy)]
struct Scale {
    units: &'static [(&'static str, u64)],
    what: &'static str,
    write: &'static str,
    /// Whether a number other than zero needs a unit.
    bare: bool,
}

const COUNT: Scale = Scale {
    units: &[("", 1)],
    what: "a count",
    write: "write a whole number without a unit, as 1024",
    bare: true,
};
const BYTES: Scale = Scale {
    units: &[("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10), ("", 1)],
    what: "an amount of bytes",
    write: "write a whole number, alone or with k, m or g, as 64k",
    bare: true,
};
const TIME: Scale = Scale {
    units: &[
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ],
    what: "a duration",
    write: "write a whole number and us, ms, s, min or h, as 50us or 10s",
    bare: false,
};

fn number(text: &str, scale: Scale) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" if scale.bare || number.bytes().all(|b| b == b'0') => Some(1),
        _ => {
            let short = unit.strip_suffix("ib").filter(|s| "kmg".contains(s)).unwrap_or(unit);
            let known = scale.units.iter().find(|(name, _)| *name == short && !short.is_empty());
            known.map(|(_, factor)| *factor)
        }
    };
    let (Some(factor), false) = (factor, number.is_empty()) else {
        return Err(format!("not {}; {}", scale.what, scale.write));
    };
    let number = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    number.ok_or_else(|| format!("too large for {}", scale.what))
}

fn in_units(n: u64, units: &[(&str, u64)], zero: &str) -> String {
    match units.iter().find(|(_, factor)| n != 0 && n.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", n / factor),
        None => format!("{n}{zero}"),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("not a switch; write on or off".into()),
    }
}

/// The word for an empty list, and for no file.
const NOTHING: &str = "none";
/// Networks of one list; each connection is compared with them.
pub(super) const NETWORKS_MAX: usize = 1000;

fn path(text: &str) -> PathBuf {
    if text.eq_ignore_ascii_case(NOTHING) { PathBuf::new() } else { PathBuf::from(text) }
}

fn networks(text: &str) -> Result<Vec<Network>, String> {
    if text.is_empty() || text == NOTHING {
        return Ok(Vec::new());
    }
    let read = |part: &str| part.parse::<Network>().map_err(|error| error.to_string());
    text.split(',').map(read).collect()
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse::<u32>().ok().filter(|_| digits);
        match number {
            Some(n) if percent && n > 100 => Err("more than 100%".into()),
            Some(n) if percent => Ok(Self::Percent(n)),
            Some(n) => Ok(Self::Blocks(n)),
            None => Err("not a share; write a part as 50%, or a number of blocks as 128".into()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Blocks(blocks) => write!(f, "{blocks}"),
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text.trim());
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("not a profile; there are {names}")
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! values {
    ($($from:ty => |$value:ident| $make:expr;)+) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $make
            }
        })+
    };
}

values! {
    u32 => |n| Self::Number(n.into());
    usize => |n| Self::Number(n as u64);
    bool => |on| Self::Switch(on);
    Cores => |cores| Self::Cores(cores);
    Share => |share| Self::Share(share);
    Vec<Network> => |networks| Self::Networks(networks);
    PathBuf => |path| Self::Path(path);
    LevelFilter => |level| Self::Level(level);
    Profile => |profile| Self::Profile(profile);
    // Nanoseconds in 64 bits last for 584 years; every range ends long before.
    Duration => |span| Self::Number(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, text: &str) -> Result<u64, String> {
        match kind.read(text)? {
            Value::Number(n) => Ok(n),
            other => panic!("{other:?} is not a number"),
        }
    }

    #[test]
    fn every_unit_reads_in_any_case_and_with_spaces_around() {
        let cases = [
            (Kind::Count, "7", 7),
            (Kind::Count, " 007 ", 7),
            (Kind::Power, "64", 64),
            (Kind::Bytes, "0", 0),
            (Kind::Bytes, "100", 100),
            (Kind::Bytes, "64k", 65_536),
            (Kind::Bytes, "64K", 65_536),
            (Kind::Bytes, "64KiB", 65_536),
            (Kind::Bytes, "2m", 2 << 20),
            (Kind::Bytes, "2mib", 2 << 20),
            (Kind::Bytes, "\t1G\n", 1 << 30),
            (Kind::Bytes, "18446744073709551615", u64::MAX),
            (Kind::Time, "0", 0),
            (Kind::Time, "0s", 0),
            (Kind::Time, "7ns", 7),
            (Kind::Time, "200us", 200_000),
            (Kind::Time, "5ms", 5_000_000),
            (Kind::Time, "10S", 10_000_000_000),
            (Kind::Time, "2min", 120_000_000_000),
            (Kind::Time, "1h", 3_600_000_000_000),
        ];
        for (kind, text, number) in cases {
            assert_eq!(read(kind, text), Ok(number), "{kind:?} {text}");
        }
    }

    #[test]
    fn what_is_not_a_whole_number_with_its_unit_is_refused() {
        let cases = [
            (Kind::Count, ["", " ", "k", "-1", "+1", "1.5", "1_000", "4k", "1e3", "0x10", "1 0"]),
            (Kind::Bytes, ["", "k", "-1", "+1k", "1.5m", "64 k", "64kb", "1t", "ib", "1ib", "1kk"]),
            (
                Kind::Time,
                ["", "s", "-1s", "1.5s", "5", "5 ms", "5m", "1d", "1sec", "1ssib", "9sib"],
            ),
        ];
        for (kind, texts) in cases {
            for text in texts {
                let error = read(kind, text).unwrap_err();
                assert!(error.starts_with("not a") && error.contains("write"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn what_overflows_is_refused() {
        for text in ["18446744073709551616", "17179869184g", "999999999999999999999k"] {
            assert_eq!(read(Kind::Bytes, text), Err("too large for an amount of bytes".into()));
        }
        assert_eq!(read(Kind::Time, "99999999999h"), Err("too large for a duration".into()));
    }

    #[test]
    fn switches_levels_and_shares_read_as_people_write_them() {
        for (text, on) in [("on", true), ("TRUE", true), ("yes", true), ("1", true), ("Off", false)]
        {
            assert_eq!(Kind::Switch.read(text), Ok(Value::Switch(on)));
        }
        for text in ["", "2", "enabled", "o n"] {
            assert!(Kind::Switch.read(text).unwrap_err().contains("on or off"), "{text}");
        }
        assert_eq!(Kind::Level.read(" Debug "), Ok(Value::Level(LevelFilter::DEBUG)));
        for text in ["", "5", "warning", "warn,info"] {
            assert!(Kind::Level.read(text).unwrap_err().contains("off, error, warn"), "{text}");
        }
        assert_eq!(Kind::Share.read("100%"), Ok(Value::Share(Share::Percent(100))));
        assert_eq!(Kind::Share.read("0"), Ok(Value::Share(Share::Blocks(0))));
        for text in ["101%", "", "%", "-1", "+5%", "5 %", "5%%", "half", "4294967296"] {
            assert!(Kind::Share.read(text).is_err(), "{text}");
        }
        assert_eq!(Share::Percent(50).of(3), 1);
        assert_eq!(Share::Percent(100).of(u32::MAX), u32::MAX);
    }

    #[test]
    fn what_is_printed_reads_back() {
        let cases = [
            (Kind::Count, vec!["0", "1", "1000000"]),
            (Kind::Bytes, vec!["0", "1", "1023", "1k", "1025", "64k", "1m", "1g"]),
            (Kind::Time, vec!["0s", "1ns", "1us", "1500us", "5ms", "10s", "90s", "2min", "168h"]),
            (Kind::Switch, vec!["on", "off"]),
            (Kind::Cores, vec!["auto", "2", "0-0", "0-3"]),
            (Kind::Share, vec!["0%", "50%", "128"]),
            (Kind::Networks, vec!["none", "10.0.0.0/8", "10.0.0.1/32,::1/128"]),
            (Kind::Level, vec!["off", "error", "warn", "info", "debug", "trace"]),
            (Kind::Profile, vec!["balanced", "latency", "throughput", "shared"]),
        ];
        for (kind, texts) in cases {
            for text in texts {
                assert_eq!(kind.print(&kind.read(text).unwrap()), text);
            }
        }
    }
}
