//! Header fields: read where they lie, checked before they are written (RFC 9110, 5).

/// The fields of a checked head or trailer, in order: names as they came, values without the
/// whitespace around them.
///
/// ```
/// use skyring::wire::http::Fields;
/// let mut fields = Fields::new(b"Host: a\r\nX-Empty:\r\n");
/// assert_eq!(fields.next(), Some(("Host", &b"a"[..])));
/// assert_eq!(fields.next(), Some(("X-Empty", &b""[..])));
/// assert_eq!(fields.next(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    lines: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Fields in lines that end with CR LF each. Lines that are no fields are left out.
    pub fn new(lines: &'a [u8]) -> Fields<'a> {
        Fields { lines }
    }

    /// The value of the first field of this name, in whatever case.
    pub fn value(mut self, name: &str) -> Option<&'a [u8]> {
        let found = self.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.lines.is_empty() {
            let end = memchr::memchr(b'\n', self.lines).map_or(self.lines.len(), |at| at + 1);
            let (line, rest) = self.lines.split_at(end);
            self.lines = rest;
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            if let Ok(name) = std::str::from_utf8(&line[..colon]) {
                return Some((name, line[colon + 1..].trim_ascii()));
            }
        }
        None
    }
}

/// Whether a value that is a list of tokens has this one, in whatever case.
///
/// ```
/// use skyring::wire::http::has_token;
/// assert!(has_token(b"keep-alive, Upgrade", "upgrade"));
/// assert!(!has_token(b"upgraded", "upgrade"));
/// ```
pub fn has_token(list: &[u8], token: &str) -> bool {
    let mut tokens = list.split(|byte| *byte == b',');
    tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `text` is the name of a field: a token (RFC 9110, 5.1).
pub fn is_field_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

/// Whether `bytes` may be sent as the value of a field: nothing in them ends the line, or is another
/// control character than a tab (RFC 9110, 5.5).
pub fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_is_no_value() {
        assert!(is_field_value(b"") && is_field_value("caf\u{e9}\t~".as_bytes()));
        for bad in ["a\r\nSet-Cookie: b", "a\n", "\0", "\x7f"] {
            assert!(!is_field_value(bad.as_bytes()), "{bad:?}");
        }
        assert!(is_field_name("x-y") && !is_field_name("") && !is_field_name("a:b"));
        assert!(!is_field_name("a b") && !is_field_name("\u{e4}"));
    }

    #[test]
    fn a_name_is_found_in_any_case_and_the_first_counts() {
        let fields = Fields::new(b"A: 1\r\nb:2 \r\nB: 3\r\n");
        assert_eq!(fields.clone().value("B"), Some(&b"2"[..]));
        assert_eq!(fields.clone().value("c"), None);
        assert_eq!(fields.count(), 3);
    }
}
