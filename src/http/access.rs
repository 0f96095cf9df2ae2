//! The access log: a line for each request that was answered, and for each that was refused before it
//! was one.
//!
//! ```text
//!   peer=192.0.2.7:4711 method="GET" target="/rooms/7" status=200 took=187.312µs
//!   peer=192.0.2.9:5150 method="GET" target="/chat" status=400 why=The request has no Host field.
//! ```

use std::cell::Cell;
use std::slice::EscapeAscii;

use super::link::Link;
use crate::clock::Now;
use crate::memory::frame::Frame;
use crate::reactor::Reactor;
use crate::wire::http::{Head, RequestError, is_field_name};

/// No method that is told is longer.
const METHOD_BYTES_MAX: usize = 32;
/// Of a target that was refused so much is told.
const TARGET_BYTES_MAX: usize = 1024;

/// A line that is written when its request is answered.
pub(super) struct Log {
    head: Head,
    bytes: Frame,
    started: Now,
    status: Cell<u16>,
    /// What is wrong with its body.
    broken: Cell<Option<RequestError>>,
}

impl Log {
    /// A request begins. The clock is read: most requests are answered in the turn they came in.
    pub(super) fn begin(reactor: &Reactor, head: Head, bytes: Frame) -> Box<Log> {
        let started = reactor.driver(|driver| driver.now());
        Box::new(Log { head, bytes, started, status: Cell::new(0), broken: Cell::new(None) })
    }

    /// This is what it is answered with, and what is wrong with its body, if anything is.
    pub(super) fn answered(&self, status: u16, broken: Option<RequestError>) {
        self.status.set(status);
        self.broken.set(broken);
    }

    /// It is answered, to its last byte.
    pub(super) fn write(&self, link: &Link) {
        let Log { head, bytes, started, status, broken } = self;
        let took = link.reactor.driver(|driver| driver.now()).since(*started);
        let (method, target, status) = (head.method.of(bytes), head.target.of(bytes), status.get());
        let peer = link.stream.peer().map(tracing::field::display);
        let why = broken.get().map(tracing::field::display);
        tracing::info!(target: "skyring::http::access", peer, method, target, status, ?took, why);
    }
}

/// Tells of a request that was refused. `head`: as much of it as has come.
pub(super) fn log_refused(link: &Link, head: &[u8], error: RequestError) {
    let Line { method, target } = Line::of(head);
    let peer = link.stream.peer().map(tracing::field::display);
    let target = target.map(|target| target.to_string());
    let (target, status) = (target.as_deref(), error.status());
    tracing::info!(target: "skyring::http::access", peer, method, target, status, why = %error);
}

/// What can be told of a first line that may be no request's, or have no end.
struct Line<'a> {
    method: Option<&'a str>,
    /// Whoever reads the log has to see one line: what is no letter is escaped.
    target: Option<EscapeAscii<'a>>,
}

impl<'a> Line<'a> {
    fn of(head: &'a [u8]) -> Line<'a> {
        let start = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let line = head[start..].split(|byte| matches!(byte, b'\r' | b'\n')).next();
        let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
        let method = words
            .next()
            .filter(|word| word.len() <= METHOD_BYTES_MAX)
            .and_then(|word| std::str::from_utf8(word).ok())
            .filter(|word| is_field_name(word)); // a token, as that is
        let target = method.and(words.next()).filter(|word| !word.is_empty());
        let target = target.map(|word| word[..word.len().min(TARGET_BYTES_MAX)].escape_ascii());
        Line { method, target }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(head: &[u8]) -> (Option<&str>, Option<String>) {
        let line = Line::of(head);
        (line.method, line.target.map(|target| target.to_string()))
    }

    #[test]
    fn as_much_of_a_first_line_is_told_as_has_come() {
        let wire = b"\r\nGET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(told(wire), (Some("GET"), Some("/a?b".into())));
        assert_eq!(told(b"GET /a"), (Some("GET"), Some("/a".into())));
        assert_eq!(told(b"GET"), (Some("GET"), None));
        assert_eq!(told(b"GET  HTTP/1.1"), (Some("GET"), None));
        for cut in 0..wire.len() {
            let _ = told(&wire[..cut]);
        }
        assert_eq!(told(b"\x16\x03\x01\x02 /"), (None, None), "TLS, not HTTP");
        assert_eq!(told(b""), (None, None));
    }

    #[test]
    fn what_is_told_is_bounded_and_one_line() {
        let method = "M".repeat(METHOD_BYTES_MAX);
        assert_eq!(told(format!("{method} /").as_bytes()).0, Some(&*method));
        assert_eq!(told(format!("{method}M /").as_bytes()), (None, None));
        let long = format!("GET /{} HTTP/1.1", "x".repeat(5000));
        assert_eq!(told(long.as_bytes()).1.map(|target| target.len()), Some(TARGET_BYTES_MAX));
        assert_eq!(told(b"GET /\x1b[2J\xff HTTP/1.1").1.as_deref(), Some(r"/\x1b[2J\xff"));
    }
}
