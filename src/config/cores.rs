//! Which cores run a reactor, as asked for: all, a count, or a list.

use std::fmt;
use std::str::FromStr;

/// Numbers of cores that can be named: below this.
pub(crate) const CORES_MAX: usize = 1024;
/// Reactors that one engine has at most: a core's place has eight bits in a service's address.
pub(crate) const REACTORS_MAX: usize = 256;

/// The cores that run a reactor.
///
/// | text | means |
/// |---|---|
/// | `auto` | every core of the inherited affinity mask, at most as many as the cgroup's quota |
/// | `4` | so many reactors, on the first cores of the mask; more than there are share them |
/// | `0,2-3` | exactly these cores |
/// | `2-2` | the core 2 alone: a single number would be a count |
///
/// ```
/// use skyring::config::Cores;
///
/// assert_eq!("0,2-3".parse(), Ok(Cores::List(vec![0, 2, 3])));
/// assert_eq!("4".parse(), Ok(Cores::Count(4)));
/// assert_eq!(Cores::from([0, 1, 2, 5]).to_string(), "0-2,5");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// What the affinity mask and the cgroup's quota allow.
    #[default]
    Auto,
    /// So many reactors, 1 to 256.
    Count(usize),
    /// One reactor on each of these cores, in this order, none twice.
    List(Vec<usize>),
}

impl Cores {
    /// Says what is wrong with a choice that a program has built.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Auto => Ok(()),
            Self::Count(0) => Err("a single number is a count of cores and at least 1; \
                                   for the core 0 alone write 0-0"
                .into()),
            Self::Count(n) if *n > REACTORS_MAX => Err(too_many()),
            Self::Count(_) => Ok(()),
            Self::List(list) => check_list(list),
        }
    }
}

fn too_many() -> String {
    format!("an engine has {REACTORS_MAX} reactors at most; start two engines for more")
}

fn check_list(list: &[usize]) -> Result<(), String> {
    if list.is_empty() {
        return Err("a list of cores names at least one".into());
    }
    if list.len() > REACTORS_MAX {
        return Err(too_many());
    }
    let mut seen = [false; CORES_MAX];
    for &core in list {
        match seen.get_mut(core) {
            None => return Err(format!("core {core} is beyond the last one, {}", CORES_MAX - 1)),
            Some(true) => return Err(format!("core {core} is named twice")),
            Some(seen) => *seen = true,
        }
    }
    Ok(())
}

impl From<usize> for Cores {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<Vec<usize>> for Cores {
    fn from(list: Vec<usize>) -> Self {
        Self::List(list)
    }
}

impl<const N: usize> From<[usize; N]> for Cores {
    fn from(list: [usize; N]) -> Self {
        Self::List(list.into())
    }
}

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cores = match text.trim() {
            "auto" => Self::Auto,
            text if text.contains([',', '-']) => Self::List(list(text)?),
            text => Self::Count(number(text)?),
        };
        cores.check()?;
        Ok(cores)
    }
}

/// A list such as `0,2-3`. A range is bounded before it is unrolled.
fn list(text: &str) -> Result<Vec<usize>, String> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            None => (number(part)?, number(part)?),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        if first > last {
            return Err(format!("the range {first}-{last} runs backwards; write {last}-{first}"));
        }
        if last >= CORES_MAX {
            return Err(format!("core {last} is beyond the last one, {}", CORES_MAX - 1));
        }
        if cores.len() > REACTORS_MAX {
            return Err(too_many());
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

fn number(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| {
        "not a choice of cores; write auto, a count as 4, or a list as 0,2-3".to_owned()
    })
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(n) => write!(f, "{n}"),
            Self::List(list) => match list[..] {
                // A single number would read as a count.
                [only] => write!(f, "{only}-{only}"),
                _ => f.write_str(&runs(list)),
            },
        }
    }
}

/// A list in its short form: runs of neighbours become ranges.
pub(crate) fn runs(list: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = list;
    while let [first, ..] = *rest {
        let run = rest.iter().zip(first..).take_while(|&(&core, next)| core == next).count();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&match run {
            1 => first.to_string(),
            2 => format!("{first},{}", first + 1),
            _ => format!("{first}-{}", first + run - 1),
        });
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_counts_read_as_written() {
        let cases: [(&str, Cores); 10] = [
            ("auto", Cores::Auto),
            ("1", Cores::Count(1)),
            (" 4 ", Cores::Count(4)),
            ("256", Cores::Count(256)),
            ("0-0", Cores::from([0])),
            ("0-3", Cores::from([0, 1, 2, 3])),
            ("0,2-3", Cores::from([0, 2, 3])),
            ("3,1", Cores::from([3, 1])),
            ("1023-1023", Cores::from([1023])),
            ("0-255", Cores::List((0..256).collect())),
        ];
        for (text, cores) in cases {
            assert_eq!(text.parse(), Ok(cores), "{text}");
        }
    }

    #[test]
    fn what_names_no_cores_is_refused() {
        let cases = [
            ("", "not a choice"),
            ("0", "write 0-0"),
            ("257", "256 reactors at most"),
            ("0-256", "256 reactors at most"),
            ("-1", "not a choice"),
            ("3-0", "write 0-3"),
            ("0,0", "core 0 is named twice"),
            ("0-2,1", "core 1 is named twice"),
            ("0,", "not a choice"),
            (",", "not a choice"),
            ("0--1", "not a choice"),
            ("0-1-2", "not a choice"),
            ("+1", "not a choice"),
            ("two", "not a choice"),
            ("0-1024", "beyond the last one"),
            ("0-18446744073709551615", "beyond the last one"),
            ("99999999999999999999", "not a choice"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<Cores>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["auto", "3", "0-0", "0,1", "0-2,5", "5,0-2", "7,6,5"] {
            assert_eq!(text.parse::<Cores>().unwrap().to_string(), text);
        }
    }
}
