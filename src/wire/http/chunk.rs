//! A chunked body (RFC 9112, 7.1), read as it comes and written.
//!
//! ```text
//!   5;ext=1\r\n hello \r\n  0\r\n  Trailer: 1\r\n  \r\n
//!   Size ─ Ext  Data  End   Size   Trailers        Done
//! ```

use super::error::RequestError;
use super::fields::{is_field_name, is_field_value};

/// Digits of a chunk's size; 15 cannot overflow.
const DIGITS_MAX: u8 = 15;
/// Bytes of one chunk's extension.
const EXTENSION_BYTES_MAX: u32 = 256;
/// Bytes of all extensions of a body: they cost work and say nothing.
const EXTENSIONS_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of all trailer fields.
const TRAILERS_BYTES_MAX: usize = 4 * 1024;
/// What says how a message is framed and whom it is for comes before it (RFC 9110, 6.5.1).
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "host"];
/// Trailer fields.
const TRAILERS_MAX: usize = 32;

/// Reads one chunked body.
///
/// ```
/// use skyring::wire::http::{Chunk, Chunked};
///
/// let (mut body, mut read) = (Chunked::new(), Vec::new());
/// let mut rest = &b"2\r\nhi\r\n0\r\nX: 1\r\n\r\nGET /"[..];
/// loop {
///     match body.decode(rest)? {
///         (used, Chunk::Data) => { read.extend_from_slice(&rest[..used]); rest = &rest[used..] }
///         (used, Chunk::Skip) => rest = &rest[used..],
///         (used, Chunk::Done) => { rest = &rest[used..]; break }
///         (_, Chunk::Partial) => unreachable!("the body is whole"),
///     }
/// }
/// assert_eq!((&read[..], rest), (&b"hi"[..], &b"GET /"[..]));
/// assert_eq!(body.trailers(), b"X: 1\r\n");
/// # Ok::<(), skyring::wire::http::RequestError>(())
/// ```
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    /// Of the size line: its number so far; then what is left of the chunk.
    left: u64,
    digits: u8,
    extension: u32,
    extensions: u32,
    /// Lines of the trailers, each with its CR LF, and the one that is not whole.
    trailers: Vec<u8>,
    line_start: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    Trailer,
    TrailerFeed,
    Done,
}

/// What lies at the front of the bytes of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// So many bytes are data.
    Data,
    /// So many bytes are encoding; data may follow.
    Skip,
    /// The body has ended behind so many bytes.
    Done,
    /// All bytes are used up and the body goes on.
    Partial,
}

impl Chunked {
    /// Before the first chunk.
    pub fn new() -> Chunked {
        Chunked::default()
    }

    /// What lies at the front, and how many bytes of it. To be called again with what is behind.
    ///
    /// # Errors
    /// [`RequestError`]: the body is malformed, and where it ends is unknown.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(usize, Chunk), RequestError> {
        if bytes.is_empty() && self.state != State::Done {
            return Ok((0, Chunk::Partial));
        }
        if self.state == State::Data {
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= count as u64;
            if self.left == 0 {
                self.state = State::DataReturn;
            }
            return Ok((count, Chunk::Data));
        }
        for (at, byte) in bytes.iter().enumerate() {
            if self.state == State::Done {
                return Ok((at, Chunk::Done));
            }
            if self.state == State::Data {
                return Ok((at, Chunk::Skip));
            }
            self.step(*byte)?;
        }
        let chunk = if self.state == State::Done { Chunk::Done } else { Chunk::Skip };
        Ok((bytes.len(), chunk))
    }

    fn step(&mut self, byte: u8) -> Result<(), RequestError> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeFeed,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, digit) => {
                let digit = (digit as char).to_digit(16).ok_or(RequestError::BadChunkSize)?;
                if self.digits == DIGITS_MAX {
                    return Err(RequestError::BadChunkSize);
                }
                self.digits += 1;
                self.left = self.left * 16 + u64::from(digit);
                State::Size
            }
            (State::Extension, b'\r') => State::SizeFeed,
            (State::Extension, byte) => {
                self.extension += 1;
                self.extensions += 1;
                let is_long =
                    self.extension > EXTENSION_BYTES_MAX || self.extensions > EXTENSIONS_BYTES_MAX;
                if is_long || !is_field_value(&[byte]) {
                    return Err(RequestError::BadChunkExtension);
                }
                State::Extension
            }
            (State::SizeFeed, b'\n') => {
                self.digits = 0;
                self.extension = 0;
                if self.left == 0 { State::Trailer } else { State::Data }
            }
            (State::SizeFeed, _) => return Err(RequestError::BadChunkSize),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::Size,
            (State::DataReturn | State::DataFeed, _) => return Err(RequestError::BadChunkEnd),
            (State::Trailer, b'\r') => State::TrailerFeed,
            (State::Trailer, byte) => {
                if self.trailers.len() >= TRAILERS_BYTES_MAX {
                    return Err(RequestError::TrailersTooLong);
                }
                self.trailers.push(byte);
                State::Trailer
            }
            (State::TrailerFeed, b'\n') => self.end_trailer()?,
            (State::TrailerFeed, _) => return Err(RequestError::BadTrailer),
            (State::Data | State::Done, _) => unreachable!("handled by the caller"),
        };
        Ok(())
    }

    /// A line of the trailers has ended; an empty one ends the body.
    fn end_trailer(&mut self) -> Result<State, RequestError> {
        let line = &self.trailers[self.line_start..];
        if line.is_empty() {
            return Ok(State::Done);
        }
        let colon = memchr::memchr(b':', line).ok_or(RequestError::BadTrailer)?;
        let name = std::str::from_utf8(&line[..colon]).unwrap_or_default();
        let is_framing = FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing));
        if is_framing || !is_field_name(name) || !is_field_value(&line[colon + 1..]) {
            return Err(RequestError::BadTrailer);
        }
        self.trailers.extend_from_slice(b"\r\n");
        self.line_start = self.trailers.len();
        let count = memchr::memchr_iter(b'\n', &self.trailers).count();
        match count > TRAILERS_MAX {
            true => Err(RequestError::TrailersTooLong),
            false => Ok(State::Trailer),
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The lines of the trailer fields, for [`Fields`](super::Fields).
    pub fn trailers(&self) -> &[u8] {
        &self.trailers[..self.line_start]
    }
}

/// What is put before a chunk of `len` bytes: a size and CR LF, of which so many bytes count. CR LF
/// goes behind the chunk. A chunk of no bytes would end the body.
///
/// ```
/// use skyring::wire::http::chunk_head;
/// let (head, len) = chunk_head(0x1fa);
/// assert_eq!(&head[..len], b"1fa\r\n");
/// ```
pub fn chunk_head(len: usize) -> ([u8; 18], usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut head = [0; 18];
    let count = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1) as usize;
    for (at, byte) in head[..count].iter_mut().enumerate() {
        *byte = DIGITS[len >> ((count - 1 - at) * 4) & 0xf];
    }
    head[count..count + 2].copy_from_slice(b"\r\n");
    (head, count + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, what is left behind the body, and its trailers.
    type Read = (Vec<u8>, Vec<u8>, Vec<u8>);

    /// What was read of a body that came in `pieces`, if it was whole.
    fn read(pieces: &[&[u8]]) -> Result<Option<Read>, RequestError> {
        let (mut body, mut data) = (Chunked::new(), Vec::new());
        for (n, piece) in pieces.iter().enumerate() {
            let mut rest = *piece;
            loop {
                let (used, chunk) = body.decode(rest)?;
                if chunk == Chunk::Data {
                    data.extend_from_slice(&rest[..used]);
                }
                rest = &rest[used..];
                match chunk {
                    Chunk::Done => {
                        let behind = [rest, &pieces[n + 1..].concat()].concat();
                        return Ok(Some((data, behind, body.trailers().to_vec())));
                    }
                    Chunk::Partial => break,
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn every_cut_gives_the_same_body() {
        let wire =
            b"5;a=\"b\"\r\nhello\r\n00F\r\n0123456789abcde\r\n0\r\nA: 1\r\nB:\t2\r\n\r\nGET /";
        let whole = read(&[wire]).expect("valid").expect("whole");
        assert_eq!(whole.0, b"hello0123456789abcde");
        assert_eq!((&whole.1[..], &whole.2[..]), (&b"GET /"[..], &b"A: 1\r\nB:\t2\r\n"[..]));
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(read(&pieces).expect("valid").expect("whole"), whole);
            }
        }
        for end in 0..wire.len() - 5 {
            assert_eq!(read(&[&wire[..end]]).expect("valid"), None, "cut at {end}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let wrong: &[(&[u8], RequestError)] = &[
            (b"\r\n", RequestError::BadChunkSize),
            (b"+5\r\n", RequestError::BadChunkSize),
            (b"-5\r\n", RequestError::BadChunkSize),
            (b"0x5\r\n", RequestError::BadChunkSize),
            (b" 5\r\n", RequestError::BadChunkSize),
            (b"5 \r\n", RequestError::BadChunkSize),
            (b"5 ;a\r\n", RequestError::BadChunkSize),
            (b"5\n", RequestError::BadChunkSize),
            (b"5\r5", RequestError::BadChunkSize),
            (b";a\r\n", RequestError::BadChunkSize),
            (b"g\r\n", RequestError::BadChunkSize),
            (b"1_0\r\n", RequestError::BadChunkSize),
            (b"1000000000000000\r\n", RequestError::BadChunkSize),
            (b"5;a\nb\r\n", RequestError::BadChunkExtension),
            (b"5;a\0\r\n", RequestError::BadChunkExtension),
            (b"2\r\nabc\r\n", RequestError::BadChunkEnd),
            (b"2\r\nab\n", RequestError::BadChunkEnd),
            (b"2\r\nab\rx", RequestError::BadChunkEnd),
            (b"0\r\nno colon\r\n", RequestError::BadTrailer),
            (b"0\r\n folded: 1\r\n", RequestError::BadTrailer),
            (b"0\r\na : 1\r\n", RequestError::BadTrailer),
            (b"0\r\ncontent-LENGTH: 1\r\n", RequestError::BadTrailer),
            (b"0\r\na: 1\n\r\n", RequestError::BadTrailer),
            (b"0\r\na: \rb\r\n", RequestError::BadTrailer),
        ];
        for (wire, error) in wrong {
            assert_eq!(read(&[wire]), Err(*error), "{}", wire.escape_ascii());
            let alone: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(read(&alone), Err(*error), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn the_last_allowed_passes_and_the_next_is_refused() {
        let extended = |len: usize| [b"1;", &vec![b'x'; len][..], b"\r\na\r\n0\r\n\r\n"].concat();
        let max = EXTENSION_BYTES_MAX as usize;
        assert!(read(&[&extended(max)]).expect("as long as may be").is_some());
        assert_eq!(read(&[&extended(max + 1)]), Err(RequestError::BadChunkExtension));
        let many = extended(max)[..max + 7].repeat(EXTENSIONS_BYTES_MAX as usize / max);
        assert!(read(&[&many, b"0\r\n\r\n"]).expect("as many as may be").is_some());
        assert_eq!(read(&[&many, b"1;x"]), Err(RequestError::BadChunkExtension));
        assert!(read(&[b"000000000000001\r\na\r\n0\r\n\r\n"]).expect("15 digits").is_some());
        let trailers =
            |count| [b"0\r\n".to_vec(), b"a:\r\n".repeat(count), b"\r\n".to_vec()].concat();
        assert!(read(&[&trailers(TRAILERS_MAX)]).expect("as many as may be").is_some());
        assert_eq!(read(&[&trailers(TRAILERS_MAX + 1)]), Err(RequestError::TrailersTooLong));
        let long = [b"0\r\na:", &vec![b'x'; TRAILERS_BYTES_MAX][..]].concat();
        assert_eq!(read(&[&long]), Err(RequestError::TrailersTooLong));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for len in [1, 9, 10, 15, 16, 255, 256, 0xfff, 70_000] {
            let (head, count) = chunk_head(len);
            let wire = [&head[..count], &vec![b'x'; len], b"\r\n0\r\n\r\n"].concat();
            let (data, rest, _) = read(&[&wire]).expect("valid").expect("whole");
            assert_eq!((data.len(), rest.len()), (len, 0));
        }
        let (head, count) = chunk_head(usize::MAX);
        assert_eq!(&head[..count], b"ffffffffffffffff\r\n");
    }
}
