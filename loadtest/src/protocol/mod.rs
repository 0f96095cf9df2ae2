//! What is spoken on the connections: the seam between the generator, which knows times and
//! counts, and the bytes that travel.
//!
//! ```text
//!   Protocol ──prepare──► Dialogue ──write──► request ──► server
//!   asked for             known bytes  ◄─answer── bytes ◄──┘
//! ```
//! Answers come in the order of the requests on their connection; each is compared whole.

pub mod http;
pub mod websocket;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::error::{Error, Result};
use crate::framing::{Framing, Reply};
use crate::payload::{Differs, Payload};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Frames that come back as they were sent.
    Frames(Framing),
    /// The same over TLS.
    Secure(Framing),
    /// HTTP/1.1: one request again and again.
    Http(http::Ask),
    /// WebSocket: messages that come back.
    WebSocket(websocket::Ask),
}

/// All that is needed to write requests and to check answers.
#[derive(Clone, Debug)]
pub enum Dialogue {
    /// Of frames.
    Frames(Payload),
    /// Of HTTP.
    Http(Box<http::Dialogue>),
    /// Of WebSocket.
    WebSocket(Box<websocket::Dialogue>),
}

/// What stands at the front of received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// More bytes are needed.
    Incomplete,
    /// A whole answer.
    Whole {
        /// How many bytes it takes.
        bytes: usize,
        /// Whether it is what it should be.
        checked: std::result::Result<(), Wrong>,
    },
    /// The stream cannot be read any further, and why.
    Broken(String),
}

/// What a peer says beside its answers, at the front of received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Nothing.
    None,
    /// A whole one.
    Whole {
        /// How many bytes it takes.
        bytes: usize,
        /// What it must be answered with.
        reply: Vec<u8>,
    },
}

/// What an answer is not as it should be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A byte of its content.
    Byte(Differs),
    /// Its length.
    Length {
        /// What came.
        got: usize,
        /// What was due.
        want: usize,
    },
    /// Its status.
    Status {
        /// What came.
        got: u16,
        /// What was due.
        want: u16,
    },
}

impl Protocol {
    /// The name of the kind, as in a result.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frames(_) => "frames",
            Self::Secure(_) => "tls",
            Self::Http(_) => "http",
            Self::WebSocket(_) => "websocket",
        }
    }

    /// What travels, in words.
    pub fn describe(&self, payload_bytes: usize) -> String {
        let bytes = crate::units::show_count(payload_bytes as u64);
        match self {
            Self::Frames(framing) => format!("{} frames of {bytes} bytes", framing.name()),
            Self::Secure(framing) => {
                format!("{} frames of {bytes} bytes over TLS", framing.name())
            }
            Self::Http(ask) if payload_bytes == 0 => format!("{} {}", ask.method, ask.path),
            Self::Http(ask) => format!("{} {} with {bytes} bytes", ask.method, ask.path),
            Self::WebSocket(ask) => {
                let kind = if ask.is_text { "text" } else { "binary" };
                format!("{kind} messages of WebSocket of {bytes} bytes")
            }
        }
    }

    /// The framing, where there is one.
    pub fn framing(&self) -> Option<Framing> {
        match self {
            Self::Frames(framing) | Self::Secure(framing) => Some(*framing),
            Self::Http(_) | Self::WebSocket(_) => None,
        }
    }

    /// Checks the size of a payload.
    ///
    /// # Errors
    /// A sentence with the bound that was passed.
    pub fn check_size(&self, payload_bytes: usize) -> std::result::Result<(), String> {
        match self {
            Self::Frames(framing) | Self::Secure(framing) => framing.check_size(payload_bytes),
            Self::Http(ask) => ask.check_size(payload_bytes),
            Self::WebSocket(ask) => ask.check_size(payload_bytes),
        }
    }

    /// Prepares for a server, which may be asked once what it answers.
    ///
    /// # Errors
    /// The size does not fit, or the server's answer is none to measure by.
    pub fn prepare(&self, at: SocketAddr, payload_bytes: usize, seed: u64) -> Result<Dialogue> {
        self.check_size(payload_bytes).map_err(Error::usage)?;
        Ok(match self {
            Self::Frames(framing) | Self::Secure(framing) => {
                Dialogue::Frames(Payload::new(*framing, payload_bytes, seed).map_err(Error::usage)?)
            }
            Self::Http(ask) => {
                Dialogue::Http(Box::new(http::Dialogue::ask(ask, at, payload_bytes, seed)?))
            }
            Self::WebSocket(ask) => {
                let authority = at.to_string();
                let dialogue = websocket::Dialogue::new(ask, &authority, payload_bytes, seed)?;
                Dialogue::WebSocket(Box::new(dialogue))
            }
        })
    }

    /// How `serve` is told to start a server that speaks this: skyring's has a name for each kind.
    pub fn serve(&self, name: &str) -> Vec<OsString> {
        match self {
            Self::Frames(framing) | Self::Secure(framing) => {
                let is_ours = name == "skyring" && self.is_secure();
                let name = if is_ours { "tls" } else { name };
                [name, "--framing", framing.name()].iter().map(OsString::from).collect()
            }
            Self::Http(_) if name == "skyring" => vec!["http".into()],
            Self::WebSocket(_) if name == "skyring" => vec!["websocket".into()],
            Self::Http(_) | Self::WebSocket(_) => vec![name.into()],
        }
    }

    /// Whether all of it travels in TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(_))
    }

    /// Whether an open loop may send what is due before the answer of what was sent has come.
    /// Those of frames and of WebSocket do; those of HTTP only as far as they were asked to.
    pub fn is_free(&self) -> bool {
        !matches!(self, Self::Http(_))
    }
}

impl Dialogue {
    /// What goes before the first request on a connection, which blocks.
    ///
    /// # Errors
    /// The peer does not agree to it.
    pub fn open(&self, socket: &OwnedFd) -> Result<()> {
        match self {
            Self::Frames(_) | Self::Http(_) => Ok(()),
            Self::WebSocket(dialogue) => dialogue.open(socket),
        }
    }

    /// What stands at the front of received bytes beside answers.
    #[inline]
    pub fn aside(&self, received: &[u8]) -> Aside {
        match self {
            Self::Frames(_) | Self::Http(_) => Aside::None,
            Self::WebSocket(dialogue) => dialogue.aside(received),
        }
    }

    /// Bytes of a request, as good as exactly.
    pub fn request_bytes(&self) -> usize {
        match self {
            Self::Frames(payload) => payload.frame_bytes(),
            Self::Http(dialogue) => dialogue.request_bytes(),
            Self::WebSocket(dialogue) => dialogue.request_bytes(),
        }
    }

    /// Bytes that one answer may take.
    pub fn answer_bytes_max(&self) -> usize {
        match self {
            Self::Frames(payload) => payload.frame_bytes(),
            Self::Http(dialogue) => dialogue.answer_bytes_max(),
            Self::WebSocket(dialogue) => dialogue.answer_bytes_max(),
        }
    }

    /// Appends a request to `out`; allocates nothing when `out` has room.
    #[inline]
    pub fn write(&self, sequence: u64, intended_ns: u64, out: &mut Vec<u8>) {
        match self {
            Self::Frames(payload) => payload.write(sequence, intended_ns, out),
            Self::Http(dialogue) => dialogue.write(sequence, intended_ns, out),
            Self::WebSocket(dialogue) => dialogue.write(sequence, intended_ns, out),
        }
    }

    /// Looks for the answer to a request at the front of what was received.
    #[inline]
    pub fn answer(&self, received: &[u8], sequence: u64, intended_ns: u64) -> Answer {
        match self {
            Self::Frames(payload) => frame(payload, received, sequence, intended_ns),
            Self::Http(dialogue) => dialogue.answer(received, sequence, intended_ns),
            Self::WebSocket(dialogue) => dialogue.answer(received, sequence, intended_ns),
        }
    }

    /// Bytes of an answer's content, where it is the same for all.
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Frames(payload) => payload.payload_bytes(),
            Self::Http(dialogue) => dialogue.content_bytes(),
            Self::WebSocket(dialogue) => dialogue.content_bytes(),
        }
    }
}

#[inline]
fn frame(payload: &Payload, received: &[u8], sequence: u64, intended_ns: u64) -> Answer {
    match payload.framing().reply(received, payload.payload_bytes()) {
        Reply::Incomplete => Answer::Incomplete,
        Reply::Whole { payload: range, bytes } => {
            let checked = payload.check(&received[range], sequence, intended_ns);
            Answer::Whole { bytes, checked: checked.map_err(Wrong::Byte) }
        }
        Reply::WrongLength(length) => {
            let sent = payload.payload_bytes();
            Answer::Broken(format!("a reply of {length} bytes where {sent} were sent"))
        }
        Reply::NoLineFeed(byte) => {
            Answer::Broken(format!("a line that goes on with {byte:#04x} where it should end"))
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(Differs { at, got, want }) => {
                write!(f, "byte {at} of the reply is {got:#04x}, {want:#04x} was due")
            }
            Self::Length { got, want } => {
                write!(f, "the reply has {got} bytes of content, {want} were due")
            }
            Self::Status { got, want } => write!(f, "the status is {got}, {want} was due"),
        }
    }
}
