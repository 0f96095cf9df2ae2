//! `skyring-load chat`: clients in rooms who talk, and whether each hears everything, in one order
//! and in time.
//!
//! ```text
//!   schedule ──due──► a client says MSG ──► server ──► all others of the room: `message`, id
//!                                              └─────► the speaker: `sent`, the same id
//!   every client: ids without a gap, growing; the texts of an id the same for all of its room
//! ```
//! Latency is from the time at which a message was due to each of its deliveries.

// The result on stdout is what this command is for.
#![allow(clippy::print_stdout)]

mod client;
mod drive;
mod ledger;
mod outcome;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::cpu;
use crate::error::{Error, Result};
use crate::framing::Framing;
use crate::machine::Machine;
use crate::measure::Format;
use crate::process::{self, Server};
use crate::progress::{Interrupt, Watch};
use crate::protocol::Protocol;
use crate::units::{parse_bytes, parse_count, parse_duration, parse_rate};
use drive::Drive;

const EXAMPLES: &str = "\
Examples:
  skyring-load chat                          1,000 clients in 10 rooms, 1,000 messages a second
  skyring-load chat -c 5000 --rooms 5 -r 100
  skyring-load chat --target 127.0.0.1:8888 --server-pid 4711
                                             a server that runs already: skyring chat --rate 0

Exit status: 0 all was delivered in order, 1 not, 2 wrong usage, 130 interrupted.";

/// What `chat` takes.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Server that runs already, framed by u16 [default: start one on a core of its own]
    #[arg(long, value_name = "ADDR")]
    pub target: Option<SocketAddr>,
    /// Process of the target, whose CPU time is to be read
    #[arg(long, value_name = "PID", requires = "target")]
    pub server_pid: Option<u32>,
    /// Clients, all of them members of a room
    #[arg(short, long, value_name = "N", default_value = "1000", value_parser = parse_count)]
    pub clients: u64,
    /// Rooms, of as many members each as the others
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_count)]
    pub rooms: u64,
    /// Messages a second that clients say, all together; Poisson, whatever the server does
    #[arg(short, long, value_name = "RATE", default_value = "1000", value_parser = parse_rate)]
    pub rate: f64,
    /// Bytes of what is said at once
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_bytes)]
    pub size: usize,
    /// Measured time
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,
    /// Time before it whose messages are not measured
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub warm_up: Duration,
    /// What arrivals and speakers are drawn from
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Knobs of the server that is started, as in `--set spin=50us`
    #[arg(long = "set", value_name = "KNOB=VALUE", conflicts_with = "target")]
    pub set: Vec<String>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Runs the benchmark and prints its result.
///
/// # Errors
/// The options make no sense, or the server cannot be started or reached, or breaks its protocol.
pub fn run(args: &Args) -> Result<ExitCode> {
    check(args)?;
    let (cores, machine) = (cpu::cores(), Machine::this());
    let interrupt = Interrupt::listen()?;
    let server = match args.target {
        Some(_) => None,
        None => {
            let mut command = process::named("chat", &Protocol::Frames(Framing::U16))?;
            command.args(args.set.iter().flat_map(|knob| ["--set", knob]));
            Some(Server::start("chat", command, Some(cores[0]))?)
        }
    };
    let address = args.target.or(server.as_ref().map(Server::address)).expect("one of both");
    let pid = args.server_pid.or(server.as_ref().map(Server::pid));
    cpu::pin(*cores.get(1).unwrap_or(&cores[0]))?;
    let mut watch = Watch::new("measuring", args.warm_up + args.duration, pid, interrupt);
    let mut outcome = Drive::connect(address, args, &mut watch)?.run(&mut watch)?;
    outcome.server_cpu = watch.server_cpu();
    outcome.steal_ns = watch.steal_ns();
    match args.format {
        Format::Text => print!("{}", outcome.text(args, &machine)),
        Format::Json => println!("{:#}", outcome.json(args, &machine)),
    }
    Ok(match &outcome {
        outcome if outcome.is_interrupted => ExitCode::from(130),
        outcome if outcome.ledger.flaws() == 0 && outcome.ledger.missing() == 0 => {
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(1),
    })
}

fn check(args: &Args) -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(3600);
    if args.rooms == 0 || args.clients < args.rooms {
        return Err(Error::usage("there is a room at least, and a client in each room"));
    }
    if !(client::STAMP_BYTES..=4096).contains(&args.size) {
        let least = client::STAMP_BYTES;
        return Err(Error::usage(format!("--size lies in {least}..=4096: it carries the time")));
    }
    if args.duration.is_zero() || args.duration > LONGEST || args.warm_up > LONGEST {
        return Err(Error::usage("the duration lies above 0 and up to 1h; the warm-up up to 1h"));
    }
    Ok(())
}
