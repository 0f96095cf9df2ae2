//! `skyring-load compare`: the ratio of two servers' CPU a request, taken in one run.

use std::process::ExitCode;

use crate::error::{Error, Result};

/// What `compare` takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {}

/// Compares two servers.
///
/// # Errors
/// One of them cannot be started or driven.
pub fn run(_args: &Args) -> Result<ExitCode> {
    Err(Error::usage("compare is not built yet"))
}
