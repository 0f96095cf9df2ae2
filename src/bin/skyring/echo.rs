//! `skyring echo`: sends every frame back.

use std::error::Error;
use std::process::ExitCode;

use skyring::{Framing, servers, tls};

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
    /// Encrypt by TLS, with the files of SKYRING_TLS_CERT and SKYRING_TLS_KEY; SIGHUP reads them anew.
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    knobs: Knobs,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let (config, _log) = options.knobs.serving()?;
    let (listen, framing) = (&options.listen, options.framing);
    if !options.tls {
        let engine = servers::echo::engine(config, listen, framing);
        return super::serve(engine, &format!("echo, {framing}"));
    }
    config.check()?; // that one of the two files is missing is said best by this
    let tls = tls::Server::from_config(&config)?;
    let engine = servers::echo::tls_engine(config, listen, framing, &tls);
    super::reload_on_hangup(tls)?;
    super::serve(engine, &format!("echo, {framing}, TLS"))
}
