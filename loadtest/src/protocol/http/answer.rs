//! Finds whole HTTP/1.1 answers (RFC 9112), written anew here so that the library's own reader is
//! tested by code that is not its.

use std::ops::Range;

/// The longest head of an answer.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where an answer lies in what was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its status.
    pub status: u16,
    /// Bytes up to its end.
    pub bytes: usize,
    /// Its content.
    pub body: Body,
}

/// Where its content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// In one piece.
    Plain(Range<usize>),
    /// In the chunks from here on.
    Chunks(usize),
}

/// What a head says of the body.
enum Length {
    Unsaid,
    Bytes(usize),
    Chunked,
}

/// Looks for a whole answer at the front of `received`; `None` when more bytes are needed. Interim
/// answers (1xx) before it are passed over. One to HEAD has no body, whatever its head says.
///
/// # Errors
/// A sentence: it is no answer, or one without an end that could be known.
pub fn find(received: &[u8], is_to_head: bool) -> Result<Option<Found>, String> {
    let mut start = 0;
    loop {
        let rest = &received[start..];
        let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else {
            return match rest.len() {
                ..HEAD_BYTES_MAX => Ok(None),
                _ => Err(format!("a head of more than {HEAD_BYTES_MAX} bytes")),
            };
        };
        let (status, length) = head(&rest[..end + 2])?;
        let at = start + end + 4;
        if (100..200).contains(&status) {
            start = at;
            continue;
        }
        if is_to_head || matches!(status, 204 | 304) {
            return Ok(Some(Found { status, bytes: at, body: Body::Plain(at..at) }));
        }
        return match length {
            Length::Bytes(bytes) if received.len() - at < bytes => Ok(None),
            Length::Bytes(bytes) => {
                let end = at + bytes;
                Ok(Some(Found { status, bytes: end, body: Body::Plain(at..end) }))
            }
            Length::Chunked => Ok(chunks_end(received, at)?.map(|bytes| Found {
                status,
                bytes,
                body: Body::Chunks(at),
            })),
            Length::Unsaid => Err(format!("an answer of status {status} without a length")),
        };
    }
}

/// Reads the status and what is said of the body; `head` ends with its last field's CR LF.
fn head(head: &[u8]) -> Result<(u16, Length), String> {
    let mut lines = memchr::memchr_iter(b'\n', head).scan(0, |start, end| {
        let line = &head[*start..end];
        *start = end + 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    });
    let status = lines.next().and_then(status).ok_or_else(|| {
        let words: String = head.iter().take(24).map(|&byte| char::from(byte)).collect();
        format!("no HTTP/1.1 answer but {words:?}")
    })?;
    let mut length = Length::Unsaid;
    for line in lines {
        if let Some(value) = value(line, b"content-length") {
            let text = std::str::from_utf8(value).unwrap_or_default();
            let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 12;
            let bytes = text.parse().ok().filter(|_| digits);
            let bytes = bytes.ok_or_else(|| format!("a content-length of {text:?}"))?;
            if !matches!(length, Length::Unsaid) {
                return Err("an answer with two lengths".to_owned());
            }
            length = Length::Bytes(bytes);
        } else if let Some(value) = value(line, b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") || !matches!(length, Length::Unsaid) {
                return Err("a transfer-encoding that is not chunked alone".to_owned());
            }
            length = Length::Chunked;
        }
    }
    Ok((status, length))
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ")?;
    let digits = rest.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let is_ended = matches!(rest.get(3), None | Some(b' '));
    is_ended.then(|| digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}

/// The value of a field of this name, without the blanks around it.
#[inline]
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let colon = line.get(name.len())?;
    let is_it = *colon == b':' && line[..name.len()].eq_ignore_ascii_case(name);
    is_it.then(|| line[name.len() + 1..].trim_ascii())
}

/// The next chunk from `at` on: its data, and where what follows begins.
fn chunk(received: &[u8], at: usize) -> Result<Option<(Range<usize>, usize)>, String> {
    let Some(end) = memchr::memmem::find(&received[at..], b"\r\n") else {
        return match received.len() - at {
            ..256 => Ok(None),
            _ => Err("a chunk's size without an end".to_owned()),
        };
    };
    let line = &received[at..at + end];
    let digits = line.split(|&byte| byte == b';').next().unwrap_or(line).trim_ascii_end();
    let size = std::str::from_utf8(digits).ok().filter(|digits| (1..=8).contains(&digits.len()));
    let size = size.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let size = size.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let size =
        size.ok_or_else(|| format!("a chunk's size of {:?}", line.escape_ascii().to_string()))?;
    let data = at + end + 2;
    if size == 0 {
        return Ok(Some((data..data, data)));
    }
    match received.get(data + size..data + size + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((data..data + size, data + size + 2))),
        Some(_) => Err("a chunk that does not end with its size".to_owned()),
    }
}

/// Where the last chunk and its trailers end.
fn chunks_end(received: &[u8], mut at: usize) -> Result<Option<usize>, String> {
    while let Some((data, next)) = chunk(received, at)? {
        at = next;
        if data.is_empty() {
            // The trailers: lines until an empty one.
            while let Some(end) = memchr::memmem::find(&received[at..], b"\r\n") {
                at += end + 2;
                if end == 0 {
                    return Ok(Some(at));
                }
            }
            return Ok(None);
        }
    }
    Ok(None)
}

/// The content of chunks that were found whole, in one piece.
pub fn join(received: &[u8], mut at: usize) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Ok(Some((data, next))) = chunk(received, at) {
        if data.is_empty() {
            break;
        }
        joined.extend_from_slice(&received[data]);
        at = next;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n";

    fn body(received: &[u8], found: &Found) -> Vec<u8> {
        match &found.body {
            Body::Plain(range) => received[range.clone()].to_vec(),
            Body::Chunks(at) => join(received, *at),
        }
    }

    #[test]
    fn an_answer_is_found_however_it_is_cut() {
        for whole in [PLAIN, CHUNKED] {
            for cut in 0..whole.len() {
                assert_eq!(find(&whole[..cut], false), Ok(None), "{cut}");
            }
            let two = [whole, whole].concat();
            for end in whole.len()..=two.len() {
                let found = find(&two[..end], false).expect("it is one").expect("it is whole");
                assert_eq!((found.status, found.bytes), (200, whole.len()));
                assert_eq!(body(&two, &found), b"hello");
            }
        }
    }

    #[test]
    fn no_change_of_a_byte_reaches_a_panic() {
        for whole in [PLAIN, CHUNKED] {
            for at in 0..whole.len() {
                for byte in 0..=255 {
                    let mut changed = whole.to_vec();
                    changed[at] = byte;
                    if let Ok(Some(found)) = find(&changed, false) {
                        assert!(found.bytes <= changed.len());
                        let _ = body(&changed, &found);
                    }
                }
            }
        }
    }

    #[test]
    fn interim_answers_are_passed_over_and_some_have_no_body() {
        let interim = [b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN].concat();
        assert_eq!(
            find(&interim, false).map(|found| found.map(|found| found.bytes)),
            Ok(Some(interim.len()))
        );
        let head = find(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true);
        assert_eq!(head.map(|found| found.map(|found| found.body)), Ok(Some(Body::Plain(38..38))));
        let none = find(b"HTTP/1.1 204 No Content\r\n\r\n", false);
        assert_eq!(none.map(|found| found.map(|found| found.bytes)), Ok(Some(27)));
    }

    #[test]
    fn what_has_no_known_end_is_broken() {
        for wrong in [
            &b"HTTP/1.0 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 2x0 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n123456789\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxyz\r\n",
        ] {
            assert!(find(wrong, false).is_err(), "{:?}", wrong.escape_ascii().to_string());
        }
        let long = [b"HTTP/1.1 200 OK\r\nx: ", &vec![b'x'; HEAD_BYTES_MAX][..]].concat();
        assert_eq!(find(&long[..HEAD_BYTES_MAX - 1], false), Ok(None));
        assert!(find(&long[..HEAD_BYTES_MAX], false).is_err());
    }
}
