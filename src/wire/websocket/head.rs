//! The head of a frame (RFC 6455, 5.2).

use super::error::ProtocolError;

/// What a frame is (RFC 6455, 5.2 and 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// The message before goes on.
    Continuation = 0x0,
    /// A message of UTF-8 begins.
    Text = 0x1,
    /// A message of bytes begins.
    Binary = 0x2,
    /// The sender sends nothing more.
    Close = 0x8,
    /// To be answered by a pong.
    Ping = 0x9,
    /// Answers a ping, or comes by itself.
    Pong = 0xA,
}

impl OpCode {
    #[inline]
    fn of(bits: u8) -> Option<OpCode> {
        Some(match bits {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xA => OpCode::Pong,
            _ => return None,
        })
    }

    /// Whether it is Close, Ping or Pong: at most 125 bytes, in one frame, even amid a message.
    #[inline]
    pub fn is_control(self) -> bool {
        self as u8 >= 0x8
    }
}

/// The head of a frame.
///
/// ```
/// use skyring::wire::websocket::{FrameHead, OpCode};
///
/// let head = FrameHead { fin: true, rsv1: false, opcode: OpCode::Text, mask: None, len: 300 };
/// let mut bytes = [0; FrameHead::BYTES_MAX];
/// let len = head.encode(&mut bytes);
/// assert_eq!(bytes[..len], [0x81, 126, 1, 44]);
/// assert_eq!(FrameHead::decode(&bytes[..len]), Ok(Some((head, 4))));
/// assert_eq!(FrameHead::decode(&bytes[..3]), Ok(None), "there is more of it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The last frame of its message.
    pub fin: bool,
    /// The message is compressed (RFC 7692, 6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// What the payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub len: u64,
}

impl FrameHead {
    /// The longest head, in bytes.
    pub const BYTES_MAX: usize = 14;
    /// The longest payload of a control frame, in bytes.
    pub const CONTROL_BYTES_MAX: u64 = 125;

    /// The head at the front of `bytes` and how many of them it has; `None` when there is more of
    /// it to come. What is wrong with it is said as soon as it shows.
    ///
    /// # Errors
    /// [`ProtocolError`]. Whether masks and the reserved bit 1 are allowed is for the caller to
    /// say.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(FrameHead, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let fin = first & 0x80 != 0;
        if first & 0x30 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = OpCode::of(first & 0x0F).ok_or(ProtocolError::ReservedOpCode)?;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let rsv1 = first & 0x40 != 0;
        if rsv1 && (opcode.is_control() || opcode == OpCode::Continuation) {
            return Err(ProtocolError::ReservedBits); // RFC 7692, 6.1
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let short = second & 0x7F;
        if opcode.is_control() && u64::from(short) > FrameHead::CONTROL_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((len, mut encoded)) = decode_len(short, bytes)? else { return Ok(None) };
        let mut mask = None;
        if second & 0x80 != 0 {
            let Some(key) = bytes.get(encoded..).and_then(|rest| rest.first_chunk()) else {
                return Ok(None);
            };
            mask = Some(*key);
            encoded += 4;
        }
        Ok(Some((FrameHead { fin, rsv1, opcode, mask, len }, encoded)))
    }

    /// Writes the head to the front of `bytes`; how many bytes it has.
    ///
    /// # Panics
    /// When `bytes` has less than [`FrameHead::BYTES_MAX`].
    #[inline]
    pub fn encode(&self, bytes: &mut [u8]) -> usize {
        bytes[0] = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8;
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut encoded = match self.len {
            len @ 0..=125 => {
                bytes[1] = masked | len as u8;
                2
            }
            len @ 126..=0xFFFF => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                4
            }
            len => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&len.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            bytes[encoded..encoded + 4].copy_from_slice(&key);
            encoded += 4;
        }
        encoded
    }
}

/// The length that `short` announces, and where it ends.
#[inline]
fn decode_len(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short {
        126 => {
            let Some(&long) = bytes.get(2..).and_then(|rest| rest.first_chunk()) else {
                return Ok(None);
            };
            match u16::from_be_bytes(long) {
                0..=125 => Err(ProtocolError::LengthNotMinimal),
                len => Ok(Some((len.into(), 4))),
            }
        }
        127 => {
            let Some(&long) = bytes.get(2..).and_then(|rest| rest.first_chunk()) else {
                return Ok(None);
            };
            match u64::from_be_bytes(long) {
                0..=0xFFFF => Err(ProtocolError::LengthNotMinimal),
                len if len >> 63 != 0 => Err(ProtocolError::LengthTooLarge),
                len => Ok(Some((len, 10))),
            }
        }
        len => Ok(Some((len.into(), 2))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(opcode: OpCode, len: u64) -> FrameHead {
        FrameHead { fin: true, rsv1: false, opcode, mask: None, len }
    }

    #[test]
    fn every_length_is_written_in_its_shortest_form_and_read_back_at_every_cut() {
        let lens = [0, 1, 125, 126, 127, 0xFFFF, 0x1_0000, u32::MAX.into(), u64::MAX >> 1];
        for len in lens {
            for mask in [None, Some([1, 2, 3, 4])] {
                let head = FrameHead { mask, ..head(OpCode::Binary, len) };
                let mut bytes = [0; FrameHead::BYTES_MAX];
                let encoded = head.encode(&mut bytes);
                for cut in 0..encoded {
                    assert_eq!(FrameHead::decode(&bytes[..cut]), Ok(None), "{len} cut at {cut}");
                }
                assert_eq!(FrameHead::decode(&bytes[..encoded]), Ok(Some((head, encoded))));
            }
        }
    }

    #[test]
    fn what_the_protocol_forbids_is_refused() {
        let refused = |bytes: &[u8]| FrameHead::decode(bytes).expect_err("forbidden");
        for bits in [0x10, 0x20, 0x30] {
            assert_eq!(refused(&[0x81 | bits]), ProtocolError::ReservedBits);
        }
        assert_eq!(refused(&[0xC9]), ProtocolError::ReservedBits, "a compressed ping");
        assert_eq!(refused(&[0xC0]), ProtocolError::ReservedBits, "not the first frame");
        for opcode in (0x3..=0x7).chain(0xB..=0xF) {
            assert_eq!(refused(&[0x80 | opcode]), ProtocolError::ReservedOpCode);
        }
        assert_eq!(refused(&[0x09]), ProtocolError::ControlFragmented);
        assert_eq!(refused(&[0x89, 126]), ProtocolError::ControlTooLong);
        assert!(FrameHead::decode(&[0x89, 125]).is_ok_and(|head| head.is_some()));
        assert_eq!(refused(&[0x82, 126, 0, 125]), ProtocolError::LengthNotMinimal);
        assert_eq!(refused(b"\x82\x7f\0\0\0\0\0\0\xff\xff"), ProtocolError::LengthNotMinimal);
        assert_eq!(refused(b"\x82\x7f\x80\0\0\0\0\0\0\0"), ProtocolError::LengthTooLarge);
    }
}
