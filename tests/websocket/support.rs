//! A server that echoes, and what drives it.

use skyring::http::{Request, Response, Router};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::websocket::{self, Close, Deflate, Limits, Options, WebSocket};
use skyring::wire::websocket::{FrameHead, OpCode, mask};

/// As large as the largest message of the Autobahn suite.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

pub(crate) async fn serve_echo(ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.read().await? {
        ws.send(message)?;
    }
    Ok(())
}

/// Everything is compressed, the shortest messages too.
pub(crate) fn deflate() -> Deflate {
    Deflate { bytes_min: 0, ..Deflate::default() }
}

pub(crate) fn options() -> Options {
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    Options::new().limits(limits).deflate(deflate())
}

async fn echo(request: Request) -> Result<Response> {
    websocket::upgrade(request, &options(), serve_echo)
}

/// Answers a text word by word, bytes in pieces of a thousand.
async fn pieces(request: Request) -> Result<Response> {
    websocket::upgrade(request, &options(), async |ws| {
        while let Some(message) = ws.read().await? {
            let mut writer;
            if let Some(text) = message.as_text() {
                writer = ws.begin_text()?;
                for word in text.split_inclusive(' ') {
                    writer.write(word).await?;
                }
            } else {
                writer = ws.begin_binary()?;
                for piece in message.chunks(1000) {
                    writer.write(piece).await?;
                }
            }
            writer.finish()?;
        }
        Ok(())
    })
}

pub(crate) fn router() -> Router {
    Router::new().get("/", echo).get("/ws", echo).get("/pieces", pieces)
}

/// A client that sends whatever it likes, frame by frame.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// Opens a WebSocket of the simulated server, with further header fields.
    pub(crate) async fn open(path: &str, fields: &str) -> Result<Raw> {
        let stream = TcpStream::connect("127.0.0.1:80").await?;
        stream.write(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {fields}\r\n"
        ))?;
        let head = stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("no answer")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ok(Raw { stream })
    }

    /// Sends one frame, masked.
    pub(crate) fn send(&self, fin: bool, rsv1: bool, opcode: OpCode, payload: &[u8]) {
        let key = [0x11, 0x22, 0x33, 0x44];
        let head = FrameHead { fin, rsv1, opcode, mask: Some(key), len: payload.len() as u64 };
        let mut bytes = [0; FrameHead::BYTES_MAX];
        let encoded = head.encode(&mut bytes);
        let mut wire = [&bytes[..encoded], payload].concat();
        mask(&mut wire[encoded..], key, 0);
        let _ = self.stream.write(wire); // the server may be gone
    }

    /// Sends a message in one frame.
    pub(crate) fn message(&self, opcode: OpCode, payload: &[u8]) {
        self.send(true, false, opcode, payload);
    }

    /// The next frame of the server's.
    pub(crate) async fn frame(&self) -> Result<(OpCode, Vec<u8>)> {
        let (head, payload) = self.fragment().await?;
        Ok((head.opcode, payload))
    }

    /// As [`Raw::frame`], with its head.
    pub(crate) async fn fragment(&self) -> Result<(FrameHead, Vec<u8>)> {
        let mut head = self.stream.read_exact(2).await?.to_vec();
        let more = match head[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        head.extend_from_slice(&self.stream.read_exact(more).await?);
        let (head, _) = FrameHead::decode(&head)?.ok_or("a whole head")?;
        assert_eq!(head.mask, None, "a server does not mask");
        let payload = self.stream.read_exact(head.len as usize).await?;
        Ok((head, payload.to_vec()))
    }

    /// The code that the server closes with; frames before it are dropped.
    pub(crate) async fn close_code(&self) -> Result<u16> {
        loop {
            if let (OpCode::Close, payload) = self.frame().await? {
                return Ok(Close::decode(&payload)?.code);
            }
        }
    }
}

/// An engine of one core in the simulated kernel.
pub(crate) fn simulate(seed: u64, make: fn() -> Router) -> Simulation {
    let mut sim = Simulation::new(seed);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", move |_| make());
    sim.start(engine).expect("it starts");
    sim
}

/// Runs a client to its end.
pub(crate) fn run<F>(sim: &mut Simulation, client: F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let seed = sim.seed();
    let ran = sim.run(client).unwrap_or_else(|stuck| panic!("{stuck}"));
    ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}
