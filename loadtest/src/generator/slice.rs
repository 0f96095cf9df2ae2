//! What is asked of the generator, and what it found.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::cpu::CpuTimes;
use crate::latency::Latency;
use crate::timeline::Timeline;

/// How many errors are kept in words; the rest is only counted.
const SENTENCES_MAX: usize = 5;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Open loop: so many a second, Poisson, whatever the server does. Latency counts from the
    /// time a request was due.
    Rate(f64),
    /// Closed loop: each answer calls for the next request. Measures a maximum; its latencies say
    /// nothing about users, who do not wait for each other.
    Max,
}

/// A stretch of load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests due in this time are sent, but not measured.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// When requests are sent.
    pub pacing: Pacing,
    /// How long answers are waited for after the last request.
    pub drain: Duration,
}

/// What the caller sees and does while the generator runs; on the generator's own thread, so keep
/// it short.
pub trait Progress {
    /// So many of `total` connections stand; a break gives up.
    fn connected(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// The measured time begins: the moment to read the server's CPU time.
    fn begin(&mut self) {}

    /// Called some ten times a second; a break ends the slice early.
    fn tick(&mut self, _now: &Tick) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// The last answer came, or was given up: the moment to read the server's CPU time again.
    fn end(&mut self) {}
}

/// Nothing to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}

/// A look at a slice in progress.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Time since the slice's start, the warm-up included.
    pub elapsed: Duration,
    /// Whether the warm-up is over.
    pub is_measuring: bool,
    /// Answers since the slice's start, the warm-up included.
    pub answered: u64,
    /// Requests sent that wait for their answer.
    pub outstanding: u64,
    /// Errors so far.
    pub errors: u64,
    /// The longest response time since the tick before.
    pub worst_ns: u64,
}

/// Errors by kind.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// Replies whose bytes were not those of the request.
    pub mismatch: u64,
    /// Replies whose length or end was wrong, or which nobody asked for; each costs a connection.
    pub framing: u64,
    /// Connections that the peer closed or reset.
    pub connection_lost: u64,
    /// Requests never answered: their time is unknown but long, so they are told, not dropped.
    pub censored: u64,
    /// The first few, in words.
    pub sentences: Vec<String>,
}

impl Errors {
    /// All kinds added up.
    pub fn total(&self) -> u64 {
        self.mismatch + self.framing + self.connection_lost + self.censored
    }

    /// The kinds with their names in JSON.
    pub fn kinds(&self) -> [(&'static str, u64); 4] {
        [
            ("mismatch", self.mismatch),
            ("framing", self.framing),
            ("connection_lost", self.connection_lost),
            ("censored", self.censored),
        ]
    }

    /// Adds those of another slice.
    pub fn merge(&mut self, other: &Self) {
        self.mismatch += other.mismatch;
        self.framing += other.framing;
        self.connection_lost += other.connection_lost;
        self.censored += other.censored;
        let room = SENTENCES_MAX.saturating_sub(self.sentences.len());
        self.sentences.extend(other.sentences.iter().take(room).cloned());
    }

    pub(crate) fn say(&mut self, sentence: fmt::Arguments<'_>) {
        if self.sentences.len() < SENTENCES_MAX {
            self.sentences.push(sentence.to_string());
        }
    }
}

/// What a slice measured. Times and counts are of the requests that were due in the measured time
/// (in a closed loop: sent in it).
#[derive(Clone, Debug)]
pub struct Slice {
    /// From when a request was due to its answer: what a user waits.
    pub response: Latency,
    /// From when it was sent to its answer: what the server and the wire take.
    pub service: Latency,
    /// From when it was due to when it was sent: what the generator, or a full connection, takes.
    pub send_lag: Latency,
    /// How it went over time.
    pub timeline: Timeline,
    /// Requests due.
    pub due: u64,
    /// Requests answered, whenever.
    pub answered: u64,
    /// Answers, to whatever request, that came within the measured time.
    pub answered_in_time: u64,
    /// All answers from [`Progress::begin`] to [`Progress::end`]: what CPU time is divided by.
    pub answered_in_all: u64,
    /// Requests that had to wait because their connection had its bound outstanding.
    pub delayed: u64,
    /// The measured time; shorter than planned when interrupted.
    pub measured: Duration,
    /// From [`Progress::begin`] to [`Progress::end`]: what CPU time is compared with.
    pub wall: Duration,
    /// CPU time of the generator's thread between the two, the spinning included.
    pub cpu: CpuTimes,
    /// Time that the generator spun while the next request was about to be due.
    pub spin: Duration,
    /// What went wrong.
    pub errors: Errors,
    /// Whether it was broken off.
    pub is_interrupted: bool,
}

impl Slice {
    /// An empty slice for a measured time of `duration`.
    pub fn new(duration: Duration) -> Self {
        Self {
            response: Latency::new(),
            service: Latency::new(),
            send_lag: Latency::new(),
            timeline: Timeline::new(duration),
            due: 0,
            answered: 0,
            answered_in_time: 0,
            answered_in_all: 0,
            delayed: 0,
            measured: Duration::ZERO,
            wall: Duration::ZERO,
            cpu: CpuTimes::default(),
            spin: Duration::ZERO,
            errors: Errors::default(),
            is_interrupted: false,
        }
    }

    /// Answers a second within the measured time.
    pub fn achieved(&self) -> f64 {
        if self.measured.is_zero() {
            return 0.0;
        }
        self.answered_in_time as f64 / self.measured.as_secs_f64()
    }

    /// CPU time of the generator for its work, without the spinning.
    pub fn work_ns(&self) -> u64 {
        self.cpu.run_ns.saturating_sub(self.spin.as_nanos() as u64)
    }

    /// Adds another slice of the same load; the timeline stays that of this one.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.send_lag.merge(&other.send_lag);
        self.due += other.due;
        self.answered += other.answered;
        self.answered_in_time += other.answered_in_time;
        self.answered_in_all += other.answered_in_all;
        self.delayed += other.delayed;
        self.measured += other.measured;
        self.wall += other.wall;
        self.cpu = self.cpu.plus(other.cpu);
        self.spin += other.spin;
        self.errors.merge(&other.errors);
        self.is_interrupted |= other.is_interrupted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_slices_add_up_and_keep_the_first_sentences() {
        let mut left = Slice::new(Duration::from_millis(20));
        let mut right = Slice::new(Duration::from_millis(20));
        for slice in [&mut left, &mut right] {
            slice.response.record(1000);
            slice.answered_in_time = 40;
            slice.measured = Duration::from_millis(20);
            slice.errors.mismatch = 1;
            (0..4).for_each(|n| slice.errors.say(format_args!("error {n}")));
        }
        left.merge(&right);
        assert_eq!(left.response.count(), 2);
        assert!((left.achieved() - 2000.0).abs() < 1e-6);
        assert_eq!(left.errors.total(), 2);
        assert_eq!(left.errors.sentences.len(), SENTENCES_MAX);
    }
}
