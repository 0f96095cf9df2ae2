//! `skyring echo`: sends every frame back.

use std::error::Error;
use std::process::ExitCode;

use skyring::{Framing, servers};

use super::Knobs;

/// Options of `skyring echo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen: host:port (port 0 takes a free one) or unix:/path.
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "ADDR")]
    listen: String,
    /// How frames are cut: raw, u16 or u32 (big-endian length before each), or line.
    #[arg(long, default_value = "raw")]
    framing: Framing,
    #[command(flatten)]
    knobs: Knobs,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let config = options.knobs.config()?;
    let what = format!("echo, {}", options.framing);
    let engine = servers::echo::engine(config, &options.listen, options.framing);
    super::serve(engine, &what)
}
