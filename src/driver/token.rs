//! The name of an operation on its way through the kernel (`user_data`): never a pointer.

use crate::memory::slots::Key;

/// What an operation does; the driver reads its completion by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Accept = 1,
    Receive,
    ReceiveFrom,
    Send,
    SendTo,
    Connect,
    /// The three below belong to the driver; nobody hears of their completions.
    Cancel,
    Close,
    Bell,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Accept,
        Kind::Receive,
        Kind::ReceiveFrom,
        Kind::Send,
        Kind::SendTo,
        Kind::Connect,
        Kind::Cancel,
        Kind::Close,
        Kind::Bell,
    ];
}

/// Kind (8 bits), generation (24) and slot (32) of an operation. A completion with a stale
/// generation meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) key: Key,
}

impl Token {
    /// The 64 bits that the kernel carries.
    #[inline]
    pub(crate) fn to_u64(self) -> u64 {
        (u64::from(self.kind as u8) << 56) | self.key.to_u64()
    }

    /// The token of a completion.
    ///
    /// # Panics
    /// When the bits are none of ours, which only a broken kernel or a stray write can cause.
    #[inline]
    pub(crate) fn from_u64(bits: u64) -> Token {
        let kind = Kind::ALL[(bits >> 56) as usize - 1];
        Token { kind, key: Key::from_u64(bits & ((1 << 56) - 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_kernel() {
        for kind in Kind::ALL {
            let token = Token { kind, key: Key::from_u64(0x00ab_cdef_0123_4567) };
            assert_eq!(Token::from_u64(token.to_u64()), token);
        }
    }
}
