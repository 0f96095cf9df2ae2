//! Whether a result may be believed, and why. A tool that measures itself by mistake looks just
//! like a slow server; these rules tell the two apart.

use std::time::Duration;

use crate::cpu::CpuTimes;
use crate::generator::{Pacing, Slice};
use crate::units::{show_count, show_ns, show_rate};

/// The achieved rate of an open loop lies this close to the target...
const RATE_ERROR_MAX: f64 = 0.01;

/// ...or within so many standard deviations of what Poisson arrivals do by chance in a short run.
const RATE_DEVIATIONS_MAX: f64 = 4.0;

/// The generator is late by no more than this in 99 of 100 cases...
const SEND_LAG_P99_MAX_NS: u64 = 100_000;

/// ...or by a share of the response time at p99 that cannot matter.
const SEND_LAG_SHARE_MAX: f64 = 0.1;

/// A thread that waits this share of the time for its core delays about this share of the
/// requests: more, and p99 is the latency of other programs. A quiet machine shows 0.2 %, a
/// disturbed one 20 to 40 % (measured).
const RUN_DELAY_MAX: f64 = 0.01;

/// The host may take this share of all cores.
const STEAL_MAX: f64 = 0.01;

/// A closed loop measures the server only if the server was this busy...
const SERVER_BUSY_MIN: f64 = 0.95;

/// ...and the generator not more than this.
const GENERATOR_BUSY_MAX: f64 = 0.85;

/// What a verdict is drawn from.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Open or closed loop.
    pub pacing: Pacing,
    /// Requests due.
    pub due: u64,
    /// Answers a second in the measured time.
    pub achieved: f64,
    /// The send lag's p99, if enough were sent.
    pub send_lag_p99_ns: Option<u64>,
    /// The response time's p99, if enough were answered.
    pub response_p99_ns: Option<u64>,
    /// How long CPU times were taken over.
    pub wall: Duration,
    /// The generator's thread, its spinning taken off.
    pub generator: CpuTimes,
    /// The server's process, if known.
    pub server: Option<CpuTimes>,
    /// What the host took from all cores.
    pub steal_ns: u64,
    /// How many cores there are.
    pub cores: usize,
    /// Errors of all kinds.
    pub errors: u64,
    /// Whether the run was broken off.
    pub is_interrupted: bool,
}

/// The answer, with its reasons: what speaks against the result, or if nothing does, what speaks
/// for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the figures say something about the server.
    pub is_trustworthy: bool,
    /// Whether a closed loop was limited by the generator, as far as can be known.
    pub is_generator_bound: bool,
    /// Sentences.
    pub reasons: Vec<String>,
}

impl Evidence {
    /// What a slice and the readings around it show.
    pub fn of(
        slice: &Slice,
        pacing: Pacing,
        server: Option<CpuTimes>,
        steal_ns: u64,
        cores: usize,
    ) -> Self {
        Self {
            pacing,
            due: slice.due,
            achieved: slice.achieved(),
            send_lag_p99_ns: slice.send_lag.quantile(0.99).or(slice.send_lag.max()),
            response_p99_ns: slice.response.quantile(0.99).or(slice.response.max()),
            wall: slice.wall,
            generator: CpuTimes { run_ns: slice.work_ns(), delay_ns: slice.cpu.delay_ns },
            server,
            steal_ns,
            cores,
            errors: slice.errors.total(),
            is_interrupted: slice.is_interrupted,
        }
    }

    /// The verdict.
    pub fn judge(&self) -> Verdict {
        let mut reasons = Reasons::default();
        if self.is_interrupted {
            reasons.against("the run was interrupted".into());
        }
        if self.errors > 0 {
            let plural = if self.errors == 1 { "" } else { "s" };
            reasons.against(format!("{} error{plural}", show_count(self.errors)));
        }
        if self.cores < 2 {
            reasons.against("server and generator share the one core of this machine".into());
        }
        match self.pacing {
            Pacing::Rate(target) => self.judge_open(target, &mut reasons),
            Pacing::Max => self.judge_closed(&mut reasons),
        }
        self.judge_delay("generator", self.generator, &mut reasons);
        if let Some(server) = self.server {
            self.judge_delay("server", server, &mut reasons);
        }
        let steal = self.share(self.steal_ns) / self.cores.max(1) as f64;
        reasons.weigh(
            steal <= STEAL_MAX,
            format!(
                "the host took {} of the cores (at most {})",
                percent(steal),
                percent(STEAL_MAX)
            ),
        );
        reasons.verdict()
    }

    fn judge_open(&self, target: f64, reasons: &mut Reasons) {
        let off = (self.achieved - target).abs() / target;
        let by_chance = RATE_DEVIATIONS_MAX / (self.due.max(1) as f64).sqrt();
        let bound = RATE_ERROR_MAX.max(by_chance);
        reasons.weigh(
            self.due > 0 && off <= bound,
            format!(
                "achieved {}/s of {}/s: {} off (at most {})",
                show_rate(self.achieved),
                show_rate(target),
                percent(off),
                percent(bound)
            ),
        );
        if let Some(lag) = self.send_lag_p99_ns {
            let harmless = self.response_p99_ns.unwrap_or(0) as f64 * SEND_LAG_SHARE_MAX;
            reasons.weigh(
                lag <= SEND_LAG_P99_MAX_NS.max(harmless as u64),
                format!(
                    "send lag p99 {} (at most {}, or a tenth of the response time)",
                    show_ns(lag),
                    show_ns(SEND_LAG_P99_MAX_NS)
                ),
            );
        }
    }

    fn judge_delay(&self, who: &str, times: CpuTimes, reasons: &mut Reasons) {
        let share = self.share(times.delay_ns);
        reasons.weigh(
            share <= RUN_DELAY_MAX,
            format!(
                "the {who} waited {} of the time for its core (at most {}; more means that other \
                 programs had it)",
                percent(share),
                percent(RUN_DELAY_MAX)
            ),
        );
    }

    fn judge_closed(&self, reasons: &mut Reasons) {
        let generator = self.share(self.generator.run_ns);
        let Some(server) = self.server.map(|times| self.share(times.run_ns)) else {
            reasons.is_generator_bound = true;
            reasons.against(format!(
                "generator-bound or not, nobody knows: the server's CPU time cannot be read \
                 (--server-pid), the generator was {} busy",
                percent(generator)
            ));
            return;
        };
        if server >= SERVER_BUSY_MIN && generator <= GENERATOR_BUSY_MAX {
            reasons.pro(format!(
                "the server was {} busy, the generator {}: this is the server's maximum",
                percent(server),
                percent(generator)
            ));
        } else {
            reasons.is_generator_bound = true;
            reasons.against(format!(
                "generator-bound: the server was {} busy (at least {} is a maximum), the generator \
                 {} (at most {}); the server can do more than this",
                percent(server),
                percent(SERVER_BUSY_MIN),
                percent(generator),
                percent(GENERATOR_BUSY_MAX)
            ));
        }
    }

    fn share(&self, ns: u64) -> f64 {
        if self.wall.is_zero() { 0.0 } else { ns as f64 / self.wall.as_nanos() as f64 }
    }
}

#[derive(Default)]
struct Reasons {
    pro: Vec<String>,
    against: Vec<String>,
    is_generator_bound: bool,
}

impl Reasons {
    fn pro(&mut self, reason: String) {
        self.pro.push(reason);
    }

    fn against(&mut self, reason: String) {
        self.against.push(reason);
    }

    fn weigh(&mut self, is_good: bool, reason: String) {
        if is_good { self.pro(reason) } else { self.against(reason) }
    }

    fn verdict(self) -> Verdict {
        let is_trustworthy = self.against.is_empty();
        Verdict {
            is_trustworthy,
            is_generator_bound: self.is_generator_bound,
            reasons: if is_trustworthy { self.pro } else { self.against },
        }
    }
}

fn percent(share: f64) -> String {
    if share >= 0.1 { format!("{:.0} %", share * 100.0) } else { format!("{:.1} %", share * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Evidence {
        Evidence {
            pacing: Pacing::Rate(10_000.0),
            due: 1_000_000,
            achieved: 10_000.0,
            send_lag_p99_ns: Some(SEND_LAG_P99_MAX_NS),
            response_p99_ns: Some(50_000),
            wall: Duration::from_secs(100),
            generator: CpuTimes { run_ns: 85_000_000_000, delay_ns: 1_000_000_000 },
            server: Some(CpuTimes { run_ns: 95_000_000_000, delay_ns: 1_000_000_000 }),
            steal_ns: 2_000_000_000,
            cores: 2,
            errors: 0,
            is_interrupted: false,
        }
    }

    fn refused(evidence: &Evidence, word: &str) {
        let verdict = evidence.judge();
        assert!(!verdict.is_trustworthy, "{evidence:?}");
        assert_eq!(verdict.reasons.len(), 1, "{verdict:?}");
        assert!(verdict.reasons[0].contains(word), "{verdict:?}");
    }

    #[test]
    fn an_open_loop_at_all_its_bounds_is_trusted_and_just_beyond_each_is_not() {
        assert!(open().judge().is_trustworthy, "{:?}", open().judge());
        assert!(Evidence { achieved: 9_900.0, ..open() }.judge().is_trustworthy);
        refused(&Evidence { achieved: 9_899.0, ..open() }, "achieved");
        refused(&Evidence { achieved: 10_101.0, ..open() }, "achieved");
        refused(&Evidence { send_lag_p99_ns: Some(SEND_LAG_P99_MAX_NS + 1), ..open() }, "send lag");
        let delayed = CpuTimes { run_ns: 0, delay_ns: 1_000_000_001 };
        refused(&Evidence { generator: delayed, ..open() }, "the generator waited");
        refused(&Evidence { server: Some(delayed), ..open() }, "the server waited");
        refused(&Evidence { steal_ns: 2_000_000_001, ..open() }, "the host took");
        refused(&Evidence { errors: 1, ..open() }, "1 error");
        refused(&Evidence { cores: 1, steal_ns: 0, ..open() }, "one core");
        refused(&Evidence { is_interrupted: true, ..open() }, "interrupted");
    }

    #[test]
    fn a_short_runs_rate_may_be_off_by_chance() {
        assert!(Evidence { due: 10_000, achieved: 9_600.0, ..open() }.judge().is_trustworthy);
        refused(&Evidence { due: 10_000, achieved: 9_599.0, ..open() }, "achieved");
        refused(&Evidence { due: 0, achieved: 0.0, ..open() }, "achieved");
    }

    #[test]
    fn a_late_send_is_harmless_where_answers_take_ten_times_as_long() {
        let slow = Evidence { response_p99_ns: Some(5_000_000), ..open() };
        assert!(Evidence { send_lag_p99_ns: Some(500_000), ..slow.clone() }.judge().is_trustworthy);
        refused(&Evidence { send_lag_p99_ns: Some(500_001), ..slow }, "send lag");
    }

    #[test]
    fn a_closed_loop_is_a_maximum_only_when_the_server_was_the_limit() {
        let closed = Evidence { pacing: Pacing::Max, ..open() };
        assert!(closed.judge().is_trustworthy, "{:?}", closed.judge());
        let busy = |run_ns| CpuTimes { run_ns, delay_ns: 0 };
        let idle = Evidence { server: Some(busy(94_999_999_999)), ..closed.clone() };
        refused(&idle, "generator-bound");
        assert!(idle.judge().is_generator_bound && !closed.judge().is_generator_bound);
        refused(&Evidence { generator: busy(85_000_000_001), ..closed.clone() }, "generator-bound");
        refused(&Evidence { server: None, ..closed }, "--server-pid");
    }
}
