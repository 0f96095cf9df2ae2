//! Alerts of TLS (RFC 8446, 6): what is said to a peer that did wrong, and what it says to us.

use std::io::ErrorKind::{self, ConnectionAborted, InvalidData};

use crate::net::connection::Breach;

/// Levels of an alert.
pub(super) const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;

pub(super) const CLOSE_NOTIFY: u8 = 0;
pub(super) const USER_CANCELED: u8 = 90;

/// Why TLS ends on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alert {
    /// What the peer is told.
    pub(super) to_say: Option<u8>,
    /// What the connection's owner is told.
    pub(super) breach: &'static Breach,
}

const fn breach(kind: ErrorKind, text: &'static str) -> Breach {
    Breach { kind, text }
}

const fn said(code: u8, breach: &'static Breach) -> Alert {
    Alert { to_say: Some(code), breach }
}

impl Alert {
    pub(super) const UNEXPECTED_MESSAGE: Alert =
        said(10, &breach(InvalidData, "the peer sent a TLS message that has no place there"));
    pub(super) const BAD_RECORD_MAC: Alert = said(
        20,
        &breach(InvalidData, "a TLS record was changed on its way, or is not from this peer"),
    );
    pub(super) const RECORD_OVERFLOW: Alert =
        said(22, &breach(InvalidData, "the peer sent a TLS record that is too long"));
    pub(super) const ILLEGAL_PARAMETER: Alert =
        said(47, &breach(InvalidData, "the peer sent a TLS message with a field that must not be"));
    pub(super) const DECODE_ERROR: Alert =
        said(50, &breach(InvalidData, "what the peer sent is no TLS"));
    pub(super) const INTERNAL_ERROR: Alert =
        said(80, &breach(ErrorKind::Other, "the cipher of this connection cannot be used"));

    /// The peer has said this.
    pub(super) fn heard(code: u8) -> Alert {
        static UNKNOWN: Breach = breach(ConnectionAborted, "the peer has ended TLS by an alert");
        let known = HEARD.iter().find(|(known, _)| *known == code);
        Alert { to_say: None, breach: known.map_or(&UNKNOWN, |(_, breach)| breach) }
    }
}

/// The key has sealed all that it may, and TLS 1.2 knows no way to the next.
pub(super) const WORN_OUT: Alert = Alert {
    to_say: None,
    breach: &breach(
        ConnectionAborted,
        "the connection's key has sealed all that it may: connect anew, or speak TLS 1.3",
    ),
};

/// What alerts of a peer mean for this side.
static HEARD: &[(u8, Breach)] = &[
    (
        10,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it heard a message out of turn (unexpected_message)",
        ),
    ),
    (
        20,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: a record did not reach it unchanged (bad_record_mac)",
        ),
    ),
    (
        22,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: a record was too long (record_overflow)",
        ),
    ),
    (
        40,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: the two have nothing in common (handshake_failure)",
        ),
    ),
    (
        42,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it cannot use our certificate (bad_certificate)",
        ),
    ),
    (
        43,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it cannot use a certificate of this kind (unsupported_certificate)",
        ),
    ),
    (
        44,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: our certificate is revoked (certificate_revoked)",
        ),
    ),
    (
        45,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: our certificate has expired (certificate_expired)",
        ),
    ),
    (
        46,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it does not accept our certificate (certificate_unknown)",
        ),
    ),
    (
        47,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it found a field that must not be (illegal_parameter)",
        ),
    ),
    (
        48,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it does not know who issued our certificate (unknown_ca)",
        ),
    ),
    (
        49,
        breach(ConnectionAborted, "the peer has ended TLS: it does not let us in (access_denied)"),
    ),
    (
        50,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it could not read a message (decode_error)",
        ),
    ),
    (
        51,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: a signature or digest of the handshake is wrong (decrypt_error)",
        ),
    ),
    (
        70,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it speaks no version of TLS that we do (protocol_version)",
        ),
    ),
    (
        71,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it wants stronger ciphers (insufficient_security)",
        ),
    ),
    (
        80,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it has a defect, or is out of something (internal_error)",
        ),
    ),
    (
        86,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: we were made to fall back to an older version (inappropriate_fallback)",
        ),
    ),
    (
        109,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it misses an extension (missing_extension)",
        ),
    ),
    (
        112,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it serves no such name (unrecognized_name)",
        ),
    ),
    (
        116,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: it wants a certificate of ours (certificate_required)",
        ),
    ),
    (
        120,
        breach(
            ConnectionAborted,
            "the peer has ended TLS: the two have no application protocol in common (no_application_protocol)",
        ),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_told_in_words() {
        assert!(Alert::heard(48).breach.text.contains("unknown_ca"));
        assert_eq!(Alert::heard(200).breach.kind, ConnectionAborted);
        assert_eq!(Alert::heard(48).to_say, None);
    }
}
