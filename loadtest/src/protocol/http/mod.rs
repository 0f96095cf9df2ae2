//! HTTP/1.1: one request again and again, and whether each answer is what it should be.
//!
//! A server's answer to the first request is the measure of all others: status, length, content.
//! With an echo each request carries a body of its own, which must come back.

pub mod answer;
mod probe;
pub mod url;

use std::borrow::Cow;
use std::net::SocketAddr;

use super::{Answer, Wrong};
use crate::error::{Error, Result};
use crate::framing::Framing;
use crate::payload::{Differs, Payload};
use answer::{Body, HEAD_BYTES_MAX};

/// The path that our own servers answer with a few words.
pub const PLAINTEXT: &str = "/plaintext";

/// The path that our own servers answer with what they were sent.
pub const ECHO: &str = "/echo";

/// A request in the words of the one who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The method.
    pub method: String,
    /// The path and its query.
    pub path: String,
    /// The field `host` [default: the server's address].
    pub authority: Option<String>,
    /// Whether each body is another, and must come back.
    pub is_echo: bool,
}

/// The status and the content that a server answers a plain GET with.
///
/// # Errors
/// It cannot be reached, or answers nothing that could be read.
pub fn fetch(path: &str, at: SocketAddr) -> Result<(u16, Vec<u8>)> {
    let ask = Ask { method: "GET".into(), path: path.to_owned(), authority: None, is_echo: false };
    probe::ask(&Dialogue::new(&ask, at, 0, 0)?, at)
}

/// How a request is asked for on the command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Shape {
    /// Send bodies of --size bytes, each another, which must come back
    #[arg(long)]
    pub echo: bool,
    /// Method of the requests [default: GET, or POST where they have a body]
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    pub method: Option<String>,
}

impl Shape {
    /// What is asked for of `path`, or of a path that our own servers know.
    pub fn ask(&self, path: Option<String>, authority: Option<String>, bytes: usize) -> Ask {
        let method = if bytes > 0 { "POST" } else { "GET" };
        let own = if self.echo { ECHO } else { PLAINTEXT };
        Ask {
            method: self.method.clone().unwrap_or_else(|| method.to_owned()),
            path: path.unwrap_or_else(|| own.to_owned()),
            authority,
            is_echo: self.echo,
        }
    }
}

fn parse_method(text: &str) -> std::result::Result<String, String> {
    if (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no method; write GET, HEAD, POST or PUT"))
    }
}

impl Ask {
    /// Checks the size of a body: none at all, or one that holds the sequence and the time.
    ///
    /// # Errors
    /// A sentence with the bound that was passed.
    pub fn check_size(&self, body_bytes: usize) -> std::result::Result<(), String> {
        if body_bytes == 0 && !self.is_echo {
            return Ok(());
        }
        if body_bytes == 0 {
            return Err("--echo needs a body: --size 16 or more".to_owned());
        }
        if self.method == "HEAD" {
            return Err("HEAD has no body: leave --size out".to_owned());
        }
        Framing::Raw.check_size(body_bytes)
    }
}

/// What is written, and what must be answered.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// Up to the body.
    head: Vec<u8>,
    body: Option<Payload>,
    is_to_head: bool,
    expected: Expected,
}

#[derive(Clone, Debug)]
enum Expected {
    /// The same for all.
    Same { status: u16, content: Vec<u8> },
    /// What was sent.
    Echo,
}

impl Dialogue {
    /// Asks the server once, and takes its answer for the measure.
    ///
    /// # Errors
    /// It cannot be reached, refuses, or does not send back what it was sent.
    pub fn ask(ask: &Ask, at: SocketAddr, body_bytes: usize, seed: u64) -> Result<Self> {
        let mut dialogue = Self::new(ask, at, body_bytes, seed)?;
        let (status, content) = probe::ask(&dialogue, at)?;
        let what = format!("{} {} at {at}", ask.method, ask.path);
        if !(200..400).contains(&status) {
            return Err(Error::run(format!(
                "{what} is answered with status {status}; a load of refusals measures nothing"
            )));
        }
        match &mut dialogue.expected {
            Expected::Same { status: its_status, content: its_content } => {
                (*its_status, *its_content) = (status, content);
            }
            Expected::Echo => {
                let same = dialogue.check(&content, probe::SEQUENCE, probe::INTENDED_NS);
                same.map_err(|wrong| Error::run(format!("{what} is no echo: {wrong}")))?;
            }
        }
        Ok(dialogue)
    }

    fn new(ask: &Ask, at: SocketAddr, body_bytes: usize, seed: u64) -> Result<Self> {
        let Ask { method, path, authority, is_echo } = ask;
        let authority = authority.clone().unwrap_or_else(|| at.to_string());
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n");
        if body_bytes > 0 {
            head.push_str(&format!("content-length: {body_bytes}\r\n"));
        }
        head.push_str("\r\n");
        let body = (body_bytes > 0).then(|| Payload::new(Framing::Raw, body_bytes, seed));
        let same = Expected::Same { status: 200, content: Vec::new() };
        Ok(Self {
            head: head.into_bytes(),
            body: body.transpose().map_err(Error::usage)?,
            is_to_head: method == "HEAD",
            expected: if *is_echo { Expected::Echo } else { same },
        })
    }

    pub(super) fn request_bytes(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, Payload::payload_bytes)
    }

    pub(super) fn answer_bytes_max(&self) -> usize {
        // Chunks of one byte would take six each; nobody sends them.
        HEAD_BYTES_MAX + 2 * self.content_bytes()
    }

    pub(super) fn content_bytes(&self) -> usize {
        match &self.expected {
            Expected::Same { content, .. } => content.len(),
            Expected::Echo => self.body.as_ref().map_or(0, Payload::payload_bytes),
        }
    }

    #[inline]
    pub(super) fn write(&self, sequence: u64, intended_ns: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if let Some(body) = &self.body {
            body.write(sequence, intended_ns, out);
        }
    }

    pub(super) fn answer(&self, received: &[u8], sequence: u64, intended_ns: u64) -> Answer {
        let found = match answer::find(received, self.is_to_head) {
            Ok(Some(found)) => found,
            Ok(None) => return Answer::Incomplete,
            Err(what) => return Answer::Broken(what),
        };
        let want = match self.expected {
            Expected::Same { status, .. } => status,
            Expected::Echo => 200,
        };
        let checked = if found.status == want {
            let content = match found.body {
                Body::Plain(range) => Cow::Borrowed(&received[range]),
                Body::Chunks(at) => Cow::Owned(answer::join(received, at)),
            };
            self.check(&content, sequence, intended_ns)
        } else {
            Err(Wrong::Status { got: found.status, want })
        };
        Answer::Whole { bytes: found.bytes, checked }
    }

    #[inline]
    fn check(&self, got: &[u8], sequence: u64, intended_ns: u64) -> std::result::Result<(), Wrong> {
        let want = self.content_bytes();
        if got.len() != want {
            return Err(Wrong::Length { got: got.len(), want });
        }
        match (&self.expected, &self.body) {
            (Expected::Same { content, .. }, _) if got == content => Ok(()),
            (Expected::Same { content, .. }, _) => Err(first_difference(got, content)),
            (Expected::Echo, Some(body)) => {
                body.check(got, sequence, intended_ns).map_err(Wrong::Byte)
            }
            (Expected::Echo, None) => Ok(()),
        }
    }
}

#[cold]
fn first_difference(got: &[u8], want: &[u8]) -> Wrong {
    let mut pairs = got.iter().zip(want).enumerate();
    let (at, (&got, &want)) =
        pairs.find(|(_, (got, want))| got != want).expect("they were found to differ");
    Wrong::Byte(Differs { at, got, want })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(echo: bool, size: usize) -> Dialogue {
        let shape = Shape { echo, method: None };
        let at = "127.0.0.1:80".parse().expect("an address");
        let mut dialogue =
            Dialogue::new(&shape.ask(None, None, size), at, size, 1).expect("it makes sense");
        if let Expected::Same { content, .. } = &mut dialogue.expected {
            *content = b"hello".to_vec();
        }
        dialogue
    }

    #[test]
    fn requests_have_the_form_that_they_are_asked_for_in() {
        let (mut get, mut post) = (Vec::new(), Vec::new());
        dialogue(false, 0).write(1, 2, &mut get);
        assert_eq!(get, b"GET /plaintext HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n");
        let echo = dialogue(true, 16);
        echo.write(1, 2, &mut post);
        let head = b"POST /echo HTTP/1.1\r\nhost: 127.0.0.1:80\r\ncontent-length: 16\r\n\r\n";
        assert_eq!(post, [&head[..], &1_u64.to_be_bytes(), &2_u64.to_be_bytes()].concat());
        assert_eq!(echo.request_bytes(), post.len());
    }

    #[test]
    fn answers_are_compared_whole() {
        let whole = |status: u16, body: &str| {
            let length = body.len();
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
            match dialogue(false, 0).answer(text.as_bytes(), 1, 2) {
                Answer::Whole { bytes, checked } if bytes == text.len() => checked,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(whole(200, "hello"), Ok(()));
        assert_eq!(whole(503, "hello"), Err(Wrong::Status { got: 503, want: 200 }));
        assert_eq!(whole(200, "hell"), Err(Wrong::Length { got: 4, want: 5 }));
        let differs = Differs { at: 1, got: b'a', want: b'e' };
        assert_eq!(whole(200, "hallo"), Err(Wrong::Byte(differs)));
    }

    #[test]
    fn an_echo_must_be_of_this_very_request() {
        let echo = dialogue(true, 64);
        let mut request = Vec::new();
        echo.write(7, 8, &mut request);
        let body = &request[request.len() - 64..];
        let answer = [&b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n"[..], body].concat();
        let check = |sequence| match echo.answer(&answer, sequence, 8) {
            Answer::Whole { checked, .. } => checked,
            other => panic!("{other:?}"),
        };
        assert_eq!(check(7), Ok(()));
        assert!(matches!(check(6), Err(Wrong::Byte(_))));
    }

    #[test]
    fn sizes_and_methods_that_make_no_sense_are_refused() {
        let ask = |echo, method: Option<&str>, size| {
            let method = method.map(str::to_owned);
            Shape { echo, method }.ask(None, None, size).check_size(size)
        };
        assert!(ask(false, None, 0).is_ok() && ask(false, None, 16).is_ok());
        assert!(ask(true, None, 0).is_err() && ask(false, None, 15).is_err());
        assert!(ask(false, Some("HEAD"), 16).is_err());
        assert!(parse_method("get").is_err() && parse_method("PATCH").is_ok());
    }
}
