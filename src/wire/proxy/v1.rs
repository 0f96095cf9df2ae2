//! Version 1: a line of text.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use memchr::memchr;

use super::{Header, Origin, ProxyError, Step};

/// The longest line with its CR LF: two IPv6 addresses in full.
pub(super) const LINE_BYTES_MAX: usize = 107;
/// `PROXY UNKNOWN CR LF`, the shortest.
const LINE_BYTES_MIN: usize = 15;
const START: &[u8] = b"PROXY ";

pub(super) fn decode(bytes: &[u8]) -> Result<Step, ProxyError> {
    let known = bytes.len().min(START.len());
    if bytes[..known] != START[..known] {
        return Err(ProxyError::Missing);
    }
    let end = bytes.len().min(LINE_BYTES_MAX);
    // An LF can only be the end, and has a CR before it.
    let Some(feed) = memchr(b'\n', &bytes[..end]) else {
        // A CR can only be the one before the end.
        if let Some(at) = memchr(b'\r', &bytes[..end]).filter(|at| at + 1 < end) {
            debug_assert!(bytes[at + 1] != b'\n');
            return Err(ProxyError::Malformed);
        }
        if bytes.len() >= LINE_BYTES_MAX {
            return Err(ProxyError::LineTooLong);
        }
        return Ok(Step::Partial { needed: LINE_BYTES_MIN.max(bytes.len() + 1) });
    };
    let line = bytes[..feed].strip_suffix(b"\r").ok_or(ProxyError::Malformed)?;
    if memchr(b'\r', line).is_some() || line.len() < START.len() {
        return Err(ProxyError::Malformed);
    }
    let origin = origin(&line[START.len()..]).ok_or(ProxyError::Malformed)?;
    Ok(Step::Header(Header { origin, encoded: feed + 1 }))
}

/// What stands behind `PROXY `.
fn origin(line: &[u8]) -> Option<Origin> {
    // What an unknown protocol is followed by is to be ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(Origin::Unknown);
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let is_ipv4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    // std's readers refuse leading zeros, signs, spaces and scopes.
    let address = |text| {
        let address = IpAddr::from_str(text).ok().filter(|address| address.is_ipv4() == is_ipv4);
        address
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)))
    };
    Some(Origin::Stream {
        source: SocketAddr::new(address(source)?, source_port),
        destination: SocketAddr::new(address(destination)?, destination_port),
    })
}

/// 0 to 65535 in its only notation.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = !text.starts_with('0') || text == "0";
    text.parse().ok().filter(|_| is_plain && is_shortest)
}
