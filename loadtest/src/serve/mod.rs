//! `skyring-load serve`: the servers that skyring is measured against.
//!
//! Beside skyring's own servers, each is a single-threaded one, written as well as we can make it:
//! a yardstick that is easy to beat measures nothing. They share the framing, the listener and the
//! first line of output; the way that bytes go in and out is each one's own. The peers are what
//! others use for HTTP, WebSocket and TLS, by the feature `peers`.

mod certificate;
mod epoll;
mod finder;
mod long_way;
#[cfg(feature = "peers")]
mod peers;
mod raw_uring;
mod skyring;
mod tokio;
mod websocket;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use self::raw_uring::Spoken;
#[cfg(not(feature = "peers"))]
use crate::error::Error;
use crate::error::{Doing, Result};
use crate::framing::Framing;
use crate::units::parse_bytes;

/// Half-open and unaccepted connections that the kernel holds for a yardstick: a load generator
/// connects all at once, and a SYN dropped here costs it a second.
const BACKLOG: i32 = 4096;

/// What servers of HTTP answer on their plain path.
const PLAINTEXT_WORDS: &str = "Hello, World!";

/// The largest buffer that an option may ask for.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// Arguments of `skyring-load serve`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The server to start.
    #[arg(value_enum)]
    server: Server,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// How the stream is cut into frames; only whole frames are answered.
    #[arg(long, value_enum, default_value_t = Framing::U16)]
    framing: Framing,
    /// Bytes that one read takes at most, of the epoll, tokio and tokio-rustls servers [default:
    /// 64k] and of tungstenite [default: 16k]
    #[arg(long, value_parser = parse_buffer, value_name = "BYTES")]
    read_bytes: Option<usize>,
    /// How the epoll server is told of readiness.
    #[arg(long, value_enum, default_value_t = epoll::Trigger::Edge)]
    trigger: epoll::Trigger,
    /// How the skyring server gives its clients to agents.
    #[arg(long, value_enum, default_value_t = skyring::Way::Short)]
    way: skyring::Way,
    /// Knobs of the skyring server, as in `--set spin=50us`; they win over the environment.
    #[arg(long = "set", value_name = "KNOB=VALUE")]
    set: Vec<String>,
    /// A folder whose files the http server has below /files/.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Whether the hyper server gathers the answers of pipelined requests into one write.
    #[arg(long)]
    pipeline_flush: bool,
    /// How the raw-uring server receives and sends.
    #[command(flatten)]
    modes: raw_uring::Modes,
}

impl Args {
    fn read_bytes(&self) -> usize {
        let own = if self.server == Server::Tungstenite { 16 << 10 } else { 64 << 10 };
        self.read_bytes.unwrap_or(own)
    }
}

/// The servers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// skyring's echo: gate, mailbox and agent.
    Skyring,
    /// skyring's chat, for `skyring-load chat`: no echo comes from it.
    Chat,
    /// skyring's echo over TLS.
    Tls,
    /// skyring's HTTP server: GET /plaintext, POST /echo.
    Http,
    /// skyring's WebSocket server: messages on /echo come back.
    Websocket,
    /// The smallest possible io_uring loop: the floor.
    RawUring,
    /// The same loop, which answers the same words to whatever ends like a head of HTTP: its floor.
    RawHttp,
    /// epoll with direct writes.
    Epoll,
    /// tokio, one thread, one task for each connection.
    Tokio,
    /// hyper on tokio: HTTP/1.1, the same paths as `http`.
    Hyper,
    /// A WebSocket echo by tokio-tungstenite.
    Tungstenite,
    /// A WebSocket echo by fastwebsockets.
    Fastwebsockets,
    /// A framed echo over TLS by tokio-rustls.
    TokioRustls,
}

/// Listens, says where on the first line of stdout, and serves until a signal ends the process.
///
/// # Errors
/// The address cannot be had, or the server's own set-up failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    match args.server {
        Server::Skyring => return skyring::echo(args.listen, args.framing, args.way, &args.set),
        Server::Chat => return skyring::chat(args.listen, args.framing, &args.set),
        Server::Http => return skyring::http(args.listen, args.root.clone(), &args.set),
        Server::Tls => return skyring::tls(args.listen, args.framing, &args.set),
        Server::Websocket => return websocket::run(args.listen, &args.set),
        // Before it says that it listens.
        Server::Hyper | Server::Tungstenite | Server::Fastwebsockets | Server::TokioRustls => {
            is_built_in(args.server)?;
        }
        Server::RawUring | Server::RawHttp | Server::Epoll | Server::Tokio => {}
    }
    let name = args.server.name();
    let read_bytes = args.read_bytes();
    let listener =
        TcpListener::bind(args.listen).doing(&format!("listening on {}", args.listen))?;
    // A second listen on the same socket only changes the backlog, which std does not let us say.
    rustix::net::listen(&listener, BACKLOG).doing("setting the backlog")?;
    announce(args, &listener).doing("printing the address")?;
    let served = match args.server {
        Server::Skyring | Server::Chat | Server::Tls | Server::Http | Server::Websocket => {
            unreachable!("it opens its listeners itself")
        }
        Server::RawUring => raw_uring::run(listener, Spoken::Frames(args.framing), args.modes),
        Server::RawHttp => raw_uring::run(listener, Spoken::Http, args.modes),
        Server::Epoll => epoll::run(&listener, args.framing, read_bytes, args.trigger),
        Server::Tokio => tokio::run(listener, args.framing, read_bytes),
        Server::Hyper | Server::Tungstenite | Server::Fastwebsockets | Server::TokioRustls => {
            peer(listener, args)
        }
    };
    served.doing(&format!("the server {name}"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "peers")]
fn is_built_in(_: Server) -> Result<()> {
    Ok(())
}

#[cfg(not(feature = "peers"))]
fn is_built_in(peer: Server) -> Result<()> {
    Err(Error::usage(format!(
        "the server {} is a peer, and this program was built without them: build it with \
         `cargo build --release -p skyring-load --features peers`",
        peer.name()
    )))
}

#[cfg(feature = "peers")]
fn peer(listener: TcpListener, args: &Args) -> io::Result<()> {
    peers::run(listener, args)
}

#[cfg(not(feature = "peers"))]
fn peer(_: TcpListener, _: &Args) -> io::Result<()> {
    unreachable!("refused before it listens")
}

impl Server {
    /// The name as typed on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no server is hidden").get_name().to_owned()
    }
}

fn announce(args: &Args, listener: &TcpListener) -> io::Result<()> {
    let how = match args.server {
        Server::Skyring | Server::Chat | Server::Tls | Server::Http | Server::Websocket => {
            unreachable!("it announces itself")
        }
        Server::RawUring => args.modes.to_string(),
        Server::RawHttp => "nothing is parsed".to_owned(),
        Server::Epoll => format!("{} triggered, reads of {} B", args.trigger, args.read_bytes()),
        Server::Tokio | Server::Tungstenite | Server::TokioRustls => {
            format!("reads of {} B", args.read_bytes())
        }
        Server::Hyper => format!("pipeline_flush {}", args.pipeline_flush),
        Server::Fastwebsockets => "tokio".to_owned(),
    };
    let name = args.server.name();
    let spoken = match args.server {
        Server::Hyper | Server::RawHttp => "http",
        Server::Tungstenite | Server::Fastwebsockets => "websocket",
        _ => args.framing.name(),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {} ({name}, {spoken}, {how})", listener.local_addr()?)?;
    out.flush()
}

/// Reads a size that a buffer may have.
fn parse_buffer(text: &str) -> std::result::Result<usize, String> {
    match parse_bytes(text)? {
        bytes @ 1..=BUFFER_BYTES_MAX => Ok(bytes),
        _ => Err(format!("{text}: expected 1 to 16m bytes, such as 512, 16k or 1m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_bounds() {
        assert_eq!(parse_buffer("512"), Ok(512));
        assert_eq!(parse_buffer("16m"), Ok(16 << 20));
        assert!(parse_buffer("0").is_err());
        assert!(parse_buffer("17m").is_err());
    }
}
