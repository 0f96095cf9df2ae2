//! `skyring-load echo`: the load benchmark of an echo server.

use std::process::ExitCode;

use crate::error::{Error, Result};

/// What `echo` takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {}

/// Runs the benchmark.
///
/// # Errors
/// The server cannot be started or driven.
pub fn run(_args: &Args) -> Result<ExitCode> {
    Err(Error::usage("echo is not built yet"))
}
