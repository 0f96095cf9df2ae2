//! The head of a request, and how its body is framed (RFC 9112, sections 2 to 6).

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};
use memchr::{memchr, memmem, memrchr};

use super::error::RequestError;
use super::fields::has_token;
use super::target::{self, Form};

/// Most fields that a limit may allow.
pub(super) const FIELDS_MAX: usize = 128;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first of the method to the end of the empty line; at most 65,535. Beyond: 431.
    pub head_bytes_max: usize,
    /// Bytes of the target. Beyond: 414.
    pub target_bytes_max: usize,
    /// Header fields, at most 128. Beyond: 431.
    pub fields_max: usize,
    /// Bytes of the method. Beyond: 501.
    pub method_bytes_max: usize,
}

impl Default for HeadLimits {
    /// 8 KiB, of which the target may have 7 KiB; 100 fields; methods of 32 bytes.
    fn default() -> HeadLimits {
        HeadLimits {
            head_bytes_max: 8 * 1024,
            target_bytes_max: 7 * 1024,
            fields_max: 100,
            method_bytes_max: 32,
        }
    }
}

/// A place in the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= usize::from(u16::MAX), "heads are below 64 KiB");
        Span { start: start as u16, end: end as u16 }
    }

    /// The text at this place of the head. Empty when `head` is another one that is shorter, or has
    /// no text there.
    pub fn of(self, head: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(head)).unwrap_or_default()
    }

    /// The bytes at this place.
    pub fn bytes(self, head: &[u8]) -> &[u8] {
        head.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    /// Whether nothing is there.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How long the body is (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes; 0 without a `Content-Length`.
    Bytes(u64),
    /// Until its last chunk: [`Chunked`](super::Chunked).
    Chunked,
}

/// A whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the whole head: the body starts there.
    pub encoded: usize,
    /// The method, in the case that it came in.
    pub method: Span,
    /// The target as it came.
    pub target: Span,
    /// The path of the target, as it came; empty where the form has none.
    pub path: Span,
    /// What is behind the question mark.
    pub query: Span,
    /// Whom the request is for: of an absolute target, else of the `Host` field.
    pub host: Span,
    /// The lines of the fields, for [`Fields`](super::Fields).
    pub fields: Span,
    /// The form of the target.
    pub form: Form,
    /// The version.
    pub version: Version,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether the peer wants to send more requests (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// Whether it waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether it asks for another protocol (RFC 9110, 7.8).
    pub upgrade: bool,
}

/// What [`decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole head.
    Head(Head),
    /// Not whole yet.
    Partial,
}

/// Reads the head at the front of `bytes`. An empty line before it is skipped, as part of it.
///
/// `scanned` belongs to the caller: 0 for a new head, then what the call before has left. While no
/// line has ended since then nothing is parsed.
///
/// # Errors
/// [`RequestError`]: nothing more can be read from this peer.
pub fn decode(
    bytes: &[u8],
    scanned: &mut usize,
    limits: &HeadLimits,
) -> Result<Step, RequestError> {
    let max = limits.head_bytes_max.min(u16::MAX.into());
    let shown = &bytes[..bytes.len().min(max)];
    // One empty line may be left of the request before (RFC 9112, 2.2), no more.
    if shown.starts_with(b"\r\n\r\n") {
        return Err(RequestError::BadRequestLine);
    }
    // Whole lines only: what is said of them does not depend on how they were cut on their way.
    let lines = memrchr(b'\n', shown).map_or(0, |at| at + 1);
    let is_new = lines > *scanned;
    *scanned = shown.len();
    if is_new {
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_MAX];
        let room = &mut fields[..limits.fields_max.min(FIELDS_MAX)];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&shown[..lines], room) {
            Ok(Status::Complete(encoded)) => {
                return read(shown, encoded, &request, limits).map(Step::Head);
            }
            Ok(Status::Partial) => {}
            Err(error) => return Err(diagnose(error, &shown[..lines])),
        }
    }
    check_partial(shown, limits)?;
    match bytes.len() >= max {
        false => Ok(Step::Partial),
        true if memchr(b'\n', shown.trim_ascii_start()).is_none() => {
            Err(RequestError::TargetTooLong)
        }
        true => Err(RequestError::HeadTooLong),
    }
}

/// What can be said of a head that is not whole: a method and a target need not end to be too long.
fn check_partial(shown: &[u8], limits: &HeadLimits) -> Result<(), RequestError> {
    let line = shown.trim_ascii_start();
    // Who speaks another protocol, TLS for example, waits for an answer and sends no line.
    if line.first().is_some_and(|byte| !byte.is_ascii_graphic()) {
        return Err(RequestError::BadRequestLine);
    }
    let line = &line[..memchr(b'\n', line).unwrap_or(line.len())];
    let mut words = line.split(|byte| *byte == b' ');
    if words.next().is_some_and(|method| method.len() > limits.method_bytes_max) {
        return Err(RequestError::MethodTooLong);
    }
    match words.next().is_some_and(|target| target.len() > limits.target_bytes_max) {
        true => Err(RequestError::TargetTooLong),
        false => Ok(()),
    }
}

/// What httparse does not say of an error: which rule was broken.
#[cold]
fn diagnose(error: Error, bytes: &[u8]) -> RequestError {
    // Behind the last line of a head the body begins, which may hold anything.
    let end = memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
    let mut lines = bytes[..end].trim_ascii_start().split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default().trim_ascii_end();
    match error {
        Error::TooManyHeaders => RequestError::TooManyFields,
        Error::HeaderName if lines.clone().any(|line| line.starts_with(b" ")) => {
            RequestError::FoldedField
        }
        Error::HeaderName if lines.clone().any(|line| line.starts_with(b"\t")) => {
            RequestError::FoldedField
        }
        Error::HeaderName => {
            let is_spaced = |line: &[u8]| {
                let name = &line[..memchr(b':', line).unwrap_or(0)];
                name.ends_with(b" ") || name.ends_with(b"\t")
            };
            match lines.any(is_spaced) {
                true => RequestError::SpaceBeforeColon,
                false => RequestError::BadFieldName,
            }
        }
        Error::HeaderValue => RequestError::BadFieldValue,
        Error::NewLine => RequestError::BareReturn,
        Error::Version => {
            let mut words = first.splitn(3, |byte| *byte == b' ');
            match words.nth(2) {
                Some([b'H', b'T', b'T', b'P', b'/', a, b'.', b])
                    if a.is_ascii_digit() && b.is_ascii_digit() =>
                {
                    RequestError::UnsupportedVersion
                }
                _ => RequestError::BadVersion,
            }
        }
        _ => RequestError::BadRequestLine,
    }
}

/// Looks at what was parsed.
fn read(
    bytes: &[u8],
    encoded: usize,
    request: &httparse::Request<'_, '_>,
    limits: &HeadLimits,
) -> Result<Head, RequestError> {
    let bytes = &bytes[..encoded];
    let start = memchr_start(bytes);
    if !has_whole_line_ends(bytes, start, request.headers) {
        return Err(RequestError::BareLineFeed);
    }
    let method = request.method.unwrap_or_default();
    let text = request.path.unwrap_or_default();
    if method.len() > limits.method_bytes_max {
        return Err(RequestError::MethodTooLong);
    }
    if text.len() > limits.target_bytes_max {
        return Err(RequestError::TargetTooLong);
    }
    let version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let target = target::read(method.as_bytes(), text.as_bytes())?;
    let at = start + method.len() + 1;
    let line_end = at + text.len() + " HTTP/1.1\r\n".len();
    let mut seen = Seen { version, ..Seen::default() };
    for field in request.headers.iter() {
        seen.field(field)?;
    }
    let span = |range: std::ops::Range<usize>| Span::new(at + range.start, at + range.end);
    let host = match (target.authority, seen.host) {
        (Some(authority), _) => span(authority),
        (None, Some(host)) => place(bytes, host),
        (None, None) => Span::default(),
    };
    if version == Version::Http11 && seen.host.is_none() {
        return Err(RequestError::HostMissing);
    }
    Ok(Head {
        encoded,
        method: Span::new(start, start + method.len()),
        target: Span::new(at, at + text.len()),
        path: span(target.path),
        query: span(target.query),
        host,
        fields: Span::new(line_end.min(encoded - 2), encoded - 2),
        form: target.form,
        version,
        body: seen.body()?,
        keep_alive: match version {
            Version::Http11 => !seen.close,
            Version::Http10 => seen.keep_alive && !seen.close,
        },
        expects_continue: seen.expects_continue && version == Version::Http11,
        upgrade: seen.upgrade && seen.upgrades && version == Version::Http11,
    })
}

/// Whether CR LF ends each line: a lone LF ends one for some and not for others (RFC 9112, 2.2).
///
/// The line before a field ends where its name begins; the last one, and the empty one behind it,
/// at the end. Elsewhere no LF would have been parsed.
fn has_whole_line_ends(bytes: &[u8], start: usize, fields: &[Header<'_>]) -> bool {
    let is_behind_an_end = |field: &Header<'_>| {
        let name = usize::from(place(bytes, field.name.as_bytes()).start);
        bytes[..name].ends_with(b"\r\n")
    };
    matches!(&bytes[..start], b"" | b"\r\n")
        && bytes.ends_with(b"\r\n\r\n")
        && fields.iter().all(is_behind_an_end)
}

/// Where the request line starts: behind empty lines.
fn memchr_start(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0)
}

/// Where a part of `bytes` lies in it.
fn place(bytes: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    match start + part.len() <= bytes.len() {
        true => Span::new(start, start + part.len()),
        false => Span::default(),
    }
}

/// What the fields have said so far.
struct Seen<'a> {
    version: Version,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    coding: Option<Coding>,
    content_type: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    upgrades: bool,
    expects_continue: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Others, and chunked behind them.
    OthersChunked,
    /// Not chunked at its end.
    Open,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Seen {
            version: Version::Http11,
            host: None,
            length: None,
            coding: None,
            content_type: false,
            close: false,
            keep_alive: false,
            upgrade: false,
            upgrades: false,
            expects_continue: false,
        }
    }
}

impl<'a> Seen<'a> {
    #[inline]
    fn field(&mut self, field: &Header<'a>) -> Result<(), RequestError> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = field.value.trim_ascii();
        match field.name.len() {
            4 if is("host") => {
                if self.host.replace(value).is_some() {
                    return Err(RequestError::HostTwice);
                }
                if !target::is_authority(value) {
                    return Err(RequestError::BadHost);
                }
            }
            14 if is("content-length") => {
                let before = self.length.replace(plain_number(value)?);
                if before.is_some() {
                    return Err(RequestError::LengthTwice);
                }
            }
            17 if is("transfer-encoding") => self.coding(value)?,
            12 if is("content-type") => {
                let is_second = std::mem::replace(&mut self.content_type, true);
                return if is_second { Err(RequestError::ContentTypeTwice) } else { Ok(()) };
            }
            10 if is("connection") => {
                self.close |= has_token(value, "close");
                self.keep_alive |= has_token(value, "keep-alive");
                self.upgrade |= has_token(value, "upgrade");
            }
            7 if is("upgrade") => self.upgrades = true,
            6 if is("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(RequestError::UnknownExpectation);
                }
                self.expects_continue = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Chunked comes last, and once (RFC 9112, 6.1). Several fields are one list.
    fn coding(&mut self, value: &[u8]) -> Result<(), RequestError> {
        for coding in value.split(|byte| *byte == b',') {
            let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.coding = Some(match self.coding {
                Some(Coding::Chunked | Coding::OthersChunked) => {
                    return Err(RequestError::BadCoding);
                }
                None if is_chunked => Coding::Chunked,
                Some(Coding::Open) if is_chunked => Coding::OthersChunked,
                _ => Coding::Open,
            });
        }
        Ok(())
    }

    fn body(&self) -> Result<BodyLength, RequestError> {
        match (self.coding, self.length) {
            (Some(_), _) if self.version == Version::Http10 => {
                Err(RequestError::CodingInOldVersion)
            }
            (Some(_), Some(_)) => Err(RequestError::LengthAndCoding),
            (Some(Coding::Chunked), None) => Ok(BodyLength::Chunked),
            (Some(Coding::OthersChunked), None) => Err(RequestError::UnknownCoding),
            (Some(Coding::Open), None) => Err(RequestError::BadCoding),
            (None, length) => Ok(BodyLength::Bytes(length.unwrap_or(0))),
        }
    }
}

/// Digits and nothing else: no sign, no list, no more than fit (RFC 9110, 8.6).
pub(super) fn plain_number(text: &[u8]) -> Result<u64, RequestError> {
    let is_plain = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(text).ok().filter(|_| is_plain);
    digits.and_then(|digits| digits.parse().ok()).ok_or(RequestError::BadLength)
}

#[cfg(test)]
mod tests;
