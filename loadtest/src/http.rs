//! `skyring-load http`: the load benchmark of an HTTP/1.1 server.

use std::process::ExitCode;

use crate::error::Result;
use crate::measure::{self, Scenario};
use crate::protocol::Protocol;
use crate::protocol::http::Shape;
use crate::protocol::http::url::Url;
use crate::units::parse_bytes;

/// Bytes of a body of `--echo`, unless said.
const ECHO_BYTES: usize = 64;

const EXAMPLES: &str = "\
Examples:
  skyring-load http                                  start a server, run at half of its maximum
  skyring-load http -r max -c 256 --in-flight 16     16 requests pipelined on each connection
  skyring-load http --echo --size 16k                POST bodies that must come back
  skyring-load http --target http://10.0.0.5:8080/   a server that runs already
  skyring-load http --server hyper                   a peer (built with --features peers)

The first answer is the measure of all others: status, length and content are compared whole.
Requests are pipelined only as far as --in-flight says, in an open loop too: one that is due goes
to a connection that is free; if none is it waits, and the wait is part of its response time.
Exit status: 0 no errors, 1 errors, 2 wrong usage, 130 interrupted.";

/// What `http` takes.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Server that runs already, as http://HOST:PORT/PATH [default: start one on a core of its own]
    #[arg(long, value_name = "URL", env = "SKYRING_LOAD_TARGET")]
    pub target: Option<String>,
    /// How the requests look.
    #[command(flatten)]
    pub shape: Shape,
    /// Bytes of a request's body [default: none; 64 with --echo]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, env = "SKYRING_LOAD_SIZE")]
    pub size: Option<usize>,
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
    let url = args.target.as_deref().map(|text| Url::parse(text, "http", 80)).transpose()?;
    let target = url.as_ref().map(Url::resolve).transpose()?;
    let (path, authority) = match url {
        Some(url) => (Some(url.path.unwrap_or_else(|| "/".to_owned())), Some(url.authority)),
        None => (None, None),
    };
    let bytes = args.size.unwrap_or(if args.shape.echo { ECHO_BYTES } else { 0 });
    let ask = args.shape.ask(path, authority, bytes);
    let protocol = Protocol::Http(ask);
    protocol.check_size(bytes).map_err(crate::error::Error::usage)?;
    measure::run(&args.run, &Scenario { name: "http", target, protocol, payload_bytes: bytes })
}
