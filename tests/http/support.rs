//! A server of every kind of handler, and a client on a plain socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use skyring::http::{Limits, Refusal, Request, Response, Router};
use skyring::prelude::*;

use crate::common::{PATIENCE, Server, config};

/// What the server of the tests takes for a body.
pub(crate) const BODY_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn limits() -> Limits {
    Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() }
}

/// Answers everything at `/`, and has a path for each kind of answer.
pub(crate) fn router() -> Router {
    let anything = async |mut request: Request| {
        request.bytes().await?;
        Ok(Response::text("Hello, World!"))
    };
    Router::new()
        .limits(limits())
        .on("GET", "/", anything)
        .on("POST", "/", anything)
        .on("OPTIONS", "/", anything)
        .post("/echo", async |mut request| {
            let body = request.bytes().await?;
            Ok(Response::bytes("application/octet-stream", body))
        })
        .post("/length", async |mut request| {
            let mut len = 0;
            while let Some(piece) = request.body().read().await? {
                len += piece.len();
            }
            let trailer = request.body().trailer("x-sum").unwrap_or_default();
            Ok(Response::text(format!("{len} {trailer}")))
        })
        .post("/unread", async |_| Ok(Response::text("unread")))
        .get("/lines", async |_| {
            Ok(Response::stream("text/plain", async |out| {
                for n in 0..1000 {
                    out.write(format!("line {n}\n")).await?;
                }
                out.trailer("x-lines", "1000")
            }))
        })
        .get("/known", async |_| {
            let write = async |out: &mut skyring::http::Outgoing| out.write("12345").await;
            Ok(Response::stream("text/plain", write).length(5))
        })
        .get("/cut", async |_| {
            let write = async |out: &mut skyring::http::Outgoing| {
                out.write("a part").await?;
                Err(Error::from("given up"))
            };
            Ok(Response::stream("text/plain", write))
        })
        .get("/ticks", async |_| {
            Ok(Response::stream("text/event-stream", async |out| {
                loop {
                    out.write("data: tick\n\n").await?;
                    sleep(Duration::from_millis(2)).await;
                }
            }))
        })
        .post("/elsewhere", async |mut request: Request| {
            let reader = spawn(async move { request.text().await });
            Ok(Response::text(reader.await??))
        })
        .get("/who", async |request| {
            Ok(Response::text(request.peer().map(ToString::to_string).unwrap_or_default()))
        })
        .get("/large", async |_| Ok(Response::bytes("text/plain", vec![b'x'; 8 << 20])))
        .get("/rooms/{room}/users/{user}", async |request| {
            let part = |name| request.param(name).unwrap_or_default().into_owned();
            Ok(Response::text(format!("{} {}", part("room"), part("user"))))
        })
        .get("/refused", async |_| Err(Refusal::new(409, "not now").into()))
        .get("/fails", async |_| Err("the disk is full".into()))
        .get("/panics", async |_| panic!("a defect of a handler"))
        .get("/never", async |_| std::future::pending().await)
        .get("/slow", async |_| {
            sleep(Duration::from_millis(50)).await;
            Ok(Response::text("slow"))
        })
        .get("/up", async |request: Request| {
            if !request.wants_upgrade("echo") {
                return Err(Refusal::new(400, "only echo is served here").into());
            }
            Ok(Response::upgrade("echo", async |stream| {
                while let Some(bytes) = stream.read().await? {
                    stream.write(bytes)?;
                }
                Ok(())
            })?)
        })
}

pub(crate) fn start() -> Server {
    Server::of(Engine::new(config()).http("127.0.0.1:0", |_| router()))
}

pub(crate) fn start_with(change: fn(Limits) -> Limits) -> Server {
    let make = move |_: &skyring::Core| router().limits(change(limits()));
    Server::of(Engine::new(config()).http("127.0.0.1:0", make))
}

/// A client that writes bytes and reads answers.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// An answer as it came, its body without chunks.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Peer {
    pub(crate) fn of(server: &Server) -> Peer {
        let stream = TcpStream::connect(server.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Peer { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Peer {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
        self
    }

    /// Sends what may be refused before it is whole.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> &mut Peer {
        let _ = self.stream.write_all(bytes);
        self
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).answer()
    }

    /// The next answer to a request with a body, or without.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET").expect("an answer")
    }

    /// The next answer to a request of this method; `None` when the server has closed.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            let found = self.read.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None if self.fill() => {}
                None => {
                    assert!(self.read.is_empty(), "half an answer: {:?}", self.read);
                    return None;
                }
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).expect("heads are text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer { status, head, body: Vec::new() };
        let has_none = method == "HEAD" || matches!(status, 100 | 101 | 204 | 304);
        if has_none {
            return Some(answer);
        }
        if let Some(len) = answer.header("content-length") {
            let len = len.parse().expect("a number");
            answer.body = self.exactly(len);
        } else if answer.header("transfer-encoding").is_some() {
            loop {
                let line = self.line();
                let len = usize::from_str_radix(&line, 16).expect("a size");
                if len == 0 {
                    break;
                }
                answer.body.extend(self.exactly(len));
                assert_eq!(self.line(), "");
            }
            loop {
                let line = self.line();
                if line.is_empty() {
                    break;
                }
                answer.head.push_str(&format!("{line}\r\n"));
            }
        } else {
            while self.fill() {}
            answer.body = std::mem::take(&mut self.read);
        }
        Some(answer)
    }

    pub(crate) fn exactly(&mut self, len: usize) -> Vec<u8> {
        while self.read.len() < len {
            assert!(self.fill(), "the body is cut after {} of {len}", self.read.len());
        }
        self.read.drain(..len).collect()
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).expect("text");
            }
            assert!(self.fill(), "a line is cut");
        }
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(len) => {
                self.read.extend_from_slice(&buffer[..len]);
                true
            }
            // A reset is an end, too; a silence is a server that hangs.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Whether the server closes, without another word.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }

    pub(crate) fn finish(&mut self) -> &mut Peer {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }
}
