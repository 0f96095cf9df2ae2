//! `skyring web`: a page, an API, an echo and a chat.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use skyring::servers::web;
use skyring::tls;
use tracing::level_filters::LevelFilter;

use super::Knobs;

/// Options of `skyring web`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen: host:port (port 0 takes a free one) or unix:/path.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// Speak TLS, with the certificate that SKYRING_TLS_CERT and SKYRING_TLS_KEY name. SIGHUP has
    /// it read anew.
    #[arg(long)]
    tls: bool,
    /// A folder whose files are served below /files/.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    knobs: Knobs,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let (config, _log) = options.knobs.serving()?;
    let mut site = web::Options::default();
    site.root.clone_from(&options.root);
    site.log_access = config.log_level() >= LevelFilter::INFO;
    if !options.tls {
        return super::serve(web::engine(config, &options.listen, None, site), "web, http");
    }
    config.check()?; // that one of the two files is missing is said best by this
    let tls = tls::Server::from_config(&config)?;
    let engine = web::engine(config, &options.listen, Some(&tls), site);
    super::reload_on_hangup(tls)?;
    super::serve(engine, "web, https")
}
