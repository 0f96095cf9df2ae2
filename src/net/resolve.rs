//! Hosts and ports, and the addresses behind a name, which are looked up off the reactor.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use super::error::ConnectError;
use crate::error::Error;
use crate::reactor::blocking::blocking;

/// Addresses of one name that are tried; resolvers give a handful.
const ADDRESSES_MAX: usize = 16;

/// A host and a port: `"example.org:80"`, `("example.org", 80)`, `"[::1]:80"`, a [`SocketAddr`], or
/// several of them that are tried in turn.
///
/// What is no host and port shows as an error of the call that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Addresses(Vec<SocketAddr>),
    Name { host: String, port: u16 },
    Malformed(String),
}

impl Endpoint {
    fn named(host: &str, port: u16) -> Endpoint {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(ip) => SocketAddr::from((ip, port)).into(),
            Err(_) if is_name(host) => Endpoint(Kind::Name { host: host.into(), port }),
            Err(_) => Endpoint(Kind::Malformed(format!("{host}:{port}"))),
        }
    }

    /// The host that was asked for, by name or by address; `None` when there is none.
    #[cfg(feature = "tls")]
    pub(crate) fn host(&self) -> Option<String> {
        match &self.0 {
            Kind::Addresses(addresses) => addresses.first().map(|address| address.ip().to_string()),
            Kind::Name { host, .. } => Some(host.clone()),
            Kind::Malformed(_) => None,
        }
    }

    /// The one address that was written out; names need a resolver, which would wait.
    pub(super) fn literal(&self) -> Result<SocketAddr, Error> {
        match &self.0 {
            Kind::Addresses(addresses) if addresses.len() == 1 => Ok(addresses[0]),
            _ => Err(format!(
                "cannot bind to {self}: write an IP address of this machine and a port, as \
                 0.0.0.0:8888 or [::1]:8888"
            )
            .into()),
        }
    }

    /// Its addresses, in the order in which they are to be tried.
    pub(super) async fn resolve(self) -> Result<Vec<SocketAddr>, ConnectError> {
        let (host, port) = match self.0 {
            Kind::Addresses(addresses) if addresses.is_empty() => {
                return Err(ConnectError::Malformed(String::new()));
            }
            Kind::Addresses(addresses) => return Ok(addresses),
            Kind::Malformed(text) => return Err(ConnectError::Malformed(text)),
            Kind::Name { host, port } => (host, port),
        };
        let name = host.clone();
        let resolved = blocking(move || {
            let addresses = (name.as_str(), port).to_socket_addrs()?;
            Ok(addresses.take(ADDRESSES_MAX).collect::<Vec<_>>())
        });
        let failed = |source| ConnectError::Unresolved { host, source };
        match resolved.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_)) => Err(failed(std::io::Error::other("the name has no address"))),
            Ok(Err(source)) => Err(failed(source)),
            Err(saturated) => Err(failed(std::io::Error::other(saturated))),
        }
    }
}

/// What the resolver may be asked: RFC 1123 names with room for `_`. It would take anything, and a
/// NUL not at all.
fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Addresses(addresses) => {
                for (index, address) in addresses.iter().enumerate() {
                    write!(f, "{}{address}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Kind::Name { host, port } => write!(f, "{host}:{port}"),
            Kind::Malformed(text) => write!(f, "{text:?}"),
        }
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Endpoint {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.into();
        }
        let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match split {
            // `::1` without brackets is no host with a port.
            Some((host, port)) if !host.contains(':') => Endpoint::named(host, port),
            _ => Endpoint(Kind::Malformed(text.into())),
        }
    }
}

impl From<&String> for Endpoint {
    fn from(text: &String) -> Endpoint {
        text.as_str().into()
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Endpoint {
        text.as_str().into()
    }
}

impl From<(&str, u16)> for Endpoint {
    fn from((host, port): (&str, u16)) -> Endpoint {
        Endpoint::named(host, port)
    }
}

impl From<(String, u16)> for Endpoint {
    fn from((host, port): (String, u16)) -> Endpoint {
        Endpoint::named(&host, port)
    }
}

impl From<(IpAddr, u16)> for Endpoint {
    fn from(address: (IpAddr, u16)) -> Endpoint {
        SocketAddr::from(address).into()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint(Kind::Addresses(vec![address]))
    }
}

impl From<&[SocketAddr]> for Endpoint {
    fn from(addresses: &[SocketAddr]) -> Endpoint {
        Endpoint(Kind::Addresses(addresses.to_vec()))
    }
}

impl<const N: usize> From<[SocketAddr; N]> for Endpoint {
    fn from(addresses: [SocketAddr; N]) -> Endpoint {
        Endpoint(Kind::Addresses(addresses.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        Endpoint::from(text).0
    }

    #[test]
    fn addresses_are_told_from_names() {
        let addresses = |text: &str| Kind::Addresses(vec![text.parse().expect("an address")]);
        assert_eq!(kind("127.0.0.1:80"), addresses("127.0.0.1:80"));
        assert_eq!(kind("[::1]:80"), addresses("[::1]:80"));
        assert_eq!(Endpoint::from(("::1", 80)).0, addresses("[::1]:80"));
        assert_eq!(Endpoint::from(("[::1]", 80)).0, addresses("[::1]:80"));
        assert_eq!(kind("example.org:80"), Kind::Name { host: "example.org".into(), port: 80 });
        assert_eq!(Endpoint::from("example.org:80"), Endpoint::from(("example.org", 80)));
    }

    #[test]
    fn what_is_no_host_and_port_says_so() {
        for wrong in ["", ":", ":80", "host", "host:", "host:65536", "::1", "a b:1", "a\0:1"] {
            assert!(matches!(kind(wrong), Kind::Malformed(_)), "{wrong:?}");
        }
        let error = Endpoint::from("localhost:80").literal().expect_err("a name");
        assert!(error.to_string().contains("0.0.0.0:8888"), "{error}");
    }
}
