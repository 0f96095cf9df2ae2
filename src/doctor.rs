//! Whether skyring can run on this machine, and what would make it run better.
//!
//! `skyring doctor` prints it. A program may ask by itself, to write it in its log at start:
//!
//! ```
//! use skyring::config::Config;
//! use skyring::doctor::{Report, State};
//!
//! let report = Report::gather(&Config::new())?;
//! for check in report.checks.iter().filter(|check| check.state != State::Good) {
//!     eprintln!("{}: {}", check.name, check.advice.as_deref().unwrap_or(&check.found));
//! }
//! # Ok::<(), skyring::config::ConfigError>(())
//! ```

use crate::config::{Config, ConfigError, Host, Limit, Settings};
use crate::driver::errno::{kib, ring_bytes, ring_failure};
use crate::driver::probe::{About, FEATURES, Probe, rehearse, release};
use crate::driver::unavailable::disabled;

pub use crate::driver::errno::{explain, name};
pub use crate::driver::unavailable::Unavailable;

/// Says whether this kernel has the io_uring that skyring needs, in about a millisecond; for
/// a program that falls back, or a test that is skipped where io_uring is forbidden.
///
/// # Errors
/// io_uring is forbidden, missing, or too old.
///
/// ```
/// if let Err(unavailable) = skyring::doctor::available() {
///     eprintln!("skipped: {unavailable}");
/// }
/// ```
pub fn available() -> Result<(), Unavailable> {
    Probe::run().map(drop)
}

/// What was found on this machine, for one configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// Why skyring cannot run here, in one sentence with the remedy; `None`: it can.
    pub obstacle: Option<String>,
    /// Everything that was looked at, in groups.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The heading that it stands under.
    pub group: &'static str,
    /// What was looked at.
    pub name: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What it costs and how to better it.
    pub advice: Option<String>,
}

/// How good a thing is that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// As it should be.
    Good,
    /// skyring runs, and would run better with it.
    Costs,
    /// skyring cannot run so.
    Bad,
}

impl State {
    /// The state in a word: `ok`, `costs`, `bad`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Costs => "costs",
            Self::Bad => "bad",
        }
    }
}

impl Report {
    /// Looks at this machine for an engine with this configuration. For a moment it sets up the
    /// rings that the engine would.
    ///
    /// # Errors
    /// The configuration is not one that an engine would start with.
    pub fn gather(config: &Config) -> Result<Self, ConfigError> {
        let host = Host::inspect();
        let settings = config.resolve_on(&host)?;
        let mut checks: Vec<Check> = disabled().map(sysctl).into_iter().collect();
        let obstacle = match Probe::find() {
            Err(unavailable) => Some(unavailable.to_string()),
            Ok(probe) => {
                checks.extend(FEATURES.iter().map(|about| feature(about, &probe)));
                let failure = rehearsal(&settings, &host);
                checks.push(memlock(&settings, &host, failure.as_deref()));
                probe.shortage().map(|shortage| shortage.to_string()).or(failure)
            }
        };
        checks.push(descriptors(&settings, &host));
        checks.push(backlog(config, &settings, &host));
        checks.push(cores(&settings, &host));
        Ok(Self { kernel: release(), obstacle, checks })
    }

    /// Whether an engine would start.
    pub fn can_run(&self) -> bool {
        self.obstacle.is_none()
    }
}

fn sysctl(value: u32) -> Check {
    let (state, advice) = match value {
        0 => (State::Good, None),
        1 => (State::Costs, Some("only privileged users may use io_uring; 0 allows all of them")),
        _ => (State::Bad, Some("nobody may use io_uring; 0 allows it")),
    };
    let (name, advice) = ("kernel.io_uring_disabled", advice.map(str::to_owned));
    Check { group: "Kernel", name, state, found: value.to_string(), advice }
}

fn feature(about: &About, probe: &Probe) -> Check {
    let has = probe.has(about.feature);
    let remedy = format!("Linux {} or newer has it", about.since);
    let (state, advice) = match (has, about.without) {
        (true, _) => (State::Good, None),
        (false, None) => (State::Bad, Some(format!("skyring needs it; {remedy}"))),
        (false, Some(without)) => (State::Costs, Some(format!("{without}; {remedy}"))),
    };
    let found = if has { "yes" } else { "no" }.to_owned();
    Check { group: "Kernel", name: about.name, state, found, advice }
}

/// What the rings of this configuration would fail with. The trial sees what other programs of
/// the user hold already; the sum counts the buffer rings too, which the trial does not set up.
fn rehearsal(settings: &Settings, host: &Host) -> Option<String> {
    let beyond = |limit: u64| asked(settings) > limit && !host.memlock_exempt;
    let error = rehearse(settings).err().or_else(|| {
        host.memlock.soft.is_some_and(beyond).then(|| std::io::ErrorKind::OutOfMemory.into())
    })?;
    Some(ring_failure(&error, settings, host.memlock))
}

/// Locked memory that all rings ask for, in bytes.
fn asked(settings: &Settings) -> u64 {
    settings.cores.len() as u64 * ring_bytes(settings)
}

/// The limit of locked memory is charged by user, so the trial says more than the numbers.
fn memlock(settings: &Settings, host: &Host, failure: Option<&str>) -> Check {
    let asked = asked(settings);
    let exempt = if host.memlock_exempt { "; CAP_IPC_LOCK exempts us" } else { "" };
    let found = format!("{}; rings ask for {}{exempt}", limit(host.memlock, kib), kib(asked));
    let near = host.memlock.soft.is_some_and(|limit| limit < 4 * asked) && !host.memlock_exempt;
    let (state, advice) = match failure {
        Some(failure) => (State::Bad, Some(failure.to_owned())),
        None if near => (
            State::Costs,
            Some("close to what the rings need; raise `ulimit -l` or LimitMEMLOCK=".to_owned()),
        ),
        None => (State::Good, None),
    };
    Check { group: "Limits", name: "locked memory", state, found, advice }
}

/// Below so many descriptors a server meets the limit before it meets its load.
const DESCRIPTORS_FEW: u64 = 65_536;

fn descriptors(settings: &Settings, host: &Host) -> Check {
    let Limit { soft, hard } = host.descriptors;
    let few = hard.is_some_and(|hard| hard < DESCRIPTORS_FEW);
    let connections = settings.connections_max;
    let advice = few.then(|| {
        format!("at most {connections} connections; raise `ulimit -Hn` or LimitNOFILE= for more")
    });
    let found = limit(Limit { soft, hard }, |n| n.to_string());
    let state = if few { State::Costs } else { State::Good };
    Check { group: "Limits", name: "open descriptors", state, found, advice }
}

fn backlog(config: &Config, settings: &Settings, host: &Host) -> Check {
    let asked = config.entries().find(|entry| entry.name == "SKYRING_BACKLOG");
    let asked = asked.and_then(|entry| entry.number).unwrap_or_default();
    let short = u64::from(settings.backlog) < asked;
    let advice = short.then(|| {
        format!("connections that come all at once are dropped; raise it to {asked} by sysctl")
    });
    let state = if short { State::Costs } else { State::Good };
    let found = host.somaxconn.to_string();
    Check { group: "Limits", name: "net.core.somaxconn", state, found, advice }
}

fn cores(settings: &Settings, host: &Host) -> Check {
    let quota = match host.cpu_quota {
        Some(quota) => format!("quota of {quota}"),
        None => "no quota".to_owned(),
    };
    let reactors = settings.cores.len();
    let found = format!("{} in the mask, {quota}; reactors: {reactors}", host.cores.len());
    let usable = host.cpu_quota.unwrap_or(usize::MAX).min(host.cores.len());
    let advice = (reactors > usable).then(|| {
        let advice = "reactors take each other's time; lower SKYRING_CORES";
        let spins = !settings.spin.is_zero();
        if spins { format!("{advice}, or set SKYRING_SPIN=off") } else { advice.to_owned() }
    });
    let state = if advice.is_some() { State::Costs } else { State::Good };
    Check { group: "Cores", name: "cores", state, found, advice }
}

fn limit(limit: Limit, print: impl Fn(u64) -> String) -> String {
    let print = |n: Option<u64>| n.map_or("unlimited".to_owned(), &print);
    let (soft, hard) = (print(limit.soft), print(limit.hard));
    if soft == hard { soft } else { format!("{soft}, hard {hard}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_whether_an_engine_would_start() {
        let report = Report::gather(&Config::new().cores(1)).unwrap();
        let bad = report.checks.iter().any(|check| check.state == State::Bad);
        assert!(report.can_run() || !report.kernel.is_empty());
        assert!(!bad || !report.can_run(), "nothing is bad where skyring can run");
        for check in &report.checks {
            assert_eq!(check.state == State::Good, check.advice.is_none(), "{check:?}");
        }
    }

    #[test]
    fn a_configuration_that_no_engine_takes_is_refused() {
        assert!(Report::gather(&Config::new().ring_entries(1)).is_err());
    }

    #[test]
    fn what_falls_short_says_what_to_do() {
        let mut host = Host::inspect();
        host.cores = vec![0];
        host.cpu_quota = Some(1);
        host.somaxconn = 128;
        host.descriptors = Limit { soft: Some(1024), hard: Some(4096) };
        let config = Config::new().cores(3).spin(std::time::Duration::from_millis(1));
        let settings = config.resolve_on(&host).unwrap();
        let advice = |check: Check| (check.found, check.advice.unwrap());
        let (found, text) = advice(cores(&settings, &host));
        assert_eq!(found, "1 in the mask, quota of 1; reactors: 3");
        assert!(text.ends_with("SKYRING_SPIN=off"));
        let (found, text) = advice(descriptors(&settings, &host));
        assert_eq!(found, "1024, hard 4096");
        assert!(text.starts_with("at most 4008 connections"), "{text}");
        let (found, text) = advice(backlog(&config, &settings, &host));
        assert_eq!(found, "128");
        assert!(text.ends_with("raise it to 1024 by sysctl"));
        host.memlock = Limit { soft: Some(1 << 20), hard: None };
        host.memlock_exempt = false;
        let (found, text) = advice(memlock(&settings, &host, None));
        assert!(found.starts_with("1024 KiB, hard unlimited; rings ask for 324 KiB"), "{found}");
        assert!(text.contains("LimitMEMLOCK"));
        assert_eq!(memlock(&settings, &host, Some("why")).state, State::Bad);
    }
}
