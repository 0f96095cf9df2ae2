//! Where a WebSocket is: `ws://host:port/path?query` (RFC 6455, 3).

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) is_secure: bool,
    /// Without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in the `Host` field.
    pub(super) authority: String,
    /// Path and query.
    pub(super) target: String,
}

impl Url {
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has a space or another character that has to be encoded");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it does not begin with ws:// or wss://");
        };
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err("it does not begin with ws:// or wss://"),
        };
        if rest.contains('#') {
            return Err("it has a fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("it has a user in it: send a header field instead");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                rest.split_once(']').ok_or("the bracket of its address does not close")?
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let default = if is_secure { 443 } else { 80 };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default,
            Some("") => default,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| "its port is over 65535")?
            }
            _ => return Err("its port is no number"),
        };
        if host.is_empty() {
            return Err("it has no host");
        }
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
        let (host, authority) = (host.to_owned(), authority.to_owned());
        Ok(Url { is_secure, host, port, authority, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parse = |text: &str| {
            let url = Url::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            (url.is_secure, url.host, url.port, url.authority, url.target)
        };
        let of = |secure, host: &str, port, authority: &str, target: &str| {
            (secure, host.to_owned(), port, authority.to_owned(), target.to_owned())
        };
        assert_eq!(parse("ws://a"), of(false, "a", 80, "a", "/"));
        assert_eq!(parse("WSS://a:8443/x?y=z"), of(true, "a", 8443, "a:8443", "/x?y=z"));
        assert_eq!(parse("ws://a?y"), of(false, "a", 80, "a", "/?y"));
        assert_eq!(parse("ws://[::1]:81/"), of(false, "::1", 81, "[::1]:81", "/"));
        assert_eq!(parse("wss://[::1]"), of(true, "::1", 443, "[::1]", "/"));
    }

    #[test]
    fn what_is_no_url_of_a_websocket_says_why() {
        let bad = [
            "",
            "a",
            "http://a",
            "ws://",
            "ws://:80",
            "ws://a:x",
            "ws://a:65536",
            "ws://a#b",
            "ws://u@a",
            "ws://[::1",
            "ws://a/\r\n",
            "ws://a b",
            "ws://a:+1",
            "ws://[::1]x",
        ];
        for text in bad {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }
}
