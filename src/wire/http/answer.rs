//! The head of a response, read by a client (RFC 9112, sections 4 to 6).

use std::fmt;
use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};
use memchr::{memchr, memchr_iter, memrchr};

use super::error::RequestError;
use super::fields::has_token;
use super::head::{FIELDS_MAX, HeadLimits, Span, Version, plain_number};

/// How long the body of an answer is (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerLength {
    /// So many bytes.
    Bytes(u64),
    /// Until its last chunk.
    Chunked,
    /// Until the connection ends.
    UntilEnd,
}

/// The whole head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Bytes of the whole head: the body starts there.
    pub encoded: usize,
    /// From 100 to 999.
    pub status: u16,
    /// The lines of the fields, for [`Fields`](super::Fields).
    pub fields: Span,
    /// The version.
    pub version: Version,
    /// How long the body is.
    pub body: AnswerLength,
    /// Whether the connection may be asked again (RFC 9112, 9.3).
    pub keep_alive: bool,
}

macro_rules! errors {
    ($($(#[doc = $section:literal])+ $name:ident $sentence:literal,)+) => {
        /// Why an answer cannot be read. Nothing more is read from its connection: what two readers
        /// could take for two different messages is refused, not repaired.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum AnswerError {
            $($(#[doc = $section])+ $name,)+
            /// The chunks of the body are malformed.
            Chunks(RequestError),
        }

        impl fmt::Display for AnswerError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(AnswerError::$name => f.write_str($sentence),)+
                    AnswerError::Chunks(error) => error.fmt(f),
                }
            }
        }
    };
}

errors! {
    /// RFC 9112, section 2.
    HeadTooLong "The head of the answer is too long.",
    /// RFC 9112, section 5.
    TooManyFields "The answer has too many header fields.",
    /// RFC 9112, section 4.
    BadStatusLine "The first line is no answer of HTTP: does the peer speak another protocol, or TLS?",
    /// RFC 9112, 2.3.
    UnsupportedVersion "The answer is neither HTTP/1.1 nor HTTP/1.0.",
    /// RFC 9112, 5.1.
    BadFieldName "The name of a header field is malformed.",
    /// RFC 9110, 5.5.
    BadFieldValue "The value of a header field is malformed.",
    /// RFC 9112, 2.2.
    BareLineFeed "A line of the head ends with LF alone.",
    /// RFC 9112, 2.2.
    BareReturn "There is a CR without an LF behind it.",
    /// RFC 9110, 8.6.
    BadLength "The Content-Length is no plain number.",
    /// RFC 9112, 6.3.
    LengthTwice "The answer has more than one Content-Length.",
    /// RFC 9112, 6.1.
    LengthAndCoding "The answer has both a Content-Length and a Transfer-Encoding.",
    /// RFC 9112, 6.1.
    UnknownCoding "Of transfer codings this client knows only chunked.",
    /// RFC 9112, 6.1.
    BadCoding "The Transfer-Encoding does not end with chunked, once.",
    /// RFC 9112, 6.1.
    CodingInOldVersion "HTTP/1.0 has no Transfer-Encoding.",
    /// RFC 9110, 7.8.
    UnaskedUpgrade "The peer changes to another protocol that nobody has asked for.",
    /// RFC 9110, 15.2.
    TooManyInterim "The peer sends interim answers (1xx) without end.",
}

impl std::error::Error for AnswerError {}

/// Reads the head of an answer at the front of `bytes`; `None` when it is not whole yet. `to_head`
/// says that the request was HEAD, whose answers have no body.
///
/// `scanned` belongs to the caller: 0 for a new head, then what the call before has left. Of the
/// limits, those of the head's bytes and its fields count.
///
/// # Errors
/// [`AnswerError`]: nothing more can be read from this peer.
///
/// ```
/// use skyring::wire::http::{AnswerLength, Fields, HeadLimits, decode_answer};
///
/// let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
/// let head = decode_answer(bytes, &mut 0, &HeadLimits::default(), false)?.ok_or("not whole")?;
/// assert_eq!((head.status, head.body), (200, AnswerLength::Bytes(2)));
/// assert_eq!(Fields::new(head.fields.bytes(bytes)).value("Content-Length"), Some(&b"2"[..]));
/// assert_eq!(&bytes[head.encoded..], b"hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode_answer(
    bytes: &[u8],
    scanned: &mut usize,
    limits: &HeadLimits,
    to_head: bool,
) -> Result<Option<AnswerHead>, AnswerError> {
    let max = limits.head_bytes_max.min(u16::MAX.into());
    let shown = &bytes[..bytes.len().min(max)];
    if !b"HTTP/1.".iter().zip(shown).all(|(expected, byte)| expected == byte) {
        return Err(match shown.starts_with(b"HTTP/") {
            true => AnswerError::UnsupportedVersion,
            false => AnswerError::BadStatusLine,
        });
    }
    // Whole lines only: what is said of them does not depend on how they were cut on their way.
    let lines = memrchr(b'\n', shown).map_or(0, |at| at + 1);
    let is_new = lines > *scanned;
    *scanned = shown.len();
    if is_new {
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_MAX];
        let room = &mut fields[..limits.fields_max.min(FIELDS_MAX)];
        let mut answer = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut answer, &shown[..lines], room);
        match parsed {
            Ok(Status::Complete(encoded)) => {
                return read(&shown[..encoded], &answer, to_head).map(Some);
            }
            Ok(Status::Partial) => {}
            Err(error) => return Err(diagnose(error)),
        }
    }
    match bytes.len() >= max {
        false => Ok(None),
        true => Err(AnswerError::HeadTooLong),
    }
}

#[cold]
fn diagnose(error: Error) -> AnswerError {
    match error {
        Error::TooManyHeaders => AnswerError::TooManyFields,
        Error::HeaderName => AnswerError::BadFieldName,
        Error::HeaderValue => AnswerError::BadFieldValue,
        Error::NewLine => AnswerError::BareReturn,
        Error::Version => AnswerError::UnsupportedVersion,
        _ => AnswerError::BadStatusLine,
    }
}

/// Looks at what was parsed.
fn read(
    bytes: &[u8],
    answer: &httparse::Response<'_, '_>,
    to_head: bool,
) -> Result<AnswerHead, AnswerError> {
    if memchr_iter(b'\n', bytes).count() != memchr_iter(b'\r', bytes).count() {
        return Err(AnswerError::BareLineFeed);
    }
    let status = answer.code.filter(|code| *code >= 100).ok_or(AnswerError::BadStatusLine)?;
    let version = match answer.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let mut seen = Seen::default();
    for field in answer.headers.iter() {
        seen.field(field)?;
    }
    // Framing is looked at even where there is no body: who frames wrongly once may do so again.
    let framed = seen.framing(version)?;
    let has_none = to_head || matches!(status, 100..200 | 204 | 304);
    let line_end = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    Ok(AnswerHead {
        encoded: bytes.len(),
        status,
        fields: Span::new(line_end.min(bytes.len() - 2), bytes.len() - 2),
        version,
        body: if has_none { AnswerLength::Bytes(0) } else { framed },
        keep_alive: match version {
            Version::Http11 => !seen.close,
            Version::Http10 => seen.keep_alive && !seen.close,
        },
    })
}

/// What the fields have said so far.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    /// Of the transfer codings: whether there are any, and whether the last one is chunked.
    codings: u32,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Seen {
    fn field(&mut self, field: &Header<'_>) -> Result<(), AnswerError> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = field.value.trim_ascii();
        match field.name.len() {
            14 if is("content-length") => {
                let length = plain_number(value).map_err(|_| AnswerError::BadLength)?;
                if self.length.replace(length).is_some() {
                    return Err(AnswerError::LengthTwice);
                }
            }
            17 if is("transfer-encoding") => {
                for coding in value.split(|byte| *byte == b',') {
                    if self.chunked {
                        return Err(AnswerError::BadCoding);
                    }
                    self.chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    self.codings += 1;
                }
            }
            10 if is("connection") => {
                self.close |= has_token(value, "close");
                self.keep_alive |= has_token(value, "keep-alive");
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, version: Version) -> Result<AnswerLength, AnswerError> {
        match (self.codings, self.length) {
            (0, Some(length)) => Ok(AnswerLength::Bytes(length)),
            (0, None) => Ok(AnswerLength::UntilEnd),
            (_, Some(_)) => Err(AnswerError::LengthAndCoding),
            _ if version == Version::Http10 => Err(AnswerError::CodingInOldVersion),
            (1, None) if self.chunked => Ok(AnswerLength::Chunked),
            (_, None) if self.chunked => Err(AnswerError::UnknownCoding),
            (_, None) => Err(AnswerError::BadCoding),
        }
    }
}

#[cfg(test)]
mod tests;
