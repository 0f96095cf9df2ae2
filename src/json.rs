//! JSON messages: a frame is read where it lies, a value becomes a payload that anything sends.
//!
//! JSON says nothing of where a message ends, so it goes over a framing: any of them, and it holds no
//! line feed unless you put one there, so lines serve too. (Feature `json`, which is on by default.)
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use skyring::json;
//! use skyring::net::{TcpListener, TcpStream};
//! use skyring::prelude::*;
//! use skyring::sim::Simulation;
//!
//! #[derive(Deserialize, Serialize)]
//! #[serde(tag = "cmd", rename_all = "lowercase")]
//! enum Request<'a> {
//!     Echo { text: &'a str }, // borrowed from the frame
//! }
//!
//! async fn handle(stream: TcpStream) -> Result<()> {
//!     let framed = stream.framed(LengthPrefix::U32);
//!     while let Some(frame) = framed.read().await? {
//!         let Request::Echo { text } = frame.json()?;
//!         framed.write(json::to_payload(text)?)?;
//!     }
//!     Ok(())
//! }
//!
//! fn main() -> Result<()> {
//!     Simulation::new(1).run(async {
//!         let listener = TcpListener::bind("127.0.0.1:80")?;
//!         let client = TcpStream::connect("127.0.0.1:80").await?.framed(LengthPrefix::U32);
//!         spawn(handle(listener.accept().await?));
//!         client.write(json::to_payload(&Request::Echo { text: "hello" })?)?;
//!         let answer = client.read().await?.ok_or("no answer")?;
//!         assert_eq!(answer.json::<String>()?, "hello");
//!         Ok(())
//!     })?
//! }
//! ```
//!
//! An agent does the same with its client: `client.send(json::to_payload(&answer)?)`.

use std::{error, fmt, io};

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::error::Error;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;

/// How deep arrays and objects may lie in each other, in what is read: a peer must not choose how
/// much of the stack it takes. `serde_json` refuses its 128th level. What a type skips, as it skips
/// fields that it does not know, may lie deeper: that takes no stack.
pub const DEPTH_MAX: usize = 127;

/// The longest message that [`to_payload`] makes, in bytes: what is over it was surely not meant.
pub const ENCODED_BYTES_MAX: usize = 16 << 20;

/// An encoder keeps a buffer up to this size for the next message.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// An error says so many characters of what is wrong; a peer may have written most of them.
const WHAT_CHARS_MAX: usize = 160;

/// Reads all of `bytes` as one JSON text. Text without escapes can be borrowed: `&'a str`, and
/// `Cow<'a, str>` with `#[serde(borrow)]`.
///
/// The size is bounded by the frame cap, the depth by [`DEPTH_MAX`].
///
/// # Errors
/// [`DecodeError`] says what is wrong, and where.
///
/// ```
/// use skyring::json;
///
/// let (name, n): (&str, u32) = json::decode(br#"["lobby", 3]"#)?;
/// assert_eq!((name, n), ("lobby", 3));
/// let error = json::decode::<Vec<u32>>(b"[1, 2, true]").unwrap_err();
/// let expected = "invalid type: boolean `true`, expected u32";
/// assert_eq!(error.to_string(), format!("JSON of another shape at line 1, byte 11: {expected}"));
/// # Ok::<(), json::DecodeError>(())
/// ```
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| DecodeError::from(&error))
}

impl Frame {
    /// Reads the frame as one JSON text: [`json::decode`](decode). What borrows, borrows from the
    /// frame.
    ///
    /// # Errors
    /// As [`json::decode`](decode).
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        decode(self)
    }
}

/// Writes `value` as JSON, in one buffer, which is sent as it is. For
/// [`Client::send`](crate::Client::send), [`Framed::write`](crate::net::Framed::write) and whatever
/// else takes a [`Payload`]. To many receivers send clones of one
/// [`Bytes`](Payload::Bytes), so that it is written once.
///
/// # Errors
/// [`EncodeError`]: over [`ENCODED_BYTES_MAX`], or a value that JSON has no form for.
pub fn to_payload<T: Serialize + ?Sized>(value: &T) -> Result<Payload<'static>, EncodeError> {
    let mut buffer = Vec::with_capacity(128);
    write(&mut buffer, ENCODED_BYTES_MAX, value)?;
    Ok(buffer.into())
}

/// Writes messages into a buffer that it keeps: no allocation for each, one copy into the send
/// queue. The better way for many short messages.
///
/// ```
/// use skyring::json::Encoder;
///
/// let mut encoder = Encoder::with_max(10);
/// assert_eq!(encoder.encode(&[1, 2])?.as_ref(), b"[1,2]");
/// assert_eq!(encoder.encode("12345678")?.as_ref(), br#""12345678""#);
/// assert!(encoder.encode("123456789").is_err());
/// # Ok::<(), skyring::json::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    buffer: Vec<u8>,
    bytes_max: usize,
}

impl Encoder {
    /// For messages of at most [`ENCODED_BYTES_MAX`] bytes.
    pub fn new() -> Encoder {
        Encoder::with_max(ENCODED_BYTES_MAX)
    }

    /// For messages of at most `bytes_max` bytes.
    pub fn with_max(bytes_max: usize) -> Encoder {
        Encoder { buffer: Vec::new(), bytes_max }
    }

    /// Writes `value` as JSON. The payload is borrowed: send it before the next one.
    ///
    /// # Errors
    /// As [`to_payload`], by this encoder's bound.
    pub fn encode<T>(&mut self, value: &T) -> Result<Payload<'_>, EncodeError>
    where
        T: Serialize + ?Sized,
    {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES_MAX);
        write(&mut self.buffer, self.bytes_max, value)?;
        Ok(Payload::Slice(&self.buffer))
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

/// A buffer that ends at its bound.
struct Bounded<'a> {
    buffer: &'a mut Vec<u8>,
    bytes_max: usize,
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.bytes_max - self.buffer.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write<T>(buffer: &mut Vec<u8>, bytes_max: usize, value: &T) -> Result<(), EncodeError>
where
    T: Serialize + ?Sized,
{
    let bounded = Bounded { buffer, bytes_max };
    serde_json::to_writer(bounded, value).map_err(|error| match error.classify() {
        Category::Io => EncodeError::TooLong { max: bytes_max },
        _ => EncodeError::Unfit { what: shown(&error.to_string()) },
    })
}

/// Why a value was not written. Nothing of it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// It has more bytes than allowed.
    TooLong {
        /// How many were allowed.
        max: usize,
    },
    /// JSON has no form for it, or its `Serialize` failed: a map whose keys are no text, say.
    Unfit {
        /// What `serde_json` says.
        what: String,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooLong { max } => write!(f, "a JSON message of more than {max} bytes"),
            EncodeError::Unfit { what } => write!(f, "no JSON: {what}"),
        }
    }
}

/// Why bytes are no such message. A line and a byte in it, both from 1, say where it was noticed;
/// what a peer wrote is shortened, and its control characters are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// No JSON, or nested deeper than [`DEPTH_MAX`].
    Syntax {
        /// The line.
        line: usize,
        /// The byte in the line.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// The text ends in its middle.
    Cut {
        /// The line.
        line: usize,
        /// The byte in the line.
        column: usize,
    },
    /// JSON, but not what the type reads: a field is missing or unknown, or of another type.
    Shape {
        /// The line.
        line: usize,
        /// The byte in the line.
        column: usize,
        /// What is wrong.
        what: String,
    },
}

impl From<&serde_json::Error> for DecodeError {
    fn from(error: &serde_json::Error) -> DecodeError {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let what = shown(text.strip_suffix(&place).unwrap_or(&text));
        match error.classify() {
            Category::Eof => DecodeError::Cut { line, column },
            Category::Data => DecodeError::Shape { line, column, what },
            Category::Syntax | Category::Io => DecodeError::Syntax { line, column, what },
        }
    }
}

/// A text that may hold a peer's, made fit for a log.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (at, char) in text.chars().enumerate() {
        match char {
            _ if at == WHAT_CHARS_MAX => {
                shown.push_str("...");
                break;
            }
            char if char.is_control() => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    shown
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Syntax { line, column, what } => {
                write!(f, "no JSON at line {line}, byte {column}: {what}")
            }
            DecodeError::Cut { line, column } => {
                write!(f, "the JSON ends in its middle, at line {line}, byte {column}")
            }
            DecodeError::Shape { line, column, what } => {
                write!(f, "JSON of another shape at line {line}, byte {column}: {what}")
            }
        }
    }
}

impl error::Error for EncodeError {}
impl error::Error for DecodeError {}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Error {
        Error::Other(error.into())
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        Error::Other(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::HashMap;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Message<'a> {
        name: &'a str,
        count: u8,
    }

    const TEXT: &[u8] = br#"{"name":"lobby","count":3}"#;

    #[test]
    fn fields_are_borrowed_from_the_frame() {
        let frame = Frame::from(TEXT.to_vec());
        let message: Message<'_> = frame.json().expect("valid");
        assert_eq!(message, Message { name: "lobby", count: 3 });
        assert!(frame.as_ptr_range().contains(&message.name.as_ptr()), "not copied");
        assert_eq!(to_payload(&message).expect("short").as_ref(), TEXT);
    }

    #[test]
    fn every_cut_of_a_message_is_an_error_that_says_so() {
        for cut in 0..TEXT.len() {
            let error = decode::<Message<'_>>(&TEXT[..cut]).expect_err("cut");
            assert_eq!(error, DecodeError::Cut { line: 1, column: cut }, "{cut}");
        }
        assert!(decode::<Message<'_>>(&[TEXT, b" \n"].concat()).is_ok());
        let two = decode::<Value>(b"1 2").expect_err("two texts");
        assert!(matches!(two, DecodeError::Syntax { line: 1, column: 3, .. }), "{two}");
    }

    #[test]
    fn mutated_messages_never_panic() {
        let mut seed = 0x5EED_u32;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % bound
        };
        for _ in 0..20_000 {
            let mut text = TEXT.to_vec();
            for _ in 0..=next(4) {
                let at = next(text.len());
                text[at] = b"\"\\{}[]:,\0\xff\xc3u0e-tn"[next(17)];
            }
            if let Err(error) = decode::<Message<'_>>(&text) {
                assert!(error.to_string().len() < 800);
            }
            let _ = decode::<Value>(&text);
        }
    }

    #[test]
    fn the_last_depth_passes_and_the_next_is_refused() {
        let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(decode::<Value>(&nested(DEPTH_MAX)).is_ok());
        let error = decode::<Value>(&nested(DEPTH_MAX + 1)).expect_err("too deep");
        let what = "recursion limit exceeded".to_owned();
        assert_eq!(error, DecodeError::Syntax { line: 1, column: 128, what });
        assert!(decode::<Value>(&vec![b'['; 1 << 20]).is_err());
        // What is skipped takes a byte of the heap for each level, and none of the stack.
        assert!(decode::<serde::de::IgnoredAny>(&nested(1 << 20)).is_ok());
    }

    #[test]
    fn an_error_says_where_and_little_of_what_a_peer_wrote() {
        let long = format!("{{\"name\":\"x\",\n \"a\\u0007{}\": 1}}", "b".repeat(10_000));
        let error = decode::<Message<'_>>(long.as_bytes()).expect_err("an unknown field");
        let text = error.to_string();
        assert!(text.contains("line 2") && text.contains("unknown field `a\\u{7}bbb"), "{text}");
        assert!(text.len() < 250 && !text.contains('\u{7}'), "{text}");
        let error = decode::<u8>(b"256").expect_err("over 255");
        assert!(matches!(&error, DecodeError::Shape { line: 1, column: 3, .. }), "{error:?}");
        let error = decode::<&str>(b"\"\xff\"").expect_err("no text");
        assert!(matches!(&error, DecodeError::Syntax { .. }), "{error:?}");
    }

    #[test]
    fn the_last_byte_is_written_and_one_more_is_not() {
        let mut encoder = Encoder::with_max(5);
        assert_eq!(encoder.encode("abc").expect("five").as_ref(), br#""abc""#);
        assert_eq!(encoder.encode("abcd").expect_err("six"), EncodeError::TooLong { max: 5 });
        assert_eq!(encoder.encode(&12345).expect("five").as_ref(), b"12345");
        let unfit = to_payload(&HashMap::from([((1, 2), 3)])).expect_err("keys are text");
        assert_eq!(unfit.to_string(), "no JSON: key must be a string");
        let long = "x".repeat(ENCODED_BYTES_MAX - 1);
        assert_eq!(to_payload(&long[1..]).expect("fits").len(), ENCODED_BYTES_MAX);
        assert!(to_payload(&long).is_err());
    }

    #[test]
    fn an_encoder_keeps_little() {
        let mut encoder = Encoder::new();
        encoder.encode(&"x".repeat(1 << 20)).expect("it fits");
        encoder.encode("short").expect("it fits");
        assert!(encoder.buffer.capacity() <= KEPT_BYTES_MAX);
    }
}
