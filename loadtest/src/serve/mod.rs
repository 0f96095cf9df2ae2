//! `skyring-load serve`: the servers to compare with.

use std::process::ExitCode;

use crate::error::{Error, Result};

/// What `serve` takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Which server: skyring, raw-uring, epoll or tokio.
    pub name: String,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// How messages are told apart.
    #[arg(long, value_enum, default_value = "u16")]
    pub framing: crate::framing::Framing,
}

/// Serves until a signal.
///
/// # Errors
/// The server is not known or cannot listen.
pub fn run(args: &Args) -> Result<ExitCode> {
    Err(Error::usage(format!("the server {} is not built yet", args.name)))
}
