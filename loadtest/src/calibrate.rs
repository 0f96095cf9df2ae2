//! `skyring-load calibrate`: the tool tests itself.

use std::process::ExitCode;

use crate::error::{Error, Result};

/// What `calibrate` takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {}

/// Tests the generator.
///
/// # Errors
/// The server cannot be started or driven.
pub fn run(_args: &Args) -> Result<ExitCode> {
    Err(Error::usage("calibrate is not built yet"))
}
