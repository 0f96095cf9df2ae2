//! From groups of slices to ratios, leaving out the groups that something else disturbed.

use super::plan::Group;
use super::ratio::Ratio;
use super::side::Sum;
use crate::error::{Error, Result};
use crate::generator::Pacing;
use crate::machine::Machine;

/// A group is disturbed when its servers waited for their core for more than this share of the
/// time: 1 to 3 % on a quiet machine, 20 % and more beside a compiler.
const DELAY_SHARE_MAX: f64 = 0.05;

/// Undisturbed groups of a kind that suffice to leave the others out.
const QUIET_MIN: usize = 6;

/// What a comparison found.
pub(super) struct Outcome {
    pub(super) machine: Machine,
    pub(super) pacing: Pacing,
    /// Both instances of A, each for itself, and B.
    pub(super) first: Sum,
    pub(super) second: Sum,
    pub(super) other: Sum,
    /// A to B, and A to itself.
    pub(super) ratio: Ratios,
    pub(super) control: Ratios,
}

/// The ratios of one kind of group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratios {
    pub(super) cpu: Ratio,
    /// None where the slices had too few answers to tell a middle one.
    pub(super) latency: Option<Ratio>,
    /// Groups measured, those of them that were not disturbed, and those that the ratios are
    /// made of.
    pub(super) groups: usize,
    pub(super) quiet: usize,
    pub(super) used: usize,
}

/// One group of four slices.
#[derive(Clone, Copy, Debug)]
struct Record {
    cpu: f64,
    latency: Option<f64>,
    is_quiet: bool,
}

/// All groups so far.
#[derive(Default)]
pub(super) struct Records {
    ratio: Vec<Record>,
    control: Vec<Record>,
}

impl Records {
    /// Adds a group: the slices of the side above the line, and of the one below.
    pub(super) fn add(&mut self, group: Group, above: &Sum, below: &Sum) {
        let (Some(a), Some(b)) = (above.cpu_ns_per_request(), below.cpu_ns_per_request()) else {
            return; // Nothing answered: its errors are counted with the server.
        };
        if b <= 0.0 {
            return;
        }
        let latency = above.p50_ns().zip(below.p50_ns());
        let wall = above.measured + below.measured;
        let delay_ns = above.cpu.delay_ns + below.cpu.delay_ns;
        let record = Record {
            cpu: a / b,
            latency: latency.map(|(a, b)| a as f64 / b.max(1) as f64),
            is_quiet: delay_ns as f64 <= DELAY_SHARE_MAX * wall.as_nanos() as f64,
        };
        match group {
            Group::Ratio(_) => self.ratio.push(record),
            Group::Control => self.control.push(record),
        }
    }

    /// The ratios of A to B, and of A to itself.
    ///
    /// # Errors
    /// Nothing was answered.
    pub(super) fn ratios(&self, seed: u64) -> Result<(Ratios, Ratios)> {
        let none = || Error::run("no group of slices was answered; is the rate too low?");
        let ratio = of(&self.ratio, seed).ok_or_else(none)?;
        Ok((ratio, of(&self.control, seed).ok_or_else(none)?))
    }
}

/// The ratios of the quiet groups, or of all where the quiet ones are too few.
fn of(records: &[Record], seed: u64) -> Option<Ratios> {
    let quiet: Vec<Record> = records.iter().copied().filter(|record| record.is_quiet).collect();
    let used = if quiet.len() >= QUIET_MIN { &quiet[..] } else { records };
    let cpu: Vec<f64> = used.iter().map(|record| record.cpu).collect();
    let latency: Vec<f64> = used.iter().filter_map(|record| record.latency).collect();
    Some(Ratios {
        cpu: Ratio::of(&cpu, seed)?,
        latency: Ratio::of(&latency, seed),
        groups: records.len(),
        quiet: quiet.len(),
        used: used.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::Side;
    use super::*;
    use crate::cpu::CpuTimes;
    use std::time::Duration;

    fn sum(requests: u64, run_ns: u64, service_ns: u64) -> Sum {
        let mut sum = Sum { requests, measured: Duration::from_millis(80), ..Sum::default() };
        (0..requests).for_each(|_| sum.service.record(service_ns));
        sum.cpu = CpuTimes { run_ns, delay_ns: 0 };
        sum
    }

    #[test]
    fn a_groups_ratio_is_of_time_for_a_request() {
        let mut records = Records::default();
        let above = sum(100, 600_000, 50_000);
        records.add(Group::Ratio(Side::First), &above, &sum(200, 1_500_000, 100_000));
        records.add(Group::Control, &above, &sum(50, 300_000, 50_000));
        records.add(Group::Ratio(Side::Second), &above, &sum(0, 0, 0));
        let (ratio, control) = records.ratios(1).expect("two groups were answered");
        assert!((ratio.cpu.median - 0.8).abs() < 1e-9);
        assert!((control.cpu.median - 1.0).abs() < 1e-9);
        assert!((ratio.latency.expect("100 answers suffice").median - 0.5).abs() < 0.01);
        assert_eq!((ratio.groups, ratio.used), (1, 1));
    }

    #[test]
    fn disturbed_groups_are_left_out_where_enough_quiet_ones_are() {
        let mut records = Records::default();
        let (quiet, other) = (sum(100, 800_000, 1), sum(100, 1_000_000, 1));
        let delayed = CpuTimes { run_ns: 3_000_000, delay_ns: 9_000_000 };
        let disturbed = Sum { cpu: delayed, ..quiet.clone() };
        for _ in 0..QUIET_MIN {
            records.add(Group::Ratio(Side::First), &disturbed, &other);
            records.add(Group::Ratio(Side::First), &disturbed, &other);
            records.add(Group::Control, &disturbed, &disturbed);
        }
        let (ratio, _) = records.ratios(1).expect("groups were answered");
        assert!((ratio.cpu.median - 3.0).abs() < 1e-9, "nothing else is there");
        for _ in 0..QUIET_MIN {
            records.add(Group::Ratio(Side::First), &quiet, &other);
        }
        let (ratio, _) = records.ratios(1).expect("groups were answered");
        assert!((ratio.cpu.median - 0.8).abs() < 1e-9);
        assert_eq!((ratio.groups, ratio.used), (3 * QUIET_MIN, QUIET_MIN));
    }

    #[test]
    fn without_answers_there_is_no_ratio() {
        assert!(Records::default().ratios(1).is_err());
    }
}
