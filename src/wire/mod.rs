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
//! let envelope = framing.encode(2)?;
//! assert_eq!(envelope.head(), b"\x00\x02");
//! # Ok::<(), skyring::wire::FrameError>(())
//! ```

mod frame;
mod line;
pub mod proxy;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::str::FromStr;

pub use frame::LengthPrefix;

use frame::PREFIX_BYTES_MAX;

/// How a byte stream is cut into frames.
///
/// Read from text as `raw`, `u16`, `u32`, `varint`, `line` or `fixed:64`, and shown as the same
/// words.
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
    head: [u8; PREFIX_BYTES_MAX],
    head_bytes: u8,
    tail: &'static [u8],
}

impl Envelope {
    fn headless(tail: &'static [u8]) -> Envelope {
        Envelope { head: [0; PREFIX_BYTES_MAX], head_bytes: 0, tail }
    }

    /// The bytes before the payload, at most five.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_bytes)]
    }

    /// The bytes after the payload.
    #[inline]
    pub fn tail(&self) -> &'static [u8] {
        self.tail
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
    /// The peer announced or sent a frame over the cap. The stream cannot be read on from there.
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
        }
    }

    /// How many bytes of `next` belong to a frame of which `have` bytes are there and `needed` are
    /// known to be needed ([`Step::Partial`]), so that nothing of the frame behind it is taken.
    #[inline]
    pub fn continues(self, have: usize, needed: usize, next: &[u8]) -> usize {
        match self {
            Framing::Line => line::end(next).unwrap_or(next.len()),
            Framing::Raw | Framing::Length(_) | Framing::Fixed(_) => {
                next.len().min(needed.saturating_sub(have))
            }
        }
    }

    /// The encoding around a payload of `payload_bytes` bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the length does not fit the prefix, [`FrameError::NotFixed`]
    /// when it is not the fixed one.
    #[inline]
    pub fn encode(self, payload_bytes: usize) -> Result<Envelope, FrameError> {
        match self {
            Framing::Length(prefix) => prefix.encode(payload_bytes),
            Framing::Fixed(size) if payload_bytes != size.get() as usize => {
                Err(FrameError::NotFixed { len: payload_bytes, size: size.get() as usize })
            }
            Framing::Line => Ok(Envelope::headless(b"\n")),
            Framing::Raw | Framing::Fixed(_) => Ok(Envelope::headless(b"")),
        }
    }

    /// Checks that `payload` can be told apart from its encoding: a line holds no LF. Prefixed and
    /// raw payloads hold anything, and are not looked at.
    ///
    /// # Errors
    /// [`FrameError::HoldsSeparator`] with the place of the first LF.
    #[inline]
    pub fn check_payload(self, payload: &[u8]) -> Result<(), FrameError> {
        match self {
            Framing::Line => line::check_payload(payload),
            Framing::Raw | Framing::Length(_) | Framing::Fixed(_) => Ok(()),
        }
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

/// A word that names no framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFraming(String);

impl fmt::Display for UnknownFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no framing: use raw, u16, u32, varint, line or fixed:64", self.0)
    }
}

impl std::error::Error for UnknownFraming {}

/// Why bytes are no frame, or a payload cannot be sent as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A payload is longer than the cap, or than its length prefix can say.
    TooLong {
        /// The payload's length in bytes.
        len: usize,
        /// The longest allowed.
        max: usize,
    },
    /// The length before a payload has more than five bytes, or says more than 32 bits.
    BadPrefix,
    /// A payload to be sent has not the size that all of them have.
    NotFixed {
        /// The payload's length in bytes.
        len: usize,
        /// The size of all payloads.
        size: usize,
    },
    /// A line went on beyond the cap without its end.
    LineTooLong {
        /// The longest allowed, in bytes without the line end.
        max: usize,
    },
    /// A payload to be sent as a line holds a line feed.
    HoldsSeparator {
        /// The place of the first one.
        at: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { len, max } => {
                write!(f, "a frame of {len} bytes is over the cap of {max}")
            }
            FrameError::BadPrefix => {
                f.write_str("the length before a frame is no varint of 32 bits")
            }
            FrameError::NotFixed { len, size } => {
                write!(f, "a frame of {len} bytes where all have {size}")
            }
            FrameError::LineTooLong { max } => {
                write!(f, "a line did not end within the cap of {max} bytes")
            }
            FrameError::HoldsSeparator { at } => {
                write!(f, "a line cannot hold a line feed, and byte {at} of the payload is one")
            }
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests;
