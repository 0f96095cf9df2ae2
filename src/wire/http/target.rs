//! The target of a request and the host it is for (RFC 9112, 3.2).

use std::ops::Range;

use super::error::RequestError;

/// Which of the four forms a target has (RFC 9112, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `/path?query`, the usual one.
    Origin,
    /// `http://host/path?query`, as for a proxy. Its host counts, the `Host` field does not.
    Absolute,
    /// `host:port`, of CONNECT.
    Authority,
    /// `*`, of OPTIONS: the server as a whole.
    Asterisk,
}

/// A target taken apart: places in its bytes.
pub(super) struct Target {
    pub(super) form: Form,
    pub(super) path: Range<usize>,
    pub(super) query: Range<usize>,
    /// Only of the forms that have one.
    pub(super) authority: Option<Range<usize>>,
}

/// Reads a target whose bytes the request line allows.
pub(super) fn read(method: &[u8], target: &[u8]) -> Result<Target, RequestError> {
    // A fragment never leaves its client, and what is not ASCII has to be encoded (RFC 3986).
    if target.iter().any(|byte| !(0x21..0x7f).contains(byte) || *byte == b'#') {
        return Err(RequestError::BadTarget);
    }
    if method == b"CONNECT" {
        let (host, port) = split_port(target);
        let has_port = port.is_some_and(|port| !port.is_empty());
        if host.is_empty() || !has_port || !is_authority(target) {
            return Err(RequestError::BadTarget);
        }
        let all = 0..target.len();
        return Ok(Target { form: Form::Authority, path: 0..0, query: 0..0, authority: Some(all) });
    }
    match target.first() {
        Some(b'/') => Ok(with_path(target, 0, Form::Origin, None)),
        Some(b'*') if target.len() == 1 && method == b"OPTIONS" => {
            Ok(Target { form: Form::Asterisk, path: 0..0, query: 0..0, authority: None })
        }
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Result<Target, RequestError> {
    let after = |scheme: &[u8]| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    };
    let start = after(b"http://").or_else(|| after(b"https://")).ok_or(RequestError::BadTarget)?;
    let rest = &target[start..];
    let len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if len == 0 || !is_authority(&rest[..len]) {
        return Err(RequestError::BadTarget);
    }
    Ok(with_path(target, start + len, Form::Absolute, Some(start..start + len)))
}

fn with_path(target: &[u8], at: usize, form: Form, authority: Option<Range<usize>>) -> Target {
    let end = memchr::memchr(b'?', &target[at..]).map_or(target.len(), |found| at + found);
    let query = (end + 1).min(target.len())..target.len();
    Target { form, path: at..end, query, authority }
}

/// The characters of a registered name (RFC 3986, 3.2.2).
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_mark = matches!(
            byte as u8,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'%'
        );
        table[byte] = is_mark || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// Whether `text` is a host, with a port or without (RFC 3986, 3.2). User information is refused: it
/// has no place in requests (RFC 9110, 4.2.4).
#[inline]
pub(super) fn is_authority(text: &[u8]) -> bool {
    let name = text.iter().take_while(|byte| NAME[usize::from(**byte)]).count();
    match &text[name..] {
        [] => true,
        [b':', port @ ..] => is_port(port),
        [b'[', ..] if name == 0 => is_literal(text),
        _ => false,
    }
}

fn is_port(text: &[u8]) -> bool {
    text.len() <= 5 && text.iter().all(u8::is_ascii_digit)
}

/// Whether `text` is an address of IPv6 or later in brackets, with a port or without.
#[cold]
fn is_literal(text: &[u8]) -> bool {
    let (host, port) = split_port(text);
    let inner = host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]"));
    let is_known = |byte: &u8| byte.is_ascii_hexdigit() || b":.%v".contains(byte);
    inner.is_some_and(|inner| !inner.is_empty() && inner.iter().all(is_known))
        && port.is_none_or(is_port)
}

/// Host and port, cut at the colon that is not within brackets.
pub(super) fn split_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = memchr::memchr(b']', text).unwrap_or(0);
    match memchr::memchr(b':', &text[from..]) {
        Some(at) => (&text[..from + at], Some(&text[from + at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, target: &str) -> Option<(Form, String, String, String)> {
        let read = read(method.as_bytes(), target.as_bytes()).ok()?;
        let text = |range: Range<usize>| target[range].to_owned();
        let authority = read.authority.map(text).unwrap_or_default();
        Some((read.form, text(read.path), text(read.query), authority))
    }

    #[test]
    fn each_form_is_taken_apart() {
        let is = |form, path: &str, query: &str, authority: &str| {
            Some((form, path.to_owned(), query.to_owned(), authority.to_owned()))
        };
        assert_eq!(parts("GET", "/"), is(Form::Origin, "/", "", ""));
        assert_eq!(parts("GET", "/a/b?c=d?e"), is(Form::Origin, "/a/b", "c=d?e", ""));
        assert_eq!(parts("GET", "/?"), is(Form::Origin, "/", "", ""));
        assert_eq!(parts("GET", "HTTP://a:80/x?y"), is(Form::Absolute, "/x", "y", "a:80"));
        assert_eq!(parts("GET", "http://[::1]"), is(Form::Absolute, "", "", "[::1]"));
        assert_eq!(parts("GET", "https://a?q"), is(Form::Absolute, "", "q", "a"));
        assert_eq!(parts("OPTIONS", "*"), is(Form::Asterisk, "", "", ""));
        assert_eq!(parts("CONNECT", "a:443"), is(Form::Authority, "", "", "a:443"));
        for (method, target) in [
            ("GET", ""),
            ("GET", "*"),
            ("GET", "a"),
            ("GET", "a:80"),
            ("GET", "/a#b"),
            ("GET", "/\u{e4}"),
            ("GET", "ftp://a/"),
            ("GET", "http:///x"),
            ("GET", "http://u@h/"),
            ("OPTIONS", "**"),
            ("CONNECT", "a"),
            ("CONNECT", "/a"),
            ("CONNECT", ":80"),
            ("CONNECT", "a:"),
            ("CONNECT", "http://a/"),
        ] {
            assert_eq!(parts(method, target), None, "{method} {target}");
        }
    }

    #[test]
    fn hosts_are_names_or_literals_with_ports() {
        for good in ["", "a", "a.b-c_d:8080", "127.0.0.1:", "[::1]:65535", "[fe80::1%25]"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in ["a b", "a/b", "u@h", "a:b", "a:123456", "[::1", "::1", "[]", "a:80:80", "a,\t"]
        {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
