//! `skyring-load serve`: the servers that skyring is measured against.
//!
//! Each is a single-threaded echo server, written as well as we can make it: a yardstick that is
//! easy to beat measures nothing. They share the framing, the listener and the first line of
//! output; the way that bytes go in and out is each one's own.

mod epoll;
pub(crate) mod framing;
mod raw_uring;
mod tokio;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use clap::ValueEnum;
use framing::Framing;

/// Half-open and unaccepted connections that the kernel holds for a yardstick: a load generator
/// connects all at once, and a SYN dropped here costs it a second.
const BACKLOG: i32 = 4096;

/// Arguments of `skyring-load serve`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The server to start.
    #[arg(value_enum)]
    pub(crate) server: Server,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// How the stream is cut into frames; only whole frames are answered.
    #[arg(long, value_enum, default_value_t = Framing::U16)]
    pub(crate) framing: Framing,
    /// Bytes that one read of the epoll or tokio server takes at most.
    #[arg(long, value_parser = parse_bytes, default_value = "64k", value_name = "BYTES")]
    pub(crate) read_bytes: usize,
    /// How the epoll server is told of readiness.
    #[arg(long, value_enum, default_value_t = epoll::Trigger::Edge)]
    pub(crate) trigger: epoll::Trigger,
    /// How the raw-uring server receives and sends.
    #[command(flatten)]
    pub(crate) modes: raw_uring::Modes,
}

/// The servers by name. One of skyring itself joins them here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// The smallest possible io_uring loop: the floor.
    RawUring,
    /// epoll with direct writes.
    Epoll,
    /// tokio, one thread, one task for each connection.
    Tokio,
}

/// Listens, says where on the first line of stdout, and serves until a signal ends the process.
///
/// # Errors
/// The address cannot be had, or the server's own set-up failed.
pub(crate) fn run(args: Args) -> io::Result<()> {
    let listener = TcpListener::bind(args.listen)?;
    // A second listen on the same socket only changes the backlog, which std does not let us say.
    rustix::net::listen(&listener, BACKLOG)?;
    announce(&args, listener.local_addr()?)?;
    match args.server {
        Server::RawUring => raw_uring::run(listener, args.framing, args.modes),
        Server::Epoll => epoll::run(&listener, args.framing, args.read_bytes, args.trigger),
        Server::Tokio => tokio::run(listener, args.framing, args.read_bytes),
    }
}

fn announce(args: &Args, address: SocketAddr) -> io::Result<()> {
    let name = args.server.to_possible_value().expect("no server is hidden");
    let how = match args.server {
        Server::RawUring => args.modes.to_string(),
        Server::Epoll => format!("{:?} triggered, {} B reads", args.trigger, args.read_bytes),
        Server::Tokio => format!("{} B reads", args.read_bytes),
    };
    let mut out = io::stdout().lock();
    let name = name.get_name();
    writeln!(out, "listening on {address} ({name}, {}, {})", args.framing, how.to_lowercase())?;
    out.flush()
}

/// Reads `512`, `16k` or `2m`.
fn parse_bytes(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.strip_suffix(['k', 'm']) {
        Some(digits) if lower.ends_with('k') => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (lower.as_str(), 1),
    };
    match digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit)) {
        Some(bytes @ 1..=0x100_0000) => Ok(bytes),
        _ => Err(format!("{text}: expected 1 to 16m bytes, such as 512, 16k or 1m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_units_and_have_bounds() {
        assert_eq!(parse_bytes("512"), Ok(512));
        assert_eq!(parse_bytes("16k"), Ok(16 << 10));
        assert_eq!(parse_bytes("16M"), Ok(16 << 20));
        for bad in ["", "0", "k", "17m", "-1", "1g", "99999999999999999999k"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
