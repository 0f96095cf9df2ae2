//! Percent-encoding (RFC 3986, 2.1), and the plus of forms.

use std::borrow::Cow;

/// Decodes a segment of a path: `%41` is `A`, a plus is a plus. `None` when an escape is malformed,
/// or what comes out is no UTF-8 or holds a NUL.
///
/// ```
/// use skyring::wire::http::decode_path;
/// assert_eq!(decode_path("caf%C3%A9+").as_deref(), Some("café+"));
/// assert_eq!(decode_path("100%"), None);
/// ```
pub fn decode_path(text: &str) -> Option<Cow<'_, str>> {
    decode(text, false)
}

/// Decodes a name or a value of a query or a form: as [`decode_path`], and a plus is a space.
pub fn decode_component(text: &str) -> Option<Cow<'_, str>> {
    decode(text, true)
}

fn decode(text: &str, is_form: bool) -> Option<Cow<'_, str>> {
    let is_plain = |byte: u8| byte != b'%' && byte != 0 && !(is_form && byte == b'+');
    if text.bytes().all(is_plain) {
        return Some(text.into());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: u8| (byte as char).to_digit(16);
                (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8
            }
            b'+' if is_form => b' ',
            byte => byte,
        });
    }
    if decoded.contains(&0) {
        return None;
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_or_refused() {
        assert_eq!(decode_path("plain"), Some(Cow::Borrowed("plain")));
        assert_eq!(decode_path("%2f%2F+").as_deref(), Some("//+"));
        assert_eq!(decode_component("a+b%20c").as_deref(), Some("a b c"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "%00", "a%C3"] {
            assert_eq!(decode_path(bad), None, "{bad}");
        }
    }
}
