//! How a byte stream is cut into frames, and what is put around a payload to send it.
//!
//! Codecs take bytes and return ranges. They know no frame, no socket and no clock, so the same
//! code serves a block of the pool, a heap buffer and a test.
//!
//! ```text
//!   bytes ──►  head │ payload          │ tail │ next frame ...
//!   u16        2    │ 0 ..= 65535      │ 0    │
//!   u32        4    │ 0 ..= 4294967295 │ 0    │
//!   varint     1..5 │ 0 ..= 4294967295 │ 0    │
//!   line       0    │ no LF            │ 1, 2 │  LF, or CR LF
//!   fixed:N    0    │ N                │ 0    │
//!   raw        0    │ 1 ..             │ 0    │  whatever is there
//!   a `Codec`  0..  │ what it says     │ 0..  │  of a user's own
//! ```
//!
//! ```
//! use skyring::wire::{Framing, LengthPrefix, Step};
//!
//! let framing = Framing::from(LengthPrefix::U16);
//! let mut scanned = 0;
//! let Step::Frame(found) = framing.decode(b"\x00\x02hi\x00", &mut scanned, 1024)? else {
//!     panic!("the first frame is whole");
//! };
//! assert_eq!((found.head, found.payload, found.tail), (2, 2, 0));
//!
//! let envelope = framing.encode(b"hi")?;
//! assert_eq!(envelope.head(), b"\x00\x02");
//! # Ok::<(), skyring::wire::FrameError>(())
//! ```

mod codec;
mod error;
mod frame;
#[cfg(feature = "http")]
pub mod http;
mod line;
pub mod proxy;
#[cfg(feature = "websocket")]
pub mod websocket;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::str::FromStr;

pub use codec::{Breach, Codec, ENCODING_BYTES_MAX};
pub use error::{FrameError, UnknownFraming};
pub use frame::LengthPrefix;

/// What an [`Envelope`] holds at most, in bytes: head and tail together. A `Content-Length` line
/// with the empty line behind it just fits.
pub const ENVELOPE_BYTES_MAX: usize = 30;

/// How a byte stream is cut into frames.
///
/// Read from text as `raw`, `u16`, `u32`, `varint`, `line` or `fixed:64`, and shown as the same
/// words. A custom one is shown by its name, and made from the codec: `Framing::from(&MyCodec)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// No frames: whatever has arrived is handed on, at least one byte, at most the frame cap.
    Raw,
    /// A length before each payload.
    Length(LengthPrefix),
    /// Payloads of so many bytes each, with nothing between them.
    Fixed(NonZeroU32),
    /// Lines of text that end with LF or CR LF, which are not part of the payload.
    ///
    /// A payload that itself ends with CR is sent as it is, and its reader takes that CR for a
    /// part of the separator.
    Line,
    /// A user's own, told from others by its name.
    Custom(&'static dyn Codec),
}

/// What a codec found at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole frame lies at the front.
    Frame(Found),
    /// The first frame is not whole yet.
    Partial {
        /// Bytes from the start that the frame is known to need: more than there are now. Never
        /// above the frame cap and the frame's own encoding together, so it may size a buffer.
        needed: usize,
    },
}

/// Where a frame lies: three lengths in bytes, one after the other from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The encoding before the payload.
    pub head: usize,
    /// The payload.
    pub payload: usize,
    /// The encoding after the payload.
    pub tail: usize,
}

impl Found {
    /// The whole encoded frame, in bytes: the next one starts there.
    #[inline]
    pub fn encoded(&self) -> usize {
        self.head + self.payload + self.tail
    }

    /// The payload's place in the bytes.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.head..self.head + self.payload
    }
}

/// What is put around a payload to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The head, then the tail.
    bytes: [u8; ENVELOPE_BYTES_MAX],
    head_bytes: u8,
    tail_bytes: u8,
}

impl Envelope {
    /// `head` to go before the payload, and `tail` behind it.
    ///
    /// # Panics
    /// When they have more than [`ENVELOPE_BYTES_MAX`] bytes together.
    pub fn new(head: &[u8], tail: &[u8]) -> Envelope {
        let all = head.len() + tail.len();
        assert!(all <= ENVELOPE_BYTES_MAX, "an envelope of {all} bytes, at most 30");
        let mut bytes = [0; ENVELOPE_BYTES_MAX];
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..all].copy_from_slice(tail);
        Envelope { bytes, head_bytes: head.len() as u8, tail_bytes: tail.len() as u8 }
    }

    /// Nothing before the payload, nothing behind it.
    pub(crate) const EMPTY: Envelope =
        Envelope { bytes: [0; ENVELOPE_BYTES_MAX], head_bytes: 0, tail_bytes: 0 };

    /// Puts a head of `N` bytes into an empty envelope.
    #[inline]
    fn put_head<const N: usize>(&mut self, head: [u8; N]) {
        self.bytes[..N].copy_from_slice(&head);
        self.head_bytes = N as u8;
    }

    /// Puts a tail of `N` bytes into an empty envelope.
    #[inline]
    fn put_tail<const N: usize>(&mut self, tail: [u8; N]) {
        self.bytes[..N].copy_from_slice(&tail);
        self.tail_bytes = N as u8;
    }

    /// The bytes before the payload.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.bytes[..usize::from(self.head_bytes)]
    }

    /// The bytes after the payload.
    #[inline]
    pub fn tail(&self) -> &[u8] {
        let head = usize::from(self.head_bytes);
        &self.bytes[head..head + usize::from(self.tail_bytes)]
    }
}

impl Framing {
    /// Looks for one frame at the front of `bytes`.
    ///
    /// `scanned` is how many bytes at the front were searched in vain by earlier calls on the same
    /// frame: 0 at first, and the codec's own from then on. It is 0 again after a frame. Thanks to
    /// it a line that arrives byte by byte costs linear time. `frame_bytes_max` bounds the payload,
    /// inclusive; a longer one is refused as soon as it is known, before the payload arrives.
    ///
    /// # Errors
    /// The peer announced or sent a frame over the cap, or broke the framing otherwise. The stream
    /// cannot be read on from there. [`FrameError::BadCodec`] when a custom codec's answer cannot
    /// be.
    #[inline]
    pub fn decode(
        self,
        bytes: &[u8],
        scanned: &mut usize,
        frame_bytes_max: usize,
    ) -> Result<Step, FrameError> {
        match self {
            Framing::Length(prefix) => prefix.decode(bytes, frame_bytes_max),
            Framing::Line => line::decode(bytes, scanned, frame_bytes_max),
            Framing::Fixed(size) => decode_fixed(bytes, size.get() as usize, frame_bytes_max),
            Framing::Raw => Ok(decode_raw(bytes, frame_bytes_max)),
            Framing::Custom(codec) => codec::decode(codec, bytes, scanned, frame_bytes_max),
        }
    }

    /// How many bytes of `next` to put behind the `have` first bytes of a frame that is known to
    /// need `needed` ([`Step::Partial`]): at least one, if there is one, and nothing of the frame
    /// behind it.
    ///
    /// Only of a custom framing may bytes be taken that belong to the next frame, as many as are
    /// there already: it is asked seldom then, even if it never knows what it needs. What the frame
    /// turns out not to hold is to be taken back.
    #[inline]
    pub fn continues(self, have: usize, needed: usize, next: &[u8]) -> usize {
        match self {
            Framing::Line => line::end(next).unwrap_or(next.len()),
            Framing::Raw | Framing::Length(_) | Framing::Fixed(_) => {
                next.len().min(needed.saturating_sub(have))
            }
            Framing::Custom(_) => next.len().min(needed.saturating_sub(have).max(have)),
        }
    }

    /// The error of a framing that found a frame in bytes that held none before.
    pub(crate) fn shrunk(self) -> FrameError {
        let codec = if let Framing::Custom(codec) = self { codec::name(codec) } else { "built-in" };
        FrameError::BadCodec { codec, breach: Breach::Shrunk }
    }

    /// The encoding around `payload`, which is looked at as little as possible: prefixed and raw
    /// payloads hold anything, a line is searched for an LF.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the length does not fit the prefix, [`FrameError::NotFixed`]
    /// when it is not the fixed one, [`FrameError::HoldsSeparator`] with the place of the first LF
    /// in a line, and what a custom codec says.
    #[inline]
    pub fn encode(self, payload: &[u8]) -> Result<Envelope, FrameError> {
        let mut envelope = Envelope::EMPTY;
        self.encode_in(&mut envelope, payload)?;
        Ok(envelope)
    }

    /// As [`Framing::encode`], into an empty envelope where it lies. Moving one out of a result
    /// costs more than all the rest: it is loaded in words that were just stored in bytes.
    #[inline]
    pub(crate) fn encode_in(
        self,
        envelope: &mut Envelope,
        payload: &[u8],
    ) -> Result<(), FrameError> {
        match self {
            Framing::Length(prefix) => prefix.encode(envelope, payload.len())?,
            Framing::Fixed(size) if payload.len() != size.get() as usize => {
                let size = size.get() as usize;
                return Err(FrameError::NotFixed { len: payload.len(), size });
            }
            Framing::Line => line::encode(envelope, payload)?,
            Framing::Raw | Framing::Fixed(_) => {}
            Framing::Custom(codec) => *envelope = codec::encode(codec, payload)?,
        }
        Ok(())
    }
}

/// Raw bytes have no boundary to respect, so a read above the cap becomes several frames.
#[inline]
fn decode_raw(bytes: &[u8], frame_bytes_max: usize) -> Step {
    if bytes.is_empty() {
        return Step::Partial { needed: 1 };
    }
    Step::Frame(Found { head: 0, payload: bytes.len().min(frame_bytes_max.max(1)), tail: 0 })
}

#[inline]
fn decode_fixed(bytes: &[u8], size: usize, frame_bytes_max: usize) -> Result<Step, FrameError> {
    if size > frame_bytes_max {
        return Err(FrameError::TooLong { len: size, max: frame_bytes_max });
    }
    if bytes.len() < size {
        return Ok(Step::Partial { needed: size });
    }
    Ok(Step::Frame(Found { head: 0, payload: size, tail: 0 }))
}

impl From<LengthPrefix> for Framing {
    fn from(prefix: LengthPrefix) -> Framing {
        Framing::Length(prefix)
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Framing::Raw => "raw",
            Framing::Length(LengthPrefix::U16) => "u16",
            Framing::Length(LengthPrefix::U32) => "u32",
            Framing::Length(LengthPrefix::Varint) => "varint",
            Framing::Line => "line",
            Framing::Fixed(size) => return f.pad(&format!("fixed:{size}")),
            Framing::Custom(codec) => codec.name(),
        })
    }
}

impl FromStr for Framing {
    type Err = UnknownFraming;

    fn from_str(text: &str) -> Result<Framing, UnknownFraming> {
        match text {
            "raw" => Ok(Framing::Raw),
            "u16" => Ok(Framing::Length(LengthPrefix::U16)),
            "u32" => Ok(Framing::Length(LengthPrefix::U32)),
            "varint" => Ok(Framing::Length(LengthPrefix::Varint)),
            "line" => Ok(Framing::Line),
            _ => {
                let size = text.strip_prefix("fixed:").and_then(|size| size.parse().ok());
                size.map(Framing::Fixed).ok_or_else(|| UnknownFraming(text.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
