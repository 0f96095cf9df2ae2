//! What the two sides of a connection have agreed on, and who the other one is.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::client::Client;
use crate::net::Stream;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        })
    }
}

/// What was negotiated on an encrypted connection: of a stream by [`Stream::tls`], of a gate's client
/// by [`Client::tls`], of an HTTP request by `Request::tls`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Negotiated {
    /// The version of TLS.
    pub version: Version,
    /// The cipher suite by its registered name, as `TLS13_AES_128_GCM_SHA256`.
    pub cipher_suite: &'static str,
    /// The application protocol (ALPN, RFC 7301), as `h2`; `None` when none was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The host that the client asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// The peer's certificate and those that vouch for it, in DER; empty when it has shown none.
    pub peer_certificates: Vec<Vec<u8>>,
    /// Whether an earlier session was resumed, without certificates and their signatures.
    pub is_resumed: bool,
}

impl Negotiated {
    /// Of a handshake that is done.
    pub(super) fn of(state: &CommonState, server_name: Option<String>) -> Option<Negotiated> {
        let version = match state.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Version::Tls12,
            ProtocolVersion::TLSv1_3 => Version::Tls13,
            _ => return None,
        };
        let certificates: &[CertificateDer<'_>] = state.peer_certificates().unwrap_or_default();
        Some(Negotiated {
            version,
            cipher_suite: state.negotiated_cipher_suite()?.suite().as_str().unwrap_or("unknown"),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            peer_certificates: certificates
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
            is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// Whether this application protocol was agreed on.
    pub fn speaks(&self, protocol: &str) -> bool {
        self.alpn.as_deref() == Some(protocol.as_bytes())
    }
}

impl Stream {
    /// What was negotiated; `None` when the stream is not encrypted.
    pub fn tls(&self) -> Option<Arc<Negotiated>> {
        self.connection().about_filter()?.downcast().ok()
    }
}

impl Client {
    /// What was negotiated; `None` when the connection is not encrypted.
    pub fn tls(&self) -> Option<Arc<Negotiated>> {
        self.session().connection.about_filter()?.downcast().ok()
    }
}
