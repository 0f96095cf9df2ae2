//! `skyring-load calibrate`: the tool tests itself. A server that is stopped for half a second
//! must show as latency; a tool that waits for the server before it sends again hides the stop.
//!
//! ```text
//!   3 s of open loop        |-----------[ stopped 500 ms ]----------------|
//!   of all requests, the 1 % that wait longest are due in the first 30 ms of the stop,
//!   so p99 = 500 ms - 1 % of 3 s = 470 ms
//! ```

// The result on stdout is what this command is for.
#![allow(clippy::print_stdout)]

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::error::{Doing, Error, Result};
use crate::framing::Framing;
use crate::generator::{Generator, Options, Pacing, Progress, Tick};
use crate::process::{self, Server};
use crate::progress::Interrupt;
use crate::protocol::Protocol;
use crate::units::{parse_rate, show_ns};

const DURATION: Duration = Duration::from_secs(3);
const STOP_AT: Duration = Duration::from_millis(1250);
const STOP: Duration = Duration::from_millis(500);

/// The measured p99 lies within this share of the expected one.
const TOLERANCE: f64 = 0.02;

/// How often it is tried on a machine where other programs run.
const ATTEMPTS: u32 = 3;

/// From this share of the time on that a thread waited for its core, a failure is the machine's.
const DISTURBED_MIN: f64 = 0.02;

/// What `calibrate` takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Server to stop.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "skyring",
        env = "SKYRING_LOAD_SERVER",
        hide = true
    )]
    pub server: String,
    /// Requests a second
    #[arg(short, long, default_value = "5k", value_parser = parse_rate, env = "SKYRING_LOAD_RATE")]
    pub rate: f64,
}

/// One run with a stop in it.
struct Attempt {
    expected: Duration,
    response_ns: u64,
    service_ns: u64,
    stopped: Duration,
    /// The share of the time that one of both threads waited for its core.
    disturbed: f64,
}

/// Tests the generator and prints what was expected and what was measured.
///
/// # Errors
/// The server cannot be started, driven or stopped.
pub fn run(args: &Args) -> Result<ExitCode> {
    let cores = cpu::cores();
    let interrupt = Interrupt::listen()?;
    let protocol = Protocol::Frames(Framing::U16);
    let command = process::asked_for(&args.server, &protocol)?;
    let server = Server::start(&args.server, command, Some(cores[0]))?;
    cpu::pin(*cores.get(1).unwrap_or(&cores[0]))?;
    let options = Options { protocol, connections: 64, payload_bytes: 64, in_flight: 1, seed: 1 };
    let mut watch = Watch(interrupt);
    let mut generator = Generator::connect(server.address(), &options, &mut watch)?;
    for left in (0..ATTEMPTS).rev() {
        let attempt = attempt(&mut generator, &server, args.rate, &mut watch)?;
        let is_right = is_within(attempt.response_ns, attempt.expected);
        print(&attempt, is_right);
        if is_right {
            return Ok(ExitCode::SUCCESS);
        }
        if attempt.disturbed <= DISTURBED_MIN || left == 0 {
            break;
        }
        println!(
            "other programs had the cores {:.0} % of the time; again",
            attempt.disturbed * 100.0
        );
    }
    Ok(ExitCode::FAILURE)
}

fn attempt(
    generator: &mut Generator,
    server: &Server,
    rate: f64,
    watch: &mut Watch,
) -> Result<Attempt> {
    let before = cpu::of_process(server.pid()).doing("reading the server's CPU time")?;
    let (slice, stopped) = std::thread::scope(|scope| {
        let stopper = scope.spawn(|| stop(server));
        let slice = generator.slice(DURATION, Pacing::Rate(rate), watch);
        (slice, stopper.join().expect("the thread that stops the server does not panic"))
    });
    let (slice, stopped) = (slice?, stopped?);
    let after = cpu::of_process(server.pid()).doing("reading the server's CPU time")?;
    if slice.is_interrupted || slice.errors.total() > 0 {
        let what = slice.errors.sentences.first().map_or("interrupted", |first| first);
        return Err(Error::run(format!("the calibration could not be finished: {what}")));
    }
    let delay_ns = after.since(before).delay_ns.max(slice.cpu.delay_ns);
    Ok(Attempt {
        expected: expected(DURATION, stopped),
        response_ns: slice
            .response
            .quantile(0.99)
            .ok_or_else(|| Error::usage("too few requests for a p99; raise the rate (-r)"))?,
        service_ns: slice.service.quantile(0.99).unwrap_or(0),
        stopped,
        disturbed: delay_ns as f64 / DURATION.as_nanos() as f64,
    })
}

fn print(attempt: &Attempt, is_right: bool) {
    println!("server stopped   {} of {DURATION:?}", show_ns(attempt.stopped.as_nanos() as u64));
    println!("expected p99     {}", show_ns(attempt.expected.as_nanos() as u64));
    println!("response p99     {}", show_ns(attempt.response_ns));
    println!("service p99      {}", show_ns(attempt.service_ns));
    println!("{}", if is_right { "PASS" } else { "FAIL: more than 2 % off" });
}

/// Stops the server for a while; returns how long it really was.
fn stop(server: &Server) -> Result<Duration> {
    std::thread::sleep(STOP_AT);
    let begin = Instant::now();
    server.pause()?;
    std::thread::sleep(STOP);
    server.resume()?;
    Ok(begin.elapsed())
}

/// What p99 must be after a stop, however short the answers otherwise are.
fn expected(duration: Duration, stopped: Duration) -> Duration {
    stopped.saturating_sub(duration / 100)
}

fn is_within(measured_ns: u64, expected: Duration) -> bool {
    let expected = expected.as_nanos() as f64;
    (measured_ns as f64 - expected).abs() <= expected * TOLERANCE
}

struct Watch(Interrupt);

impl Progress for Watch {
    fn tick(&mut self, _now: &Tick) -> ControlFlow<()> {
        if self.0.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_of_three_shows_as_470_ms_within_two_percent() {
        let wanted = expected(DURATION, STOP);
        assert_eq!(wanted, Duration::from_millis(470));
        assert!(is_within(470_000_000, wanted));
        assert!(is_within(460_600_000, wanted) && is_within(479_400_000, wanted));
        assert!(!is_within(460_500_000, wanted) && !is_within(479_500_000, wanted));
        assert!(!is_within(200_000, wanted), "what a closed loop would show");
    }
}
