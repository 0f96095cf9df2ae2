//! `http://HOST:PORT/PATH`, as typed.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::{Error, Result};

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host and port as written, for the field `host`.
    pub authority: String,
    /// The path with its query; none if nothing stands behind the host.
    pub path: Option<String>,
    port: u16,
}

impl Url {
    /// Reads `SCHEME://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// It is none; with what to write instead.
    pub fn parse(text: &str, scheme: &str, port: u16) -> Result<Self> {
        let wrong = || Error::usage(format!("--target {text}: write {scheme}://HOST:PORT/PATH"));
        let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        let rest = rest.ok_or_else(wrong)?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if authority.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        if path.starts_with('?') || authority.contains('@') {
            return Err(wrong());
        }
        let path = (!path.is_empty()).then(|| path.to_owned());
        Ok(Self { authority: authority.to_owned(), path, port })
    }

    /// Where it is.
    ///
    /// # Errors
    /// The host has no address.
    pub fn resolve(&self) -> Result<SocketAddr> {
        let Self { authority, port, .. } = self;
        let is_with_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !port.is_empty() && (!host.contains(':') || host.ends_with(']'))
        });
        let host = if is_with_port { authority.clone() } else { format!("{authority}:{port}") };
        let found = host
            .to_socket_addrs()
            .map_err(|error| Error::usage(format!("--target {authority}: {error}")))?
            .next();
        found.ok_or_else(|| Error::usage(format!("--target {authority}: it has no address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_perhaps_a_port_and_a_path() {
        let url = Url::parse("http://127.0.0.1:81/a?b=c", "http", 80).expect("it is one");
        assert_eq!((&*url.authority, url.path.as_deref()), ("127.0.0.1:81", Some("/a?b=c")));
        assert_eq!(url.resolve().expect("it is near").port(), 81);
        let bare = Url::parse("ws://127.0.0.1", "ws", 80).expect("it is one");
        assert_eq!((bare.path.as_deref(), bare.resolve().expect("near").port()), (None, 80));
        let six = Url::parse("http://[::1]", "http", 80).expect("it is one");
        assert_eq!(six.resolve().expect("near").port(), 80);
        for wrong in
            ["127.0.0.1:80", "https://x/", "http:///x", "http://h?x", "http://u@h/", "http://h/ x"]
        {
            assert!(matches!(Url::parse(wrong, "http", 80), Err(Error::Usage(_))), "{wrong}");
        }
    }
}
