//! Frames with a big-endian length before the payload.

use super::{Envelope, Found, FrameError, Step};

/// The width of the length before each payload: big-endian, counting the payload alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LengthPrefix {
    /// Two bytes, payloads up to 65,535 bytes.
    U16,
    /// Four bytes, payloads up to 4 GiB less one byte.
    U32,
}

impl LengthPrefix {
    /// The longest payload whose length the prefix can say, in bytes.
    #[inline]
    pub const fn payload_bytes_max(self) -> usize {
        match self {
            LengthPrefix::U16 => u16::MAX as usize,
            LengthPrefix::U32 => u32::MAX as usize,
        }
    }

    #[inline]
    pub(super) fn decode(self, bytes: &[u8], frame_bytes_max: usize) -> Result<Step, FrameError> {
        let (head, payload) = match self {
            LengthPrefix::U16 => match bytes.first_chunk() {
                Some(&prefix) => (2, usize::from(u16::from_be_bytes(prefix))),
                None => return Ok(Step::Partial { needed: 2 }),
            },
            LengthPrefix::U32 => match bytes.first_chunk() {
                Some(&prefix) => (4, u32::from_be_bytes(prefix) as usize),
                None => return Ok(Step::Partial { needed: 4 }),
            },
        };
        if payload > frame_bytes_max {
            return Err(FrameError::TooLong { len: payload, max: frame_bytes_max });
        }
        // Compared without a sum, which a prefix of 4 GiB would overflow where usize is 32 bits.
        if bytes.len() - head < payload {
            return Ok(Step::Partial { needed: payload.saturating_add(head) });
        }
        Ok(Step::Frame(Found { head, payload, tail: 0 }))
    }

    #[inline]
    pub(super) fn encode(self, payload_bytes: usize) -> Result<Envelope, FrameError> {
        let max = self.payload_bytes_max();
        if payload_bytes > max {
            return Err(FrameError::TooLong { len: payload_bytes, max });
        }
        // Both casts keep every bit: the length was compared with what the prefix can say.
        let (head, head_bytes) = match self {
            LengthPrefix::U16 => {
                let [high, low] = (payload_bytes as u16).to_be_bytes();
                ([high, low, 0, 0], 2)
            }
            LengthPrefix::U32 => ((payload_bytes as u32).to_be_bytes(), 4),
        };
        Ok(Envelope { head, head_bytes, tail: b"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(prefix: LengthPrefix, bytes: &[u8], max: usize) -> Result<Step, FrameError> {
        prefix.decode(bytes, max)
    }

    #[test]
    fn a_prefix_cut_short_asks_for_the_whole_prefix() {
        assert_eq!(decode(LengthPrefix::U16, b"", 10), Ok(Step::Partial { needed: 2 }));
        assert_eq!(decode(LengthPrefix::U16, b"\0", 10), Ok(Step::Partial { needed: 2 }));
        assert_eq!(decode(LengthPrefix::U32, b"\0\0\0", 10), Ok(Step::Partial { needed: 4 }));
    }

    #[test]
    fn the_last_allowed_length_passes_and_the_next_is_refused_before_its_payload() {
        assert_eq!(decode(LengthPrefix::U16, b"\x01\0", 256), Ok(Step::Partial { needed: 258 }));
        let refused = decode(LengthPrefix::U16, b"\x01\x01", 256);
        assert_eq!(refused, Err(FrameError::TooLong { len: 257, max: 256 }));
        let whole = [b"\x01\0".as_slice(), &[7; 256]].concat();
        let found = Found { head: 2, payload: 256, tail: 0 };
        assert_eq!(decode(LengthPrefix::U16, &whole, 256), Ok(Step::Frame(found)));
    }

    #[test]
    fn a_prefix_of_four_gib_is_refused_at_once() {
        let refused = decode(LengthPrefix::U32, b"\xff\xff\xff\xff", 1 << 20);
        assert_eq!(refused, Err(FrameError::TooLong { len: u32::MAX as usize, max: 1 << 20 }));
        // Even a cap that allows it asks for bytes instead of overflowing.
        assert!(matches!(
            decode(LengthPrefix::U32, b"\xff\xff\xff\xffab", usize::MAX),
            Ok(Step::Partial { needed }) if needed >= u32::MAX as usize
        ));
    }

    #[test]
    fn an_empty_frame_is_a_frame_even_under_a_cap_of_zero() {
        let found = Found { head: 2, payload: 0, tail: 0 };
        assert_eq!(decode(LengthPrefix::U16, b"\0\0", 0), Ok(Step::Frame(found)));
        let found = Found { head: 4, payload: 0, tail: 0 };
        assert_eq!(decode(LengthPrefix::U32, b"\0\0\0\0\0", 0), Ok(Step::Frame(found)));
    }

    #[test]
    fn a_payload_longer_than_its_prefix_can_say_is_not_encoded() {
        assert_eq!(LengthPrefix::U16.encode(65_535).expect("fits").head(), b"\xff\xff");
        let refused = LengthPrefix::U16.encode(65_536);
        assert_eq!(refused, Err(FrameError::TooLong { len: 65_536, max: 65_535 }));
        assert_eq!(LengthPrefix::U32.encode(65_536).expect("fits").head(), b"\0\x01\0\0");
        #[cfg(target_pointer_width = "64")]
        assert!(LengthPrefix::U32.encode(1 << 32).is_err());
    }
}
