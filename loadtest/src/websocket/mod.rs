//! `skyring-load websocket`: the load benchmark of a WebSocket server.

use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::measure::{self, Scenario};
use crate::protocol::Protocol;
use crate::protocol::http::url::Url;
use crate::protocol::websocket::{Ask, ECHO};
use crate::units::parse_bytes;

const EXAMPLES: &str = "\
Examples:
  skyring-load websocket                             start a server, run at half of its maximum
  skyring-load websocket --size 16k -c 256 -r max    a closed loop of larger messages
  skyring-load websocket --target ws://10.0.0.5:8080/echo
  skyring-load websocket --server fastwebsockets     a peer (built with --features peers)

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
    measure::run(&args.run, &scenario)
}
