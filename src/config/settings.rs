//! From what was asked to what the engine runs with: checks between values, and the bounds that
//! the machine sets.

use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::cores::{Cores, runs};
use super::error::ConfigError;
use super::host::Host;
use super::table::{Knob, Settings, row};
use super::take::Ground;
use super::value::{Share, Value};
use super::{Config, Source};

/// Room that a frame's header may take in the send queue, generously.
const HEADER_BYTES_MAX: u64 = 64;
/// The largest pool of one core. More is a slip in a unit, not a plan.
const POOL_BYTES_MAX: u64 = 4 << 30;
/// What `auto` grants at most where descriptors are without a limit.
const CONNECTIONS_AUTO_MAX: u64 = 1_000_000;
/// Descriptors that the engine and the program around it need beside connections.
const DESCRIPTORS_KEPT: u64 = 64;
/// Descriptors of one reactor: ring, doorbell, listeners.
const DESCRIPTORS_KEPT_EACH_CORE: u64 = 8;
/// The kernel's largest completion queue.
const COMPLETIONS_MAX: u32 = 65_536;

impl Settings {
    /// Places in the completion queue: twice the submissions, and twice the blocks, since each
    /// block that is full is a completion; at most 65536, the kernel's bound.
    pub fn completion_entries(&self) -> u32 {
        let entries = self.ring_entries.max(self.pool_blocks).saturating_mul(2);
        entries.next_power_of_two().min(COMPLETIONS_MAX)
    }

    fn bound(&mut self, host: &Host) {
        self.ring_entries = self.ring_entries.next_power_of_two();
        self.backlog = self.backlog.min(host.somaxconn.max(1));
        let kept = DESCRIPTORS_KEPT + DESCRIPTORS_KEPT_EACH_CORE * self.cores.len() as u64;
        let granted = host.descriptors.hard.map(|limit| limit.saturating_sub(kept).max(1));
        let asked = match self.connections_max {
            0 => CONNECTIONS_AUTO_MAX,
            asked => asked.into(),
        };
        let connections = asked.min(granted.unwrap_or(u64::MAX));
        self.connections_max = u32::try_from(connections).expect("less than what was asked");
    }
}

/// Where the machine's answer is not what was asked for word by word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The knob, `SKYRING_CORES`.
    pub name: &'static str,
    /// What the engine gets, printed with its unit.
    pub granted: String,
    /// What bounds it, in a few words.
    pub reason: String,
}

impl Config {
    /// Checks each value and all of them together, as far as that can be said without a machine.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the table.
    pub fn check(&self) -> Result<(), ConfigError> {
        for row in super::table::rows() {
            row.check(self.value(row.knob).0)?;
        }
        let number = |knob| match self.value(knob).0 {
            Value::Number(n) => *n,
            other => unreachable!("{knob:?} is a number, not {other:?}"),
        };
        let refuse = |wrong: bool, first, between: &str, second, remedy: &str| match wrong {
            true => Err(self.conflict(first, between, second, remedy)),
            false => Ok(()),
        };
        use Knob::*;
        let frame = number(frame_bytes_max);
        let queue = number(send_queue_bytes_max);
        let blocks = number(pool_blocks);
        refuse(
            queue < frame + HEADER_BYTES_MAX,
            send_queue_bytes_max,
            "cannot hold one frame with its header of",
            frame_bytes_max,
            "raise the first or lower the second",
        )?;
        refuse(
            number(send_warn_bytes) > queue,
            send_warn_bytes,
            "would warn only after",
            send_queue_bytes_max,
            "lower the first or raise the second",
        )?;
        refuse(
            number(receive_bytes_max) < number(pool_block_bytes),
            receive_bytes_max,
            "is less than one receive may bring,",
            pool_block_bytes,
            "raise the first or lower the second",
        )?;
        refuse(
            blocks * number(pool_block_bytes) > POOL_BYTES_MAX,
            pool_blocks,
            "are more than 4g for each core at",
            pool_block_bytes,
            "lower one of them",
        )?;
        let lent = self.value(pool_lent_max).0;
        refuse(
            matches!(lent, Value::Share(Share::Blocks(lent)) if u64::from(*lent) > blocks),
            pool_lent_max,
            "is more than all blocks,",
            pool_blocks,
            "lower the first, or give it in percent",
        )?;
        let connections = number(connections_max);
        refuse(
            connections != 0 && number(connections_per_ip_max) > connections,
            connections_per_ip_max,
            "never takes effect beside",
            connections_max,
            "lower the first",
        )?;
        let is_set =
            |knob| !matches!(self.value(knob).0, Value::Path(path) if path.as_os_str().is_empty());
        for (first, second) in [(tls_cert, tls_key), (tls_key, tls_cert)] {
            refuse(
                is_set(first) && !is_set(second),
                first,
                "is of no use beside",
                second,
                "set both, or none",
            )?;
        }
        for (amount, pace) in [(burst, rate), (burst_per_ip, rate_per_ip)] {
            refuse(
                number(amount) != 0 && number(pace) == 0,
                amount,
                "never takes effect beside",
                pace,
                "set the second, too",
            )?;
        }
        Ok(())
    }

    /// The files of `SKYRING_TLS_CERT` and `SKYRING_TLS_KEY`, if both are set.
    pub fn tls_files(&self) -> Option<(PathBuf, PathBuf)> {
        let file = |knob| match self.value(knob).0 {
            Value::Path(path) if !path.as_os_str().is_empty() => Some(path.clone()),
            _ => None,
        };
        Some((file(Knob::tls_cert)?, file(Knob::tls_key)?))
    }

    /// The level of `SKYRING_LOG`, for a program that has no subscriber of its own:
    /// `servers::log` writes it to stderr.
    pub fn log_level(&self) -> LevelFilter {
        match self.value(Knob::log).0 {
            Value::Level(level) => *level,
            other => unreachable!("a level, not {other:?}"),
        }
    }

    /// Checks everything and yields what the engine runs with on this machine.
    ///
    /// # Errors
    /// As [`check`](Self::check), and a core that this process may not use.
    ///
    /// ```
    /// use skyring::config::Config;
    ///
    /// let settings = Config::new().ring_entries(1000).resolve()?;
    /// assert_eq!(settings.ring_entries, 1024);
    /// assert!(!settings.cores.is_empty());
    /// # Ok::<(), skyring::config::ConfigError>(())
    /// ```
    pub fn resolve(&self) -> Result<Settings, ConfigError> {
        self.resolve_on(&Host::inspect())
    }

    /// As [`resolve`](Self::resolve), on a machine that is described rather than asked.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_on(&self, host: &Host) -> Result<Settings, ConfigError> {
        self.check()?;
        self.check_cores(host)?;
        let pool_blocks = match self.value(Knob::pool_blocks).0 {
            Value::Number(n) => u32::try_from(*n).expect("the range ends at 32768"),
            other => unreachable!("a number of blocks, not {other:?}"),
        };
        let mut settings = Settings::take(self, &Ground { host, pool_blocks });
        settings.bound(host);
        Ok(settings)
    }

    /// What the machine grants where that is not simply what was asked for.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn grants_on(&self, host: &Host) -> Result<Vec<Grant>, ConfigError> {
        let settings = self.resolve_on(host)?;
        let mut grants = vec![self.cores_grant(&settings, host)];
        let number = |knob| match self.value(knob).0 {
            Value::Number(n) => u32::try_from(*n).ok(),
            _ => None,
        };
        let mut differs = |knob, granted: u32, reason: &str| {
            if number(knob) != Some(granted) {
                let (name, granted) = (row(knob).name.as_str(), granted.to_string());
                grants.push(Grant { name, granted, reason: reason.to_owned() });
            }
        };
        differs(Knob::ring_entries, settings.ring_entries, "a power of two");
        if matches!(self.value(Knob::pool_lent_max).0, Value::Share(Share::Percent(_))) {
            differs(Knob::pool_lent_max, settings.pool_lent_max, "blocks");
        }
        let reason = match host.descriptors.hard {
            Some(limit) => format!("of {limit} descriptors"),
            None => "descriptors are unlimited".to_owned(),
        };
        differs(Knob::connections_max, settings.connections_max, &reason);
        differs(Knob::backlog, settings.backlog, "net.core.somaxconn");
        Ok(grants)
    }

    fn cores_grant(&self, settings: &Settings, host: &Host) -> Grant {
        let list = &settings.cores;
        let (granted, reason) = match self.value(Knob::cores).0 {
            Value::Cores(Cores::Count(n)) if *n > host.cores.len() => {
                (runs(&host.cores), format!("{n} reactors share {} cores", host.cores.len()))
            }
            Value::Cores(Cores::Auto) if list.len() < host.cores.len() => {
                (runs(list), "quota of the cgroup".to_owned())
            }
            Value::Cores(Cores::Auto) => (runs(list), "all of the mask".to_owned()),
            _ => (runs(list), format!("of {}", runs(&host.cores))),
        };
        Grant { name: &row(Knob::cores).name, granted, reason }
    }

    fn check_cores(&self, host: &Host) -> Result<(), ConfigError> {
        let Value::Cores(Cores::List(list)) = self.value(Knob::cores).0 else { return Ok(()) };
        match list.iter().find(|core| !host.cores.contains(core)) {
            None => Ok(()),
            Some(core) => Err(ConfigError::Conflict {
                reason: format!(
                    "{}: this process may not run on core {core}; its affinity mask is {}",
                    self.shown(Knob::cores),
                    runs(&host.cores),
                ),
            }),
        }
    }

    fn conflict(&self, first: Knob, between: &str, second: Knob, remedy: &str) -> ConfigError {
        let (first, second) = (self.shown(first), self.shown(second));
        ConfigError::Conflict { reason: format!("{first} {between} {second}: {remedy}") }
    }

    /// `SKYRING_SPIN=50us`, with where it comes from if that is not what the user wrote.
    fn shown(&self, knob: Knob) -> String {
        let (value, source) = self.value(knob);
        let (row, value) = (row(knob), row(knob).print(value));
        match source {
            Source::Environment | Source::CommandLine => format!("{}={value}", row.name),
            _ => format!("{}={value} ({source})", row.name),
        }
    }
}

#[cfg(test)]
mod tests;
