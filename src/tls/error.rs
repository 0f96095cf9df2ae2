//! What can go wrong with TLS: with one connection, and with what a server or client is made of.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use super::breach::Alert;
use crate::error::Error;
use crate::limit::RetryAfter;
use crate::net::ConnectError;
use crate::net::handshake::Failure;

/// How much of what came in place of a handshake is shown.
const SHOWN_BYTES: usize = 24;
const DAY: u64 = 24 * 60 * 60;

/// Why a connection is not encrypted. It is closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's certificate is for other hosts.
    WrongHost {
        /// The host that was asked for.
        host: String,
        /// What the certificate is for, as far as it says.
        certified: Vec<String>,
    },
    /// The peer's certificate has expired.
    Expired {
        /// How long ago, if that is known.
        ago: Option<Duration>,
    },
    /// The peer's certificate is not valid yet: the clock of one of the two may be wrong.
    NotYetValid,
    /// The peer's certificate, or one that vouches for it, is signed by nobody that is trusted here.
    UnknownIssuer,
    /// The peer's certificate is refused for another reason.
    BadCertificate(String),
    /// The client has shown no certificate, and the server wants one.
    CertificateRequired,
    /// The peer has refused, by an alert.
    Refused(String),
    /// The peer speaks no TLS.
    NotTls {
        /// What it said first.
        began: Vec<u8>,
    },
    /// The two have no version, cipher or application protocol in common.
    Incompatible(String),
    /// The peer broke the protocol.
    Malformed(String),
    /// The peer's handshake is longer than 128 KiB.
    TooLong,
    /// The peer ended the connection within the handshake.
    Ended,
    /// The connection broke.
    Failed(io::Error),
    /// It was not done in time.
    TimedOut(Duration),
    /// The peer's address has begun more handshakes than `SKYRING_TLS_RATE_PER_IP` allows.
    TooFast(RetryAfter),
    /// The connection was closed on this side.
    Closed,
    /// The engine stops.
    Stopping,
}

impl HandshakeError {
    /// What an error of rustls means.
    pub(super) fn of(error: rustls::Error) -> HandshakeError {
        match error {
            rustls::Error::InvalidCertificate(error) => of_certificate(error),
            rustls::Error::NoCertificatesPresented => HandshakeError::CertificateRequired,
            rustls::Error::AlertReceived(alert) => of_alert(alert),
            rustls::Error::PeerIncompatible(why) => HandshakeError::Incompatible(explain(&why)),
            rustls::Error::NoApplicationProtocol => {
                HandshakeError::Incompatible("no application protocol (ALPN) in common".into())
            }
            other => HandshakeError::Malformed(other.to_string()),
        }
    }

    /// As [`HandshakeError::of`], of what the peer said first if `is_first`.
    pub(super) fn of_first(error: rustls::Error, said: &[u8], is_first: bool) -> HandshakeError {
        let is_foreign = matches!(
            error,
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                    | InvalidMessage::UnknownProtocolVersion
                    | InvalidMessage::MessageTooLarge
            )
        );
        if is_first && is_foreign {
            let began = said[..said.len().min(SHOWN_BYTES)].to_vec();
            return HandshakeError::NotTls { began };
        }
        HandshakeError::of(error)
    }
}

fn of_certificate(error: CertificateError) -> HandshakeError {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => {
            HandshakeError::WrongHost { host: expected.to_str().into_owned(), certified: presented }
        }
        CertificateError::NotValidForName => {
            HandshakeError::WrongHost { host: String::new(), certified: Vec::new() }
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            HandshakeError::Expired { ago: Some(Duration::from_secs(ago)) }
        }
        CertificateError::Expired => HandshakeError::Expired { ago: None },
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            HandshakeError::NotYetValid
        }
        CertificateError::UnknownIssuer => HandshakeError::UnknownIssuer,
        other => HandshakeError::BadCertificate(other.to_string()),
    }
}

fn of_alert(alert: AlertDescription) -> HandshakeError {
    HandshakeError::Refused(Alert::heard(alert.into()).breach.text.to_owned())
}

fn explain(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite in common".into(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange in common".into(),
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no kind of signature in common".into()
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "no version of TLS in common (1.2 and 1.3 are spoken here)".into()
        }
        other => format!("{other:?}"),
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::WrongHost { host, certified } if certified.is_empty() => {
                write!(f, "the peer's certificate is not for {host:?}")
            }
            HandshakeError::WrongHost { host, certified } => write!(
                f,
                "the peer's certificate is for {}, not for {host:?}",
                certified.join(", ")
            ),
            HandshakeError::Expired { ago: Some(ago) } => {
                let secs = ago.as_secs();
                write!(f, "the peer's certificate has expired {} days ago", secs.div_ceil(DAY))
            }
            HandshakeError::Expired { ago: None } => {
                f.write_str("the peer's certificate has expired")
            }
            HandshakeError::NotYetValid => f.write_str(
                "the peer's certificate is not valid yet; look at the clocks of both machines",
            ),
            HandshakeError::UnknownIssuer => f.write_str(
                "the peer's certificate is signed by nobody that is trusted here; if it is yours, \
                 give its issuer (or itself, if it is self-signed) to `ca`",
            ),
            HandshakeError::BadCertificate(why) => {
                write!(f, "the peer's certificate is refused: {why}")
            }
            HandshakeError::CertificateRequired => {
                f.write_str("the client has shown no certificate, which is required here")
            }
            HandshakeError::Refused(why) => f.write_str(why),
            HandshakeError::NotTls { began } => {
                let shown = began.escape_ascii();
                write!(f, "the peer speaks no TLS; it began with \"{shown}\"")?;
                let is_text = began.iter().all(|byte| byte.is_ascii() && *byte != 0);
                if is_text {
                    f.write_str(": is it a plain-text port, or http:// in place of https://?")?;
                }
                Ok(())
            }
            HandshakeError::Incompatible(why) => write!(f, "the two sides have {why}"),
            HandshakeError::Malformed(why) => write!(f, "the peer broke the TLS handshake: {why}"),
            HandshakeError::TooLong => f.write_str("the peer's handshake is longer than 128 KiB"),
            HandshakeError::Ended => {
                f.write_str("the peer ended the connection within the TLS handshake")
            }
            HandshakeError::Failed(error) => {
                write!(f, "the connection broke within the TLS handshake: {error}")
            }
            HandshakeError::TimedOut(limit) => {
                write!(f, "the TLS handshake was not done within {limit:?}")
            }
            HandshakeError::TooFast(retry) => {
                write!(f, "too many TLS handshakes from the peer's address: {retry}")
            }
            HandshakeError::Closed => f.write_str("the stream was closed within the TLS handshake"),
            HandshakeError::Stopping => f.write_str("the engine stops"),
        }
    }
}

impl From<Failure> for HandshakeError {
    fn from(failure: Failure) -> HandshakeError {
        match failure {
            Failure::Refused(why) => match why.downcast::<HandshakeError>() {
                Ok(error) => *error,
                Err(other) => HandshakeError::Malformed(other.to_string()),
            },
            Failure::Ended => HandshakeError::Ended,
            Failure::Broken(error) => HandshakeError::Failed(error),
            Failure::Late(limit) => HandshakeError::TimedOut(limit),
            Failure::TooFast(retry) => HandshakeError::TooFast(retry),
            Failure::Stopping => HandshakeError::Stopping,
            Failure::Closed => HandshakeError::Closed,
        }
    }
}

/// Why there is no encrypted connection to a host.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsConnectError {
    /// There is no connection at all.
    Connect(ConnectError),
    /// There is one, and it is not encrypted.
    Handshake {
        /// The host that was asked for.
        host: String,
        /// Why not.
        error: HandshakeError,
    },
    /// The host is neither a name nor an address that a certificate can be for.
    BadHost(String),
    /// The certificates that this machine trusts cannot be had.
    NoRoots(SetupError),
}

impl fmt::Display for TlsConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsConnectError::Connect(error) => error.fmt(f),
            TlsConnectError::Handshake { host, error } => write!(f, "no TLS with {host}: {error}"),
            TlsConnectError::BadHost(host) => {
                write!(f, "{host:?} is no name of a host, so no certificate can be for it")
            }
            TlsConnectError::NoRoots(error) => error.fmt(f),
        }
    }
}

/// Why a server or a client of TLS cannot be made, or made anew.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A file has not what it was given for, or it cannot be used.
    Unusable {
        /// The file, or what stands for it.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A key does not belong to its certificate.
    KeyMismatch {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
    },
    /// No certificate was given.
    NoCertificate,
    /// `SKYRING_TLS_CERT` and `SKYRING_TLS_KEY` are not set.
    NoFiles,
    /// This machine has no certificates to trust.
    NoRoots(String),
    /// rustls does not take what was chosen.
    Refused(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Unreadable { file, source } => {
                write!(f, "cannot read {}: {source}", file.display())
            }
            SetupError::Unusable { file, why } => write!(f, "{file}: {why}"),
            SetupError::KeyMismatch { certificate, key } => write!(
                f,
                "the key of {key} does not belong to the first certificate of {certificate}; the \
                 server's own certificate comes first, then those that vouch for it"
            ),
            SetupError::NoCertificate => {
                f.write_str("a TLS server needs a certificate: give it one by `certificate`")
            }
            SetupError::NoFiles => f.write_str(
                "TLS needs a certificate and its key: set SKYRING_TLS_CERT and SKYRING_TLS_KEY to \
                 files in PEM",
            ),
            SetupError::NoRoots(why) => write!(
                f,
                "this machine has no certificates to trust ({why}); install ca-certificates, or \
                 name a file with `ca`"
            ),
            SetupError::Refused(why) => write!(f, "this TLS cannot be: {why}"),
        }
    }
}

macro_rules! errors {
    ($($name:ident { $($source:pat => $inner:expr),* })+) => {$(
        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $($source => Some($inner),)*
                    _ => None,
                }
            }
        }

        impl From<$name> for Error {
            fn from(error: $name) -> Error {
                Error::Other(error.into())
            }
        }
    )+};
}

errors! {
    HandshakeError { HandshakeError::Failed(error) => error }
    TlsConnectError {
        TlsConnectError::Connect(error) => error,
        TlsConnectError::Handshake { error, .. } => error,
        TlsConnectError::NoRoots(error) => error
    }
    SetupError { SetupError::Unreadable { source, .. } => source }
}
