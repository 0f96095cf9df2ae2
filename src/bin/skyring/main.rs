//! The program `skyring`: the servers, the effective configuration, and the doctor.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

mod agent;
mod chat;
mod config;
mod doctor;
mod echo;
mod web;

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use skyring::servers::log::{self, Log};

/// Network engine for latency-critical servers on Linux: io_uring, one reactor a core.
#[derive(Parser)]
#[command(
    version,
    after_help = "Every command reads the SKYRING_ variables; see `skyring config`."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve an echo: every frame comes back.
    Echo(echo::Options),
    /// Serve requests of JSON: login, echo, quit; or make an account.
    Agent(agent::Options),
    /// Serve a page with an API, an echo and a chat, by HTTP and WebSocket.
    Web(web::Options),
    /// Serve a chat: rooms, names, whispers.
    Chat(chat::Options),
    /// Print every knob: its value, where it comes from, and what this machine grants.
    Config(config::Options),
    /// Say whether skyring can run here, and what would make it run better.
    Doctor(doctor::Options),
}

/// Knobs given on the command line, which every command takes.
#[derive(Args)]
struct Knobs {
    /// Set a knob, as in `--set spin=50us`; it wins over the environment.
    #[arg(long = "set", value_name = "KNOB=VALUE")]
    set: Vec<String>,
}

impl Knobs {
    /// The environment, and what the command line sets above it.
    fn config(&self) -> Result<skyring::config::Config, Box<dyn Error>> {
        let mut config = skyring::config::Config::from_env()?;
        for pair in &self.set {
            let (name, value) =
                pair.split_once('=').ok_or("--set takes KNOB=VALUE, as in --set spin=50us")?;
            config = config.set(name, value)?;
        }
        Ok(config)
    }

    /// The knobs of a server, whose log is on stderr from here on until the end of [`Log`].
    fn serving(&self) -> Result<(skyring::config::Config, Log), Box<dyn Error>> {
        let config = self.config()?;
        let log = log::to_stderr(config.log_level());
        Ok((config, log))
    }
}

/// What a bad variable or option ends with, as clap does for its own.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match Line::parse().command {
        Command::Echo(options) => echo::run(&options),
        Command::Agent(options) => agent::run(&options),
        Command::Web(options) => web::run(&options),
        Command::Chat(options) => chat::run(&options),
        Command::Config(options) => config::run(&options),
        Command::Doctor(options) => doctor::run(&options),
    };
    done.unwrap_or_else(|error| {
        complain(&error.to_string());
        ExitCode::from(EXIT_USAGE)
    })
}

/// Prints to stdout; a reader that has gone, such as `head`, is no error.
fn print(text: &str) -> Result<(), Box<dyn Error>> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says something on stderr; where nobody reads it, that is no reason to end.
fn complain(words: &str) {
    let _ = writeln!(std::io::stderr(), "skyring: {words}");
}

/// Reads the files of a server anew at each SIGHUP, for as long as the program runs.
fn reload_on_hangup(tls: skyring::tls::Server) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new([SIGHUP])?;
    std::thread::spawn(move || {
        for _ in &mut signals {
            match tls.reload() {
                Ok(()) => complain("certificates are read anew"),
                Err(error) => complain(&format!("certificates stay as they were: {error}")),
            }
        }
    });
    Ok(())
}

/// Runs a server until SIGINT or SIGTERM. The first line on stdout says where it listens.
fn serve(engine: skyring::Engine, what: &str) -> Result<ExitCode, Box<dyn Error>> {
    engine.run_then(|handle| {
        for address in handle.addresses() {
            let _ = print(&format!("listening on {address} ({what}, cores {})\n", handle.cores()));
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
