//! Why a side closes: codes and reasons (RFC 6455, 7.4, and IANA's registry of close codes).

use std::fmt;

use super::error::ProtocolError;

/// The longest reason, in bytes: a control frame without the code.
pub(super) const REASON_BYTES_MAX: usize = 123;

/// Why a side closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000 for a usual end; [`Close::NONE`] when the peer gave no code.
    pub code: u16,
    /// For people; often empty.
    pub reason: Box<str>,
}

/// Whether a code may be sent: 1000 to 1003, 1007 to 1014, and 3000 to 4999, which belong to
/// libraries and programs. 1005, 1006 and 1015 are names for what was not sent.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl Close {
    /// Stands for a Close frame without a code (RFC 6455, 7.1.5); as a number it is never sent.
    pub const NONE: u16 = 1005;

    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    /// [`ProtocolError::BadClose`] for half a code or one that may not be sent,
    /// [`ProtocolError::BadUtf8`] for a reason that is no text.
    pub fn decode(payload: &[u8]) -> Result<Close, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            let none = Close { code: Close::NONE, reason: "".into() };
            return if payload.is_empty() { Ok(none) } else { Err(ProtocolError::BadClose) };
        };
        let code = u16::from_be_bytes(*code);
        if !is_close_code(code) {
            return Err(ProtocolError::BadClose);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::BadUtf8)?;
        Ok(Close { code, reason: reason.into() })
    }

    /// The payload of a Close frame, and how many of its bytes count. A reason that is too long is
    /// cut behind a whole character; [`Close::NONE`] has no payload.
    pub fn encode(code: u16, reason: &str) -> ([u8; 125], usize) {
        let mut payload = [0; 125];
        if code == Close::NONE {
            return (payload, 0);
        }
        payload[..2].copy_from_slice(&code.to_be_bytes());
        let mut len = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(len) {
            len -= 1;
        }
        let reason = &reason[..len];
        payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
        (payload, 2 + reason.len())
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, &*self.reason) {
            (Close::NONE, _) => f.write_str("closed without a code"),
            (code, "") => write!(f, "closed with code {code}"),
            (code, reason) => write!(f, "closed with code {code}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_read() {
        let good = [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1014, 3000, 3999, 4000, 4999];
        let bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
        for code in good {
            let (payload, len) = Close::encode(code, "so it is");
            let close = Close { code, reason: "so it is".into() };
            assert_eq!(Close::decode(&payload[..len]), Ok(close));
        }
        for code in bad {
            assert_eq!(Close::decode(&u16::to_be_bytes(code)), Err(ProtocolError::BadClose));
        }
        assert_eq!(Close::decode(&[3]), Err(ProtocolError::BadClose));
        assert_eq!(Close::decode(b"").map(|close| close.code), Ok(Close::NONE));
        assert_eq!(Close::decode(b"\x03\xe8\xff"), Err(ProtocolError::BadUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_behind_a_character() {
        let (payload, len) = Close::encode(1000, &"x".repeat(123));
        assert_eq!(len, 125);
        assert!(Close::decode(&payload[..len]).is_ok());
        let (payload, len) = Close::encode(1000, &"\u{20ac}".repeat(60));
        assert_eq!(len, 2 + 123);
        assert!(Close::decode(&payload[..len]).is_ok());
        assert_eq!(Close::encode(1000, &format!("x{}", "\u{20ac}".repeat(60))).1, 2 + 121);
        assert_eq!(Close::encode(Close::NONE, "not sent").1, 0);
    }
}
