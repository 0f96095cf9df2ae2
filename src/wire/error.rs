//! What is wrong with bytes, with a payload, or with a codec.

use std::fmt;

use super::Breach;

/// A word that names no framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFraming(pub(super) String);

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
    /// A custom codec says that the peer broke its framing, or that a payload does not fit it.
    Malformed(&'static str),
    /// A custom codec answered what cannot be: a defect of the program, whatever the peer did.
    BadCodec {
        /// Its name.
        codec: &'static str,
        /// What it did.
        breach: Breach,
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
            FrameError::Malformed(what) => f.write_str(what),
            FrameError::BadCodec { codec, breach } => {
                write!(f, "the codec {codec:?} {breach}: mend the codec")
            }
        }
    }
}

impl std::error::Error for FrameError {}
