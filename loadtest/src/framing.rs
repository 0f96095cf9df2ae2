//! How a message is told from the next one on the wire, written anew here so that the library's
//! codecs are tested by code that is not theirs.

use std::ops::Range;

/// The longest payload that the generator sends; 16 MiB fits into memory for every connection.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// The framings that every server of this project speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Framing {
    /// No frames: bytes come back as they were sent, cut by the known size.
    Raw,
    /// Two bytes of length, big-endian, then the payload.
    U16,
    /// Four bytes of length, big-endian, then the payload.
    U32,
    /// The payload, then a line feed.
    Line,
}

/// What stands at the front of received bytes when a payload of a known size is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// More bytes are needed.
    Incomplete,
    /// A whole frame.
    Whole {
        /// Where its payload lies.
        payload: Range<usize>,
        /// How many bytes it takes with its framing.
        bytes: usize,
    },
    /// The length before the payload is another than what was sent.
    WrongLength(usize),
    /// The byte that should end the line does not.
    NoLineFeed(u8),
}

impl Framing {
    /// The name as typed on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::Line => "line",
        }
    }

    /// The smallest payload: it must hold the sequence and the intended time.
    pub fn payload_bytes_min(self) -> usize {
        match self {
            Self::Line => 32, // in hex, since a line may hold no line feed
            _ => 16,
        }
    }

    /// The largest payload that the length prefix can name.
    pub fn payload_bytes_max(self) -> usize {
        match self {
            Self::U16 => usize::from(u16::MAX),
            _ => PAYLOAD_BYTES_MAX,
        }
    }

    /// Checks the size of a payload.
    ///
    /// # Errors
    /// A sentence with the bound that was passed.
    pub fn check_size(self, payload_bytes: usize) -> Result<(), String> {
        let (min, max) = (self.payload_bytes_min(), self.payload_bytes_max());
        if payload_bytes < min {
            return Err(format!(
                "--size {payload_bytes} is too small for {} framing: sequence and time take {min} bytes",
                self.name()
            ));
        }
        if payload_bytes > max {
            return Err(format!(
                "--size {payload_bytes} is too large for {} framing: at most {max}",
                self.name()
            ));
        }
        Ok(())
    }

    /// Bytes on the wire of a payload.
    pub fn frame_bytes(self, payload_bytes: usize) -> usize {
        payload_bytes
            + match self {
                Self::Raw => 0,
                Self::U16 => 2,
                Self::U32 => 4,
                Self::Line => 1,
            }
    }

    /// Writes what stands before a payload.
    pub fn write_head(self, payload_bytes: usize, out: &mut Vec<u8>) {
        match self {
            Self::Raw | Self::Line => {}
            Self::U16 => {
                let length = u16::try_from(payload_bytes).expect("check_size bounds it");
                out.extend_from_slice(&length.to_be_bytes());
            }
            Self::U32 => {
                let length = u32::try_from(payload_bytes).expect("check_size bounds it");
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }

    /// Writes what stands behind a payload.
    pub fn write_tail(self, out: &mut Vec<u8>) {
        if self == Self::Line {
            out.push(b'\n');
        }
    }

    /// Looks for a reply of a known size at the front of what was received.
    #[inline]
    pub fn reply(self, received: &[u8], payload_bytes: usize) -> Reply {
        let head = match self {
            Self::Raw | Self::Line => 0,
            Self::U16 => {
                let Some(head) = received.first_chunk() else { return Reply::Incomplete };
                let length = usize::from(u16::from_be_bytes(*head));
                if length != payload_bytes {
                    return Reply::WrongLength(length);
                }
                2
            }
            Self::U32 => {
                let Some(head) = received.first_chunk() else { return Reply::Incomplete };
                let length = u32::from_be_bytes(*head) as usize;
                if length != payload_bytes {
                    return Reply::WrongLength(length);
                }
                4
            }
        };
        let end = head + payload_bytes;
        let bytes = self.frame_bytes(payload_bytes);
        if received.len() < bytes {
            return Reply::Incomplete;
        }
        if self == Self::Line && received[end] != b'\n' {
            return Reply::NoLineFeed(received[end]);
        }
        Reply::Whole { payload: head..end, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 4] = [Framing::Raw, Framing::U16, Framing::U32, Framing::Line];

    fn frame(framing: Framing, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        framing.write_head(payload.len(), &mut out);
        out.extend_from_slice(payload);
        framing.write_tail(&mut out);
        out
    }

    #[test]
    fn a_reply_is_found_however_it_is_cut() {
        for framing in ALL {
            let payload = vec![b'x'; 40];
            let bytes = frame(framing, &payload);
            assert_eq!(bytes.len(), framing.frame_bytes(40));
            for cut in 0..bytes.len() {
                assert_eq!(
                    framing.reply(&bytes[..cut], 40),
                    Reply::Incomplete,
                    "{framing:?} {cut}"
                );
            }
            let mut two = bytes.clone();
            two.extend_from_slice(&bytes);
            for end in bytes.len()..=two.len() {
                let Reply::Whole { payload: range, bytes: taken } = framing.reply(&two[..end], 40)
                else {
                    panic!("{framing:?} {end}")
                };
                assert_eq!(&two[range], &payload[..]);
                assert_eq!(taken, bytes.len());
            }
        }
    }

    #[test]
    fn a_wrong_length_and_a_missing_line_feed_are_told() {
        assert_eq!(Framing::U16.reply(&[0, 41, 1], 40), Reply::WrongLength(41));
        assert_eq!(Framing::U32.reply(&[255; 4], 40), Reply::WrongLength(0xffff_ffff));
        assert_eq!(Framing::Line.reply(&[b'x'; 41], 40), Reply::NoLineFeed(b'x'));
    }

    #[test]
    fn sizes_are_refused_just_beyond_the_bounds() {
        for framing in ALL {
            assert!(framing.check_size(framing.payload_bytes_min()).is_ok());
            assert!(framing.check_size(framing.payload_bytes_max()).is_ok());
            assert!(framing.check_size(framing.payload_bytes_max() + 1).is_err());
            let refusal = framing.check_size(framing.payload_bytes_min() - 1).unwrap_err();
            assert!(refusal.contains("too small"), "{refusal}");
        }
        assert_eq!(Framing::U16.payload_bytes_max(), 65_535);
    }
}
