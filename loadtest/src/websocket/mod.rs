//! `skyring-load websocket`: the load benchmark of a WebSocket server.

// The result on stdout is what this command is for.
#![allow(clippy::print_stdout)]

mod broadcast;
mod outcome;

use std::process::ExitCode;

use crate::cpu;
use crate::error::{Error, Result};
use crate::generator::Pacing;
use crate::machine::Machine;
use crate::measure::{self, Format, Scenario};
use crate::progress::{Interrupt, Watch};
use crate::protocol::Protocol;
use crate::protocol::http::url::Url;
use crate::protocol::websocket::{Ask, ECHO};
use crate::units::parse_bytes;
use broadcast::{Drive, Load};

/// Sockets of a broadcast, and its messages a second, unless said.
const SOCKETS: u64 = 5000;
const RATE: f64 = 10.0;

const EXAMPLES: &str = "\
Examples:
  skyring-load websocket                             start a server, run at half of its maximum
  skyring-load websocket --size 16k -c 256 -r max    a closed loop of larger messages
  skyring-load websocket --target ws://10.0.0.5:8080/echo
  skyring-load websocket --server fastwebsockets     a peer (built with --features peers)
  skyring-load websocket --broadcast -c 5000 -r 20   what one says goes to all

Messages are masked, as a client must, and compared whole when they come back. Exit status: 0 no
errors, 1 errors, 2 wrong usage, 130 interrupted.";

/// What `websocket` takes.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Server that runs already, as ws://HOST:PORT/PATH [default: start one on a core of its own]
    #[arg(long, value_name = "URL", env = "SKYRING_LOAD_TARGET")]
    pub target: Option<String>,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_bytes, env = "SKYRING_LOAD_SIZE")]
    pub size: usize,
    /// Send texts, whose UTF-8 the server checks, instead of binary messages
    #[arg(long)]
    pub text: bool,
    /// What one socket says, a message a tick, goes to all [default: 5,000 of them, 10 a second]
    #[arg(long)]
    pub broadcast: bool,
    /// What every run takes.
    #[command(flatten)]
    pub run: measure::Run,
}

/// Runs the benchmark and prints its result.
///
/// # Errors
/// The options make no sense, the server cannot be started or reached, or the result cannot be
/// written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let url = args.target.as_deref().map(|text| Url::parse(text, "ws", 80)).transpose()?;
    let target = url.as_ref().map(Url::resolve).transpose()?;
    let (path, authority) = match url {
        Some(url) => (url.path.unwrap_or_else(|| "/".to_owned()), Some(url.authority)),
        None => (ECHO.to_owned(), None),
    };
    let protocol = Protocol::WebSocket(Ask { path, authority, is_text: args.text });
    protocol.check_size(args.size).map_err(Error::usage)?;
    let scenario = Scenario { name: "websocket", target, protocol, payload_bytes: args.size };
    if args.broadcast { tell_all(args, &scenario) } else { measure::run(&args.run, &scenario) }
}

/// Runs a broadcast and prints its result.
fn tell_all(args: &Args, scenario: &Scenario) -> Result<ExitCode> {
    let load = load(args)?;
    let (cores, machine) = (cpu::cores(), Machine::this());
    let interrupt = Interrupt::listen()?;
    let target = measure::find_target(&args.run, scenario, cores[0])?;
    cpu::pin(*cores.get(1).unwrap_or(&cores[0]))?;
    let total = load.warm_up + load.duration;
    let mut watch = Watch::new("measuring", total, target.pid, interrupt);
    let mut outcome = Drive::connect(target.address, &load, &mut watch)?.run(&mut watch)?;
    outcome.server_cpu = watch.server_cpu();
    match args.run.format {
        Format::Text => print!("{}", outcome.text(&load, &machine)),
        Format::Json => println!("{:#}", outcome.json(&load, &machine)),
    }
    Ok(match &outcome {
        outcome if outcome.is_interrupted => ExitCode::from(130),
        outcome if outcome.errors.total() > 0 => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}

fn load(args: &Args) -> Result<Load> {
    let run = &args.run;
    measure::check_time(run)?;
    let rate = match run.rate {
        None => RATE,
        Some(Pacing::Rate(rate)) => rate,
        Some(Pacing::Max) => return Err(Error::usage("a broadcast has a rate: -r 10")),
    };
    let sockets = run.connections.unwrap_or(SOCKETS) as usize;
    if sockets == 0 {
        return Err(Error::usage("a broadcast goes to a socket at least"));
    }
    Ok(Load {
        sockets,
        bytes: args.size,
        is_text: args.text,
        rate,
        warm_up: run.warm_up,
        duration: run.duration,
        seed: run.seed,
    })
}
