//! The head of a response, written behind what is in a buffer (RFC 9112, section 4).

use super::head::{BodyLength, Version};

/// What a head usually takes, so that it grows its buffer once.
const ROOM_BYTES: usize = 256;

/// What the engine itself says in the head of a response; all else is the user's.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// 100 to 999.
    pub status: u16,
    /// As [`write_date`](super::write_date) writes it.
    pub date: &'a [u8; 29],
    /// Empty for none.
    pub content_type: &'a str,
    /// How long the body is; `None` where nothing is said of it: the answers that have none (1xx,
    /// 204), and a body that ends with the connection.
    pub length: Option<BodyLength>,
    /// Further fields, checked, each with its CR LF.
    pub fields: &'a [u8],
    /// Whether the connection stays.
    pub keep_alive: bool,
    /// Of the request: HTTP/1.0 has to be told that the connection stays.
    pub version: Version,
}

/// Writes the head with the empty line behind it.
///
/// ```
/// use skyring::wire::http::{BodyLength, ResponseHead, Version, write_date, write_head};
///
/// let mut out = Vec::new();
/// write_head(&mut out, &ResponseHead {
///     status: 404,
///     date: &write_date(0),
///     content_type: "text/plain",
///     length: Some(BodyLength::Bytes(9)),
///     fields: b"",
///     keep_alive: true,
///     version: Version::Http11,
/// });
/// let text = "HTTP/1.1 404 Not Found\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
///             content-type: text/plain\r\ncontent-length: 9\r\n\r\n";
/// assert_eq!(out, text.as_bytes());
/// ```
pub fn write_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.reserve(ROOM_BYTES);
    match head.status {
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\ndate: "),
        status => {
            out.extend_from_slice(b"HTTP/1.1 ");
            write_number(out, status.into());
            out.push(b' ');
            out.extend_from_slice(reason(status).as_bytes());
            out.extend_from_slice(b"\r\ndate: ");
        }
    }
    out.extend_from_slice(head.date);
    out.extend_from_slice(b"\r\n");
    if !head.content_type.is_empty() {
        out.extend_from_slice(b"content-type: ");
        out.extend_from_slice(head.content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match head.length {
        Some(BodyLength::Bytes(len)) => {
            out.extend_from_slice(b"content-length: ");
            write_number(out, len);
            out.extend_from_slice(b"\r\n");
        }
        Some(BodyLength::Chunked) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        None => {}
    }
    out.extend_from_slice(head.fields);
    out.extend_from_slice(match (head.keep_alive, head.version) {
        (true, Version::Http11) => b"\r\n",
        (true, Version::Http10) => b"connection: keep-alive\r\n\r\n",
        (false, _) => b"connection: close\r\n\r\n",
    });
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The usual words for a status (RFC 9110, section 15); empty for one that has none.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn every_refusal_has_words_for_its_status() {
        for error in super::super::error::RequestError::ALL {
            assert!(!reason(error.status()).is_empty(), "{error:?}");
        }
    }
}
