//! skyring's echo server as a child of the load tool: the same engine as `skyring echo`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Map, Value};
use skyring::{Config, Framing as Wire, Handle, servers};

use super::long_way;
use crate::error::{Error, Result};
use crate::framing::Framing;

/// How clients get their agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// By the gate itself.
    Short,
    /// By a watchdog, which has the gate forward them.
    Long,
}

/// Serves until a signal; the first line says where, the second the configuration.
pub(super) fn run(
    listen: SocketAddr,
    framing: Framing,
    way: Way,
    set: &[String],
) -> Result<ExitCode> {
    let config = config(set).map_err(|error| Error::usage(error.to_string()))?;
    let values = Value::Object(values(&config));
    let wire: Wire = framing.name().parse().expect("both know the same framings");
    let engine = match way {
        Way::Short => servers::echo::engine(config, &listen.to_string(), wire),
        Way::Long => long_way::engine(config, &listen.to_string(), wire),
    };
    let served = engine.run_then(|handle| {
        // Nobody listens any more: the signal that ends us is on its way.
        let _ = announce(handle, framing, &values);
    });
    served.map_err(|error| Error::run(format!("the server skyring: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

fn config(set: &[String]) -> skyring::Result<Config> {
    let mut config = Config::from_env()?;
    for pair in set {
        let (name, value) =
            pair.split_once('=').ok_or("--set takes KNOB=VALUE, as in --set spin=50us")?;
        config = config.set(name, value)?;
    }
    Ok(config)
}

fn values(config: &Config) -> Map<String, Value> {
    config.entries().map(|entry| (entry.name.to_string(), Value::from(entry.value))).collect()
}

fn announce(handle: &Handle, framing: Framing, values: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for address in handle.addresses() {
        writeln!(
            out,
            "listening on {address} (skyring, {}, cores {})",
            framing.name(),
            handle.cores()
        )?;
    }
    writeln!(out, "config {values}")?;
    out.flush()
}
