//! `skyring-load echo`: the load benchmark of an echo server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::framing::Framing;
use crate::measure::{self, Scenario};
use crate::protocol::Protocol;
use crate::units::parse_bytes;

const EXAMPLES: &str = "\
Examples:
  skyring-load echo                                  start a server, run at half of its maximum
  skyring-load echo -r 50k -c 256 -d 30s -o report   a rate of your own, with a page of plots
  skyring-load echo -r max --in-flight 16            a closed loop: the maximum
  skyring-load echo --tls                            all of it over TLS
  skyring-load echo --target tcp://10.0.0.5:8888     a server that runs already

Every option can be set by its environment name too. Exit status: 0 no errors, 1 errors,
2 wrong usage, 130 interrupted.";

/// What `echo` takes.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Server that runs already, as tcp://HOST:PORT [default: start one on a core of its own]
    #[arg(long, value_name = "URL", env = "SKYRING_LOAD_TARGET")]
    pub target: Option<String>,
    /// How messages are told apart on the wire
    #[arg(long, value_enum, default_value = "u16", env = "SKYRING_LOAD_FRAMING")]
    pub framing: Framing,
    /// Bytes of a payload, without its framing
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_bytes, env = "SKYRING_LOAD_SIZE")]
    pub size: usize,
    /// Speak TLS; whoever answers is believed
    #[arg(long)]
    pub tls: bool,
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
    args.framing.check_size(args.size).map_err(Error::usage)?;
    let scenario = Scenario {
        name: "echo",
        target: args.target.as_deref().map(resolve).transpose()?,
        protocol: match args.tls {
            true => Protocol::Secure(args.framing),
            false => Protocol::Frames(args.framing),
        },
        payload_bytes: args.size,
    };
    measure::run(&args.run, &scenario)
}

fn resolve(url: &str) -> Result<SocketAddr> {
    let host = url.strip_prefix("tcp://").unwrap_or(url);
    if host.contains("://") || host.contains('/') {
        return Err(Error::usage(format!("--target {url}: write tcp://HOST:PORT")));
    }
    let found = host
        .to_socket_addrs()
        .map_err(|error| Error::usage(format!("--target {url}: {error}; write tcp://HOST:PORT")))?
        .next();
    found.ok_or_else(|| Error::usage(format!("--target {url}: the host has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_urls_or_plain_addresses() {
        assert_eq!(resolve("tcp://127.0.0.1:80").expect("it is one").port(), 80);
        assert_eq!(resolve("127.0.0.1:81").expect("it is one").port(), 81);
        for wrong in ["http://127.0.0.1:80", "127.0.0.1", "tcp://127.0.0.1:80/x"] {
            assert!(matches!(resolve(wrong), Err(Error::Usage(_))), "{wrong}");
        }
    }
}
