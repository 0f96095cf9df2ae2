//! Where a client's request goes: `http` and `https` URLs (RFC 3986, RFC 9110, 4.2).

use std::fmt;

use super::target::{is_authority, split_port};

/// The longest URL, in bytes.
const BYTES_MAX: usize = 16 * 1024;

/// An `http` or `https` URL, ready to be asked for: host in lower case, port known, fragment gone,
/// what a request line cannot hold encoded.
///
/// ```
/// use skyring::wire::http::Url;
///
/// let url = Url::parse("http://Example.org:8080/caf\u{e9}?q=a b#top")?;
/// assert_eq!(url.to_string(), "http://example.org:8080/caf%C3%A9?q=a%20b");
/// assert_eq!((url.host(), url.port(), url.target()), ("example.org", 8080, "/caf%C3%A9?q=a%20b"));
/// assert_eq!(url.join("../x?y")?.to_string(), "http://example.org:8080/x?y");
/// # Ok::<(), skyring::wire::http::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    target: String,
}

/// Why a text is no URL that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `http://` or `https://`.
    Scheme(String),
    /// Its host or port is malformed.
    Host(String),
    /// It has a user and a password, which belong in a header field.
    UserInfo,
    /// It holds a control character.
    Control,
    /// It is over 16 KiB.
    TooLong,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Scheme(text) => {
                write!(f, "{text:?} is no URL to ask for: write http://host/path or https://")
            }
            UrlError::Host(text) => write!(
                f,
                "{text:?} is no host: write a name in ASCII or an address, as example.org:8080 or \
                 [::1]:8080"
            ),
            UrlError::UserInfo => f.write_str(
                "the URL has a user or a password: send them in an authorization header instead",
            ),
            UrlError::Control => f.write_str("the URL holds a control character: encode it"),
            UrlError::TooLong => f.write_str("the URL is over 16 KiB"),
        }
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`]
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.len() > BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let (secure, rest) = match (after(text, "http://"), after(text, "https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(UrlError::Scheme(shown(text))),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = read_authority(authority, secure)?;
        Ok(Url { secure, host, port, target: encode(path)? })
    }

    /// What a reference means that stands in this URL's answer, as a `Location` (RFC 3986, 5.2).
    ///
    /// # Errors
    /// [`UrlError`]
    pub fn join(&self, reference: &str) -> Result<Url, UrlError> {
        let scheme =
            reference.find([':', '/', '?', '#']).filter(|at| reference[*at..].starts_with(':'));
        if scheme.is_some() {
            return Url::parse(reference);
        }
        if reference.starts_with("//") {
            return Url::parse(&format!("{}:{reference}", self.scheme()));
        }
        if reference.len() > BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let path = self.target.split('?').next().unwrap_or_default();
        let joined = match reference.chars().next() {
            None => self.target.clone(),
            Some('/') => reference.to_owned(),
            Some('?') => [path, reference].concat(),
            Some(_) => [&path[..=path.rfind('/').unwrap_or(0)], reference].concat(),
        };
        Ok(Url { target: without_dots(&encode(&joined)?), ..self.clone() })
    }

    /// Whether it is `https`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The host in lower case; an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the usual one of the scheme unless it is said.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as they stand in a request line.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port as they stand in a `Host` field: without the scheme's usual port.
    pub fn authority(&self) -> String {
        match self.port == usual_port(self.secure) {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether both have scheme, host and port in common (RFC 9110, 4.3.1).
    pub fn is_same_origin(&self, other: &Url) -> bool {
        (self.secure, self.port, &self.host) == (other.secure, other.port, &other.host)
    }

    /// Adds pairs to the query, encoded as a form.
    pub(crate) fn add_query(&mut self, pairs: &str) {
        if !pairs.is_empty() {
            self.target.push(if self.target.contains('?') { '&' } else { '?' });
            self.target.push_str(pairs);
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.target)
    }
}

fn after<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let start = text.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// What an error shows of a text that may be anything.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn read_authority(text: &str, secure: bool) -> Result<(String, u16), UrlError> {
    if text.contains('@') {
        return Err(UrlError::UserInfo);
    }
    let wrong = || UrlError::Host(shown(text));
    if !is_authority(text.as_bytes()) {
        return Err(wrong());
    }
    let (host, port) = split_port(text.as_bytes());
    let port = match port {
        None | Some(b"") => usual_port(secure),
        Some(digits) => {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            digits.parse().map_err(|_| wrong())?
        }
    };
    let host = text[..host.len()].to_ascii_lowercase();
    if host.is_empty() || port == 0 {
        return Err(wrong());
    }
    Ok((host, port))
}

/// Path and query as a request line takes them.
fn encode(text: &str) -> Result<String, UrlError> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let text = text.split('#').next().unwrap_or_default();
    let mut encoded = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        encoded.push('/');
    }
    for byte in text.bytes() {
        match byte {
            0..b' ' | 0x7f => return Err(UrlError::Control),
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                encoded.push('%');
                encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
                encoded.push(char::from(DIGITS[usize::from(byte & 0xf)]));
            }
            byte => encoded.push(char::from(byte)),
        }
    }
    Ok(encoded)
}

/// The same without the segments `.` and `..` of the path (RFC 3986, 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    ["/", &kept.join("/"), query].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Url::parse(text).expect("a URL").to_string()
    }

    #[test]
    fn a_url_is_made_ready_to_be_asked_for() {
        for (text, ready) in [
            ("http://a", "http://a/"),
            ("HTTPS://A:443?x", "https://a/?x"),
            ("http://a:80/", "http://a/"),
            ("http://a:443/", "http://a:443/"),
            ("http://a:/x", "http://a/x"),
            ("http://[::1]:8080/x#y", "http://[::1]:8080/x"),
            ("http://a/%zz%20 {}\"", "http://a/%zz%20%20%7B%7D%22"),
            ("http://a#b", "http://a/"),
            ("http://a/\u{e4}?\u{e4}", "http://a/%C3%A4?%C3%A4"),
        ] {
            assert_eq!(parsed(text), ready);
        }
    }

    #[test]
    fn what_is_no_url_says_so() {
        let fails = |text: &str| Url::parse(text).expect_err("no URL");
        for text in ["", "a", "/a", "ftp://a", "http:/a", "http", "https:", "javascript:1"] {
            assert!(matches!(fails(text), UrlError::Scheme(_)), "{text}");
        }
        for text in [
            "http://",
            "http:///x",
            "http://:80",
            "http://a b/",
            "http://a:x",
            "http://a:65536",
            "http://a:0",
            "http://[::1",
            "http://b\u{fc}cher/",
            "http://a,\r\nb/",
        ] {
            assert!(matches!(fails(text), UrlError::Host(_)), "{text}");
        }
        assert_eq!(fails("http://u:p@a/"), UrlError::UserInfo);
        assert_eq!(fails("http://a/\r\nHost: b"), UrlError::Control);
        assert_eq!(fails("http://a/\0"), UrlError::Control);
        let long = |len: usize| Url::parse(&format!("http://a/{}", "x".repeat(len - 9)));
        assert!(long(BYTES_MAX).is_ok());
        assert_eq!(long(BYTES_MAX + 1), Err(UrlError::TooLong));
    }

    #[test]
    fn a_reference_is_resolved_as_rfc_3986_has_it() {
        let base = Url::parse("http://a/b/c/d;p?q").expect("a URL");
        // Section 5.4, but for what has no place in a request.
        for (reference, target) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x", "/b/c/g;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
        ] {
            assert_eq!(base.join(reference).expect("a URL").target(), target, "{reference}");
        }
        assert_eq!(base.join("//g").expect("a URL").to_string(), "http://g/");
        assert_eq!(base.join("https://x:1/y").expect("a URL").to_string(), "https://x:1/y");
        assert!(matches!(base.join("mailto:a"), Err(UrlError::Scheme(_))));
        assert_eq!(base.join("/a\r\nx"), Err(UrlError::Control));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| Url::parse(text).expect("a URL"));
            a.is_same_origin(&b)
        };
        assert!(same("http://a/x", "http://A:80/y"));
        assert!(!same("http://a", "https://a") && !same("http://a", "http://a:81"));
        assert!(!same("http://a", "http://b") && !same("http://a:443", "https://a"));
    }
}
