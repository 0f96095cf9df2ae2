//! Frames with a length before the payload.

use super::{Envelope, Found, FrameError, Step};

/// The form of the length before each payload. It counts the payload alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LengthPrefix {
    /// Two bytes, big-endian: payloads up to 65,535 bytes.
    U16,
    /// Four bytes, big-endian: payloads up to 4 GiB less one byte.
    U32,
    /// One to five bytes of seven bits each, the lowest first, all but the last with the top bit
    /// set: LEB128 as Protocol Buffers have it
    /// (<https://protobuf.dev/programming-guides/encoding/#varints>). Payloads up to 4 GiB less one
    /// byte.
    Varint,
}

/// Bytes of the longest prefix.
const PREFIX_BYTES_MAX: usize = 5;

impl LengthPrefix {
    /// The longest payload whose length the prefix can say, in bytes.
    #[inline]
    pub const fn payload_bytes_max(self) -> usize {
        match self {
            LengthPrefix::U16 => u16::MAX as usize,
            LengthPrefix::U32 | LengthPrefix::Varint => u32::MAX as usize,
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
            LengthPrefix::Varint => match decode_varint(bytes)? {
                Some(found) => found,
                None => return Ok(Step::Partial { needed: bytes.len() + 1 }),
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
    pub(super) fn encode(
        self,
        envelope: &mut Envelope,
        payload_bytes: usize,
    ) -> Result<(), FrameError> {
        let max = self.payload_bytes_max();
        if payload_bytes > max {
            return Err(FrameError::TooLong { len: payload_bytes, max });
        }
        // The casts keep every bit: the length was compared with what the prefix can say.
        match self {
            LengthPrefix::U16 => envelope.put_head((payload_bytes as u16).to_be_bytes()),
            LengthPrefix::U32 => envelope.put_head((payload_bytes as u32).to_be_bytes()),
            LengthPrefix::Varint => {
                let (prefix, bytes) = encode_varint(payload_bytes as u32);
                envelope.put_head(prefix);
                envelope.head_bytes = bytes;
            }
        }
        Ok(())
    }
}

/// The length at the front and how many bytes say it; `None` when more must come.
fn decode_varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut length = 0u64;
    for (at, &byte) in bytes.iter().take(PREFIX_BYTES_MAX).enumerate() {
        length |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let length = u32::try_from(length).map_err(|_| FrameError::BadPrefix)?;
            return Ok(Some((at + 1, length as usize)));
        }
    }
    if bytes.len() < PREFIX_BYTES_MAX { Ok(None) } else { Err(FrameError::BadPrefix) }
}

/// The shortest form of a length, and how many bytes it has.
fn encode_varint(mut length: u32) -> ([u8; PREFIX_BYTES_MAX], u8) {
    let mut prefix = [0; PREFIX_BYTES_MAX];
    let mut at = 0;
    while length > 0x7F {
        prefix[at] = length as u8 | 0x80;
        length >>= 7;
        at += 1;
    }
    prefix[at] = length as u8;
    (prefix, at as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(prefix: LengthPrefix, payload_bytes: usize) -> Result<Envelope, FrameError> {
        let mut envelope = Envelope::EMPTY;
        prefix.encode(&mut envelope, payload_bytes).map(|()| envelope)
    }

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
        assert_eq!(encode(LengthPrefix::U16, 65_535).expect("fits").head(), b"\xff\xff");
        let refused = encode(LengthPrefix::U16, 65_536);
        assert_eq!(refused, Err(FrameError::TooLong { len: 65_536, max: 65_535 }));
        assert_eq!(encode(LengthPrefix::U32, 65_536).expect("fits").head(), b"\0\x01\0\0");
        #[cfg(target_pointer_width = "64")]
        assert!(encode(LengthPrefix::U32, 1 << 32).is_err());
    }

    #[test]
    fn a_varint_grows_a_byte_every_seven_bits() {
        let edges = [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (2_097_151, 3),
            (2_097_152, 4),
            (268_435_455, 4),
            (268_435_456, 5),
            (u32::MAX as usize, 5),
        ];
        for (payload, bytes) in edges {
            let envelope = encode(LengthPrefix::Varint, payload).expect("it fits");
            assert_eq!(envelope.head().len(), bytes, "{payload}");
            assert_eq!(decode_varint(envelope.head()), Ok(Some((bytes, payload))));
            for cut in 0..bytes {
                let step = decode(LengthPrefix::Varint, &envelope.head()[..cut], usize::MAX);
                assert_eq!(step, Ok(Step::Partial { needed: cut + 1 }), "{payload} cut at {cut}");
            }
        }
        assert_eq!(encode(LengthPrefix::Varint, 300).expect("it fits").head(), [0xAC, 0x02]);
    }

    #[test]
    fn a_varint_that_does_not_end_or_fit_is_refused() {
        let bad: [&[u8]; 3] =
            [&[0x80; 5], &[0xFF, 0xFF, 0xFF, 0xFF, 0x10], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]];
        for bytes in bad {
            let step = decode(LengthPrefix::Varint, bytes, usize::MAX);
            assert_eq!(step, Err(FrameError::BadPrefix), "{bytes:x?}");
        }
        let last = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
        assert_eq!(decode_varint(&last), Ok(Some((5, u32::MAX as usize))));
        assert_eq!(
            decode(LengthPrefix::Varint, &[0x0B], 10),
            Err(FrameError::TooLong { len: 11, max: 10 })
        );
    }
}
