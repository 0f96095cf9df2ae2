//! skyring's own servers as children of the load tool: the same engines as those of `skyring echo`
//! and `skyring chat`, and a small one of HTTP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Map, Value};
use skyring::http::{Limits as HttpLimits, Response, Router};
use skyring::limit::Limit;
use skyring::servers::chat::Limits;
use skyring::servers::log::{self, Log};
use skyring::tls::{self, Pem};
use skyring::{Agent, Client, Config, Engine, Frame, Framing as Wire, Gate, Handle, servers};

use super::certificate::{self, Pair};
use super::{PLAINTEXT_WORDS, long_way};
use crate::error::{Error, Result};
use crate::framing::{Framing, PAYLOAD_BYTES_MAX};
use crate::protocol::http::{ECHO, PLAINTEXT};

/// How clients get their agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// By the gate itself.
    Short,
    /// By a watchdog, which has the gate forward them.
    Long,
}

/// The echo server.
pub(super) fn echo(
    listen: SocketAddr,
    framing: Framing,
    way: Way,
    set: &[String],
) -> Result<ExitCode> {
    let (listen, wire) = (listen.to_string(), wire(framing));
    serve(set, framing.name(), |config| match way {
        Way::Short => servers::echo::engine(config, &listen, wire),
        Way::Long => long_way::engine(config, &listen, wire),
    })
}

/// The chat server, without limits that a generator would reach.
pub(super) fn chat(listen: SocketAddr, framing: Framing, set: &[String]) -> Result<ExitCode> {
    let limits = Limits { commands: Limit::UNLIMITED, members_max: 1 << 20, ..Limits::default() };
    serve(set, framing.name(), |config| {
        servers::chat::engine(config, &listen.to_string(), wire(framing), limits)
    })
}

/// The echo server over TLS.
pub(super) fn tls(listen: SocketAddr, framing: Framing, set: &[String]) -> Result<ExitCode> {
    let Pair { certificate, key } = certificate::make()?;
    let tls = tls::Server::builder().certificate(Pem::bytes(certificate), Pem::bytes(key)).build();
    let tls = tls.map_err(|error| Error::run(error.to_string()))?;
    let gate = Gate::framed(wire(framing)).tls(&tls).agent(|_client| Echo);
    serve(set, &format!("{} over TLS", framing.name()), |config| {
        Engine::new(config).gate(listen.to_string(), gate)
    })
}

/// Answers each frame with itself.
struct Echo;

impl Agent for Echo {
    async fn frame(&mut self, client: &Client, frame: Frame) -> skyring::Result<()> {
        client.send(frame)
    }
}

/// A few words, what was sent, and files, over HTTP.
pub(super) fn http(listen: SocketAddr, root: Option<PathBuf>, set: &[String]) -> Result<ExitCode> {
    let listen = listen.to_string();
    serve(set, "http", |config| {
        Engine::new(config).http(&*listen, move |_core| match &root {
            Some(root) => router().files("/files", root),
            None => router(),
        })
    })
}

fn router() -> Router {
    let limits = HttpLimits { body_bytes_max: PAYLOAD_BYTES_MAX as u64, ..HttpLimits::default() };
    Router::new()
        .get(PLAINTEXT, async |_request| Ok(Response::text(PLAINTEXT_WORDS)))
        .post(ECHO, async |mut request| {
            let body = request.bytes().await?;
            Ok(Response::bytes("application/octet-stream", body))
        })
        .limits(limits)
}

fn wire(framing: Framing) -> Wire {
    framing.name().parse().expect("both know the same framings")
}

/// Serves until a signal; the first line says where, the second the configuration.
fn serve(set: &[String], spoken: &str, make: impl FnOnce(Config) -> Engine) -> Result<ExitCode> {
    let (config, values, _log) = configured(set)?;
    let served = make(config).run_then(|handle| {
        // Nobody listens any more: the signal that ends us is on its way.
        let _ = announce(handle, spoken, &values);
    });
    served.map_err(|error| Error::run(format!("the server skyring: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// As [`serve`], but returns while the engine runs.
pub(super) fn start(
    set: &[String],
    spoken: &str,
    make: impl FnOnce(Config) -> Engine,
) -> Result<Handle> {
    let (config, values, _log) = configured(set)?; // writes on when this handle of it is gone
    let started = make(config).start();
    let handle = started.map_err(|error| Error::run(format!("the server skyring: {error}")))?;
    let _ = announce(&handle, spoken, &values);
    Ok(handle)
}

/// The configuration, what is told of it, and the log of the engine, by `SKYRING_LOG`.
fn configured(set: &[String]) -> Result<(Config, Value, Log)> {
    let config = config(set).map_err(|error| Error::usage(error.to_string()))?;
    let values = Value::Object(values(&config));
    let log = log::to_stderr(config.log_level());
    Ok((config, values, log))
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

fn announce(handle: &Handle, spoken: &str, values: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for address in handle.addresses() {
        let cores = handle.cores();
        writeln!(out, "listening on {address} (skyring, {spoken}, cores {cores})")?;
    }
    writeln!(out, "config {values}")?;
    out.flush()
}
