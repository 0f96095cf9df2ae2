//! The PROXY protocol, versions 1 and 2: a proxy says before all else whose connection it brings.
//!
//! After HAProxy's `proxy-protocol.txt` (2020). Both versions are told apart by their first byte; what
//! is neither is refused at the first byte that cannot be.
//!
//! ```text
//!   v1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CR LF          at most 107 bytes
//!   v2   CR LF CR LF NUL CR LF QUIT LF │ version, command │ family │ length │ addresses │ TLVs
//!        12                              1                  1        2        0 12 36 216
//! ```
//! Whoever may speak it can claim any address: take it from proxies of your own only
//! ([`Networks`](crate::limit::Networks)), and from those always.
//!
//! ```
//! use skyring::wire::proxy::{self, Origin, Step};
//!
//! let bytes = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nhello";
//! assert!(matches!(proxy::decode(&bytes[..20])?, Step::Partial { .. }));
//! let Step::Header(header) = proxy::decode(bytes)? else { panic!("it is whole") };
//! assert_eq!(&bytes[header.encoded..], b"hello");
//! let Origin::Stream { source, .. } = header.origin else { panic!("it is relayed") };
//! assert_eq!(source.to_string(), "192.0.2.1:56324");
//! # Ok::<(), skyring::wire::proxy::ProxyError>(())
//! ```

mod v1;
mod v2;

use std::fmt;
use std::net::SocketAddr;

/// The longest header that is taken, in bytes: what TLVs of the larger proxies need, and little
/// enough to hold for each new connection.
pub const HEADER_BYTES_MAX: usize = 4096;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The proxy's own, a health check say: its ends are those of the socket.
    Local,
    /// A client's that the proxy tells nothing of, or one of a family that has no addresses here (a
    /// Unix socket): its ends are those of the socket.
    Unknown,
    /// A client's stream.
    Stream {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// A client's datagrams.
    Datagram {
        /// The client.
        source: SocketAddr,
        /// Where it sent to.
        destination: SocketAddr,
    },
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose connection it is.
    pub origin: Origin,
    /// The header's length in bytes; behind it the client's own begin.
    pub encoded: usize,
}

/// What lies at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole header.
    Header(Header),
    /// The header is not whole yet.
    Partial {
        /// Bytes from the start that it is known to need: more than there are now, and at most
        /// [`HEADER_BYTES_MAX`].
        needed: usize,
    },
}

/// Looks for a header at the front of a connection's first bytes. It begins anew each time, which is
/// cheap: a proxy sends its header in one piece.
///
/// # Errors
/// What the peer did; nothing on the connection can be trusted. Said as soon as no more bytes could
/// make it right.
pub fn decode(bytes: &[u8]) -> Result<Step, ProxyError> {
    match bytes.first() {
        None => Ok(Step::Partial { needed: 1 }),
        Some(b'P') => v1::decode(bytes),
        Some(_) => v2::decode(bytes),
    }
}

/// What a peer did instead of sending a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// It began with something else: not the PROXY protocol.
    Missing,
    /// A line of version 1 did not end within 107 bytes.
    LineTooLong,
    /// A line of version 1 is not what its grammar allows.
    Malformed,
    /// The version, in the second form's notation, is not 2.
    Version(u8),
    /// There is no such command.
    Command(u8),
    /// There is no such family of addresses, or no such transport.
    Family(u8),
    /// The announced header is longer than [`HEADER_BYTES_MAX`].
    TooLong {
        /// What was announced, in bytes.
        len: usize,
    },
    /// The announced header has no room for the addresses of its family.
    TooShort {
        /// What was announced, in bytes behind the first 16.
        len: usize,
    },
    /// A field behind the addresses goes on beyond the header, or has not its length.
    Field(u8),
    /// The checksum does not match.
    Checksum,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Missing => f.write_str("the connection began without a PROXY header"),
            ProxyError::LineTooLong => f.write_str("a PROXY line did not end within 107 bytes"),
            ProxyError::Malformed => f.write_str("a PROXY line is malformed"),
            ProxyError::Version(version) => write!(f, "PROXY has no version {version}"),
            ProxyError::Command(command) => write!(f, "PROXY has no command {command}"),
            ProxyError::Family(family) => write!(f, "PROXY has no family {family:#04x}"),
            ProxyError::TooLong { len } => {
                write!(f, "a PROXY header of {len} bytes is over the cap of {HEADER_BYTES_MAX}")
            }
            ProxyError::TooShort { len } => {
                write!(f, "a PROXY header of {len} bytes has no room for its addresses")
            }
            ProxyError::Field(kind) => write!(f, "field {kind:#04x} of a PROXY header is cut"),
            ProxyError::Checksum => f.write_str("the checksum of a PROXY header does not match"),
        }
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests;
