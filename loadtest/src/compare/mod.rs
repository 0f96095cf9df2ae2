//! `skyring-load compare`: two servers, alive at the same time, driven in turn by one generator.
//!
//! ```text
//!             ┌─ server a ────────┐        slices   a b b a   a'b b a'  a a'a'a   b a a b ...
//!  generator ─┼─ server b ────────┤ core 0          └ ratio ┘ └ ratio ┘ └control┘
//!   core 1    └─ server a (again) ┘        median of the ratios, bootstrap interval
//! ```
//! Absolute figures of a shared machine wander by tens of percent within seconds. The ratio of
//! slices that lie next to each other does not; what is left of the noise shows in the control,
//! which compares a server with itself in the same run.

mod outcome;
mod plan;
mod ratio;
mod show;
mod side;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::error::{Error, Result};
use crate::framing::Framing;
use crate::generator::{Options, Pacing};
use crate::machine::Machine;
use crate::protocol::Protocol;
use crate::protocol::http::Shape;
use crate::protocol::websocket::{Ask, ECHO};
use crate::units::{parse_bytes, parse_count, parse_duration, parse_rate};
use outcome::{Outcome, Records};
use plan::{Group, Side};
use side::{Contestant, Spec, Sum};

/// A closed-loop burst of the calibration, and the warm-up before anything is measured.
const CALIBRATION: Duration = Duration::from_millis(250);

/// Bursts of each server in the calibration.
const CALIBRATION_ROUNDS: usize = 2;

/// The share of the slower server's maximum that the default rate is.
const RATE_SHARE: f64 = 0.5;

/// Groups before a run may end: fewer ratios have no meaningful interval.
const GROUPS_MIN: usize = 6;

/// The part of a slice that is driven before it, unmeasured.
const LEAD_IN: u32 = 4;

/// Arguments of `skyring-load compare`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The server to judge: raw-uring, epoll or tokio, with options of `serve` if need be, or a
    /// command line that starts a server.
    #[arg(long, value_name = "SERVER", value_parser = Spec::parse)]
    a: Spec,
    /// The server to compare it with.
    #[arg(long, value_name = "SERVER", value_parser = Spec::parse)]
    b: Spec,
    /// What both speak.
    #[arg(long, value_enum, default_value_t = Kind::Frames)]
    protocol: Kind,
    /// How the stream is cut into frames.
    #[arg(long, value_enum, default_value_t = Framing::U16)]
    framing: Framing,
    /// Path of HTTP and WebSocket [default: /plaintext; /echo with --echo, and of WebSocket]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Texts instead of binary messages, of WebSocket
    #[arg(long)]
    text: bool,
    /// How requests of HTTP look.
    #[command(flatten)]
    shape: Shape,
    /// Connections to each server.
    #[arg(short, long, value_parser = parse_count, default_value = "256", value_name = "N")]
    connections: u64,
    /// Bytes of a payload [default: 64; none for HTTP without --echo]
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    size: Option<usize>,
    /// Requests outstanding on each connection in a closed loop.
    #[arg(long, value_parser = parse_count, default_value = "1", value_name = "N")]
    in_flight: u64,
    /// How long to measure.
    #[arg(short, long, value_parser = parse_duration, default_value = "10s", value_name = "TIME")]
    duration: Duration,
    /// Requests a second; `auto`: half of the slower server's maximum; `max`: a closed loop.
    #[arg(short, long, value_parser = Rate::parse, default_value = "auto", value_name = "RATE")]
    rate: Rate,
    /// One server's turn.
    #[arg(long, value_parser = parse_slice, default_value = "40ms", value_name = "TIME")]
    slice: Duration,
    /// What arrivals, payloads and resamples are drawn from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// A table to read, or one line of JSON.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Frames that come back.
    Frames,
    /// Frames that come back, over TLS.
    Tls,
    /// HTTP/1.1.
    Http,
    /// Messages of WebSocket that come back.
    Websocket,
}

impl Args {
    fn protocol(&self) -> Protocol {
        match self.protocol {
            Kind::Frames => Protocol::Frames(self.framing),
            Kind::Tls => Protocol::Secure(self.framing),
            Kind::Http => Protocol::Http(self.shape.ask(self.path.clone(), None, self.bytes())),
            Kind::Websocket => Protocol::WebSocket(Ask {
                path: self.path.clone().unwrap_or_else(|| ECHO.to_owned()),
                authority: None,
                is_text: self.text,
            }),
        }
    }

    /// Bytes of a payload.
    fn bytes(&self) -> usize {
        let is_bare = self.protocol == Kind::Http && !self.shape.echo;
        self.size.unwrap_or(if is_bare { 0 } else { 64 })
    }
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table and a sentence.
    Text,
    /// `skyring.compare/1`.
    Json,
}

/// What `-r` says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    Auto,
    Max,
    PerSecond(f64),
}

impl Rate {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "max" => Ok(Self::Max),
            _ => parse_rate(text).map(Self::PerSecond),
        }
    }
}

fn parse_slice(text: &str) -> std::result::Result<Duration, String> {
    let slice = parse_duration(text)?;
    let bounds = Duration::from_millis(5)..=Duration::from_secs(1);
    if bounds.contains(&slice) { Ok(slice) } else { Err(format!("{text}: from 5ms to 1s")) }
}

/// The servers that are driven in turn.
struct Contest {
    first: Contestant,
    second: Contestant,
    other: Contestant,
}

impl Contest {
    fn side(&mut self, side: Side) -> &mut Contestant {
        match side {
            Side::First => &mut self.first,
            Side::Second => &mut self.second,
            Side::Other => &mut self.other,
        }
    }
}

/// Compares, prints, and fails if an answer was wrong or missing.
///
/// # Errors
/// A server cannot be started or reached, or the echo had errors.
pub fn run(args: &Args) -> Result<ExitCode> {
    // Looked at before this thread keeps to one core.
    let machine = Machine::this();
    let mut contest = start(args)?;
    let pacing = pacing(args, &mut contest)?;
    let (ratio, control) = measure(args, &mut contest, pacing)?.ratios(args.seed)?;
    let Contest { first, second, other } = contest;
    let (first, second, other) = (first.sum, second.sum, other.sum);
    let outcome = Outcome { machine, pacing, first, second, other, ratio, control };
    match args.format {
        Format::Text => show::text(args, &outcome),
        Format::Json => show::json(args, &outcome),
    }
    let mut errors = outcome.first.errors;
    errors.merge(&outcome.second.errors);
    errors.merge(&outcome.other.errors);
    match errors.total() {
        0 => Ok(ExitCode::SUCCESS),
        total => {
            let first = errors.sentences.join("; ");
            Err(Error::run(format!(
                "{total} errors in the echo, so the ratio means nothing: {first}"
            )))
        }
    }
}

/// Starts three servers on one core and connects to them from another.
fn start(args: &Args) -> Result<Contest> {
    let cores = cpu::cores();
    let server_core = cores.first().copied();
    if let Some(&core) = cores.get(1) {
        cpu::pin(core)?;
    } else {
        show::note("only one core: the generator disturbs what it measures");
    }
    let protocol = args.protocol();
    let options = Options {
        protocol: protocol.clone(),
        connections: usize::try_from(args.connections).unwrap_or(usize::MAX),
        payload_bytes: args.bytes(),
        in_flight: usize::try_from(args.in_flight).unwrap_or(usize::MAX),
        seed: args.seed,
    };
    let start = |spec: &Spec| Contestant::connect(spec.start(&protocol, server_core)?, &options);
    let contest =
        Contest { first: start(&args.a)?, second: start(&args.a)?, other: start(&args.b)? };
    let (a, b) = (contest.first.content_bytes(), contest.other.content_bytes());
    if a != b {
        show::note(&format!("a answers with {a} bytes, b with {b}: the ratio is not of like"));
    }
    Ok(contest)
}

/// Warms all three up, and finds the rate: what the slower one can do, halved.
fn pacing(args: &Args, contest: &mut Contest) -> Result<Pacing> {
    let mut slowest = f64::INFINITY;
    for round in 0..CALIBRATION_ROUNDS {
        for side in [Side::First, Side::Second, Side::Other] {
            show::progress("warming up and finding the maximum", round, CALIBRATION_ROUNDS);
            let sum = contest.side(side).slice(CALIBRATION, Pacing::Max)?;
            // The first round meets cold caches and growing buffers.
            if round > 0 {
                slowest = slowest.min(sum.achieved());
            }
        }
    }
    match args.rate {
        Rate::Max => Ok(Pacing::Max),
        Rate::PerSecond(rate) => Ok(Pacing::Rate(rate)),
        Rate::Auto if slowest > 0.0 => Ok(Pacing::Rate(slowest * RATE_SHARE)),
        Rate::Auto => Err(Error::run("a server answered nothing in the calibration")),
    }
}

/// Groups of four slices until the time is over.
fn measure(args: &Args, contest: &mut Contest, pacing: Pacing) -> Result<Records> {
    let begun = Instant::now();
    let mut records = Records::default();
    let mut group = 0;
    while group < GROUPS_MIN || begun.elapsed() < args.duration {
        let kind = Group::numbered(group);
        let (mut above, mut below) = (Sum::default(), Sum::default());
        for side in plan::order(group) {
            let contestant = contest.side(side);
            // Not measured: the caches still hold what the one before needed.
            contestant.slice(args.slice / LEAD_IN, pacing)?;
            let slice = contestant.slice(args.slice, pacing)?;
            contestant.sum.add(&slice);
            if side == kind.sides().0 { above.add(&slice) } else { below.add(&slice) }
        }
        records.add(kind, &above, &below);
        group += 1;
        let total = args.duration.as_millis() as usize;
        show::progress("measuring", begun.elapsed().as_millis() as usize, total);
    }
    show::progress_end();
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_command_line_is_read() {
        let cli =
            Cli::parse_from(["", "--a", "raw-uring --block 64k", "--b", "epoll", "-r", "max"]);
        assert_eq!((cli.args.rate, cli.args.connections), (Rate::Max, 256));
        assert_eq!(cli.args.duration, Duration::from_secs(10));
        assert!(Cli::try_parse_from(["", "--a", "epoll"]).is_err(), "--b is missing");
        let slice = ["", "--a", "epoll", "--b", "tokio", "--slice", "2s"];
        assert!(Cli::try_parse_from(slice).is_err());
        assert_eq!(Rate::parse("20k"), Ok(Rate::PerSecond(20_000.0)));
        assert!(Rate::parse("fast").is_err());
    }
}
