//! What the tests share: a codec of their own, and the way in and out of bytes.

use skyring::prelude::*;
use skyring::wire::{Codec, Envelope, Found, FrameError, Step};

/// `5:hello,`
pub(crate) struct Netstring;

impl Codec for Netstring {
    fn name(&self) -> &'static str {
        "netstring"
    }

    fn decode(&self, bytes: &[u8], _: &mut usize, max: usize) -> Result<Step, FrameError> {
        let digits = bytes.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
        match bytes.get(digits) {
            None => return Ok(Step::Partial { needed: digits + 1 }),
            Some(b':') if (1..=10).contains(&digits) => {}
            Some(_) => return Err(FrameError::Malformed("no length before a netstring")),
        }
        let number = std::str::from_utf8(&bytes[..digits]).expect("digits are text");
        let payload = number.parse().unwrap_or(usize::MAX);
        if payload > max {
            return Err(FrameError::TooLong { len: payload, max });
        }
        let found = Found { head: digits + 1, payload, tail: 1 };
        match bytes.get(found.encoded() - 1) {
            None => Ok(Step::Partial { needed: found.encoded() }),
            Some(b',') => Ok(Step::Frame(found)),
            Some(_) => Err(FrameError::Malformed("no comma behind a netstring")),
        }
    }

    fn encode(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        Ok(Envelope::new(format!("{}:", payload.len()).as_bytes(), b","))
    }
}

/// A payload and the XOR of its bytes behind it, up to NUL, which is in neither: a codec that does
/// not know where a frame ends before it is there, and whose tail depends on the payload.
pub(crate) struct Checked;

impl Codec for Checked {
    fn name(&self) -> &'static str {
        "checked"
    }

    fn decode(&self, bytes: &[u8], scanned: &mut usize, max: usize) -> Result<Step, FrameError> {
        let Some(end) = bytes[*scanned..].iter().position(|&byte| byte == 0) else {
            *scanned = bytes.len();
            return match bytes.len() > max + 1 {
                true => Err(FrameError::LineTooLong { max }),
                false => Ok(Step::Partial { needed: bytes.len() + 1 }),
            };
        };
        let end = *scanned + end;
        let Some(payload) = end.checked_sub(1) else {
            return Err(FrameError::Malformed("no checksum"));
        };
        if payload > max {
            return Err(FrameError::LineTooLong { max });
        }
        match sum(&bytes[..payload]) == bytes[payload] {
            true => Ok(Step::Frame(Found { head: 0, payload, tail: 2 })),
            false => Err(FrameError::Malformed("the checksum does not match")),
        }
    }

    fn encode(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        match payload.contains(&0) {
            true => Err(FrameError::Malformed("a NUL in a payload")),
            false => Ok(Envelope::new(b"", &[sum(payload), 0])),
        }
    }
}

fn sum(payload: &[u8]) -> u8 {
    // Never NUL.
    payload.iter().fold(0, |sum, byte| sum ^ byte) | 0x80
}

/// Every framing that keeps the boundaries of what was sent.
pub(crate) fn framings() -> [Framing; 7] {
    let fixed = Framing::Fixed(3.try_into().expect("not 0"));
    let [u16, u32, varint] =
        [LengthPrefix::U16, LengthPrefix::U32, LengthPrefix::Varint].map(Framing::Length);
    [u16, u32, varint, Framing::Line, fixed, Framing::from(&Netstring), Framing::from(&Checked)]
}

/// Payloads that each of the framings can carry.
pub(crate) fn payloads(framing: Framing) -> Vec<Vec<u8>> {
    match framing {
        Framing::Fixed(_) => [b"abc", b"d\0f", b"ghi"].map(|bytes| bytes.to_vec()).into(),
        _ => [&b"one"[..], b"", b"a\rb", b"", b"the fourth"].map(<[u8]>::to_vec).into(),
    }
}

pub(crate) fn encoded(framing: Framing, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for payload in payloads {
        let envelope = framing.encode(payload).expect("a frame");
        wire.extend([envelope.head(), payload, envelope.tail()].concat());
    }
    wire
}
