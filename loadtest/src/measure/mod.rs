//! One measured run: a server found or started, driven at a rate, judged, told as text, JSON and a
//! page. What is spoken on the connections is the sub-command's.

// The result on stdout is what these commands are for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod outcome;
pub mod report;
pub mod table;
pub mod verdict;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::cpu;
use crate::error::{Doing, Error, Result};
use crate::generator::{Generator, Options, Pacing, Plan};
use crate::machine::Machine;
use crate::process::{self, Server};
use crate::progress::{Interrupt, Watch};
use crate::protocol::Protocol;
use crate::units::{parse_count, parse_duration, parse_rate, show_rate};
use outcome::Outcome;
use verdict::Evidence;

/// How long the closed loop runs from which the default rate is taken, and its warm-up.
const CALIBRATION: Duration = Duration::from_millis(800);
const CALIBRATION_WARM_UP: Duration = Duration::from_millis(400);

/// Connections unless said.
const CONNECTIONS: u64 = 64;

/// How long the last answers of a run are waited for.
const DRAIN: Duration = Duration::from_secs(2);

/// What every run takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Run {
    /// Process of the target, whose CPU time is to be read [default: looked up if it is local]
    #[arg(long, value_name = "PID", env = "SKYRING_LOAD_SERVER_PID")]
    pub server_pid: Option<u32>,
    /// Server to start when there is no target: skyring, a peer of `serve`, or a command line
    #[arg(long, value_name = "NAME", default_value = "skyring", env = "SKYRING_LOAD_SERVER")]
    pub server: String,
    /// Connections, all open from the start [default: 64]
    #[arg(short, long, value_name = "N", value_parser = parse_count, env = "SKYRING_LOAD_CONNECTIONS")]
    pub connections: Option<u64>,
    /// Measured time
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, env = "SKYRING_LOAD_DURATION")]
    pub duration: Duration,
    /// Time before it whose requests are not measured
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = parse_duration, env = "SKYRING_LOAD_WARM_UP")]
    pub warm_up: Duration,
    /// Requests in flight on each connection of a closed loop
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count, env = "SKYRING_LOAD_IN_FLIGHT")]
    pub in_flight: u64,
    /// Requests a second, Poisson, whatever the server does; `max` for a closed loop [default:
    /// half of the maximum that a short calibration finds]
    #[arg(short, long, value_name = "RATE|max", value_parser = parse_pacing, env = "SKYRING_LOAD_RATE")]
    pub rate: Option<Pacing>,
    /// What arrivals, connections and payloads are drawn from
    #[arg(long, value_name = "N", default_value = "1", env = "SKYRING_LOAD_SEED")]
    pub seed: u64,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text", env = "SKYRING_LOAD_FORMAT")]
    pub format: Format,
    /// Folder for result.json and report.html, made if missing
    #[arg(short, long, value_name = "DIR", env = "SKYRING_LOAD_OUT")]
    pub out: Option<PathBuf>,
}

/// What is spoken with whom.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The sub-command's name.
    pub name: &'static str,
    /// A server that runs already.
    pub target: Option<SocketAddr>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Bytes of a payload.
    pub payload_bytes: usize,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for reading.
    Text,
    /// The same as result.json.
    Json,
}

/// Who is driven.
pub(crate) struct Target {
    name: String,
    pub(crate) address: SocketAddr,
    pub(crate) pid: Option<u32>,
    config: Value,
    /// Ends with the run.
    _server: Option<Server>,
}

/// Runs the benchmark and prints its result.
///
/// # Errors
/// The options make no sense, the server cannot be started or reached, or the result cannot be
/// written.
pub fn run(args: &Run, scenario: &Scenario) -> Result<ExitCode> {
    let options = options(args, scenario);
    check_time(args)?;
    let cores = cpu::cores();
    let machine = Machine::this();
    let interrupt = Interrupt::listen()?;
    let target = find_target(args, scenario, cores[0])?;
    cpu::pin(*cores.get(1).unwrap_or(&cores[0]))?;
    let mut connecting = Watch::new("connecting", Duration::ZERO, None, interrupt.clone());
    let mut generator = Generator::connect(target.address, &options, &mut connecting)?;
    let (pacing, calibrated_max) = match args.rate {
        Some(pacing) => (pacing, None),
        None => {
            let max = calibrate(&mut generator, &interrupt)?;
            (Pacing::Rate(half(max)), Some(max))
        }
    };
    let plan = Plan { warm_up: args.warm_up, duration: args.duration, pacing, drain: DRAIN };
    let mut watch = Watch::new("measuring", args.warm_up + args.duration, target.pid, interrupt);
    let slice = generator.run(&plan, &mut watch)?;
    let server_cpu = watch.server_cpu();
    let evidence = Evidence::of(&slice, pacing, server_cpu, watch.steal_ns(), cores.len());
    let outcome = Outcome {
        scenario: scenario.name,
        server: target.name.clone(),
        target: target.address,
        server_config: target.config.clone(),
        options,
        pacing,
        calibrated_max,
        warm_up: args.warm_up,
        duration: args.duration,
        slice,
        server_cpu,
        machine,
        verdict: evidence.judge(),
    };
    finish(args, &outcome)
}

fn finish(args: &Run, outcome: &Outcome) -> Result<ExitCode> {
    let json = format!("{:#}\n", outcome.json());
    match args.format {
        Format::Text => print!("{}", table::text(outcome)),
        Format::Json => print!("{json}"),
    }
    if let Some(folder) = &args.out {
        write(folder, "result.json", &json)?;
        let page = write(folder, "report.html", &report::html(outcome))?;
        eprintln!("report: {}", page.display());
    }
    Ok(match &outcome.slice {
        slice if slice.is_interrupted => ExitCode::from(130),
        slice if slice.errors.total() > 0 => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
    written.doing(&format!("writing {}", path.display()))?;
    Ok(path)
}

fn options(args: &Run, scenario: &Scenario) -> Options {
    Options {
        protocol: scenario.protocol.clone(),
        connections: args.connections.unwrap_or(CONNECTIONS) as usize,
        payload_bytes: scenario.payload_bytes,
        in_flight: args.in_flight as usize,
        seed: args.seed,
    }
}

pub(crate) fn check_time(args: &Run) -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    if args.duration.is_zero() || args.duration > LONGEST || args.warm_up > LONGEST {
        return Err(Error::usage("the duration lies above 0 and up to 24h; the warm-up up to 24h"));
    }
    Ok(())
}

pub(crate) fn find_target(args: &Run, scenario: &Scenario, core: usize) -> Result<Target> {
    let Some(address) = scenario.target else {
        let server = Server::start(
            &args.server,
            process::asked_for(&args.server, &scenario.protocol)?,
            Some(core),
        )?;
        return Ok(Target {
            name: args.server.clone(),
            address: server.address(),
            pid: Some(server.pid()),
            config: server.config().clone(),
            _server: Some(server),
        });
    };
    let local = || address.ip().is_loopback().then(|| cpu::listener(address)).flatten();
    Ok(Target {
        name: "a running server".into(),
        address,
        pid: args.server_pid.or_else(local),
        config: Value::Object(serde_json::Map::new()),
        _server: None,
    })
}

/// Finds the maximum of a short closed loop.
fn calibrate(generator: &mut Generator, interrupt: &Interrupt) -> Result<f64> {
    let total = CALIBRATION_WARM_UP + CALIBRATION;
    let mut watch = Watch::new("calibrating", total, None, interrupt.clone());
    let plan = Plan {
        warm_up: CALIBRATION_WARM_UP,
        duration: CALIBRATION,
        pacing: Pacing::Max,
        drain: DRAIN,
    };
    let slice = generator.run(&plan, &mut watch)?;
    if slice.is_interrupted {
        return Err(Error::run("interrupted while the maximum was looked for"));
    }
    if slice.errors.total() > 0 || slice.answered_in_time == 0 {
        let what = slice.errors.sentences.first().map_or("no request was answered", |first| first);
        return Err(Error::run(format!("the calibration failed: {what}")));
    }
    eprintln!("calibration: at most {}/s in a closed loop", show_rate(slice.achieved()));
    Ok(slice.achieved())
}

/// Half of a maximum, in two digits, so that runs on one machine mostly get the same rate.
fn half(max: f64) -> f64 {
    let half = (max / 2.0).max(1.0);
    let step = 10_f64.powf(half.log10().floor() - 1.0);
    (half / step).round() * step
}

fn parse_pacing(text: &str) -> std::result::Result<Pacing, String> {
    if text == "max" { Ok(Pacing::Max) } else { parse_rate(text).map(Pacing::Rate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rate_is_round() {
        assert_eq!(half(100_213.0), 50_000.0);
        assert_eq!(half(99_499.0), 50_000.0);
        assert_eq!(half(7.0), 3.5);
        assert_eq!(half(0.5), 1.0);
    }

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!(parse_pacing("max"), Ok(Pacing::Max));
        assert_eq!(parse_pacing("50k"), Ok(Pacing::Rate(50_000.0)));
        assert!(parse_pacing("fast").is_err());
    }
}
