//! Cuts received bytes into frames, where they lie. What is incomplete waits on the heap, so that a
//! slow sender holds no block.

use crate::memory::frame::Frame;
use crate::wire::{FrameError, Framing, Step};

/// The framing state of one connection.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    frame_bytes_max: usize,
    /// The beginning of a frame whose end has not come; at most one frame with its encoding.
    partial: Vec<u8>,
    /// How much of the partial frame was searched in vain.
    scanned: usize,
    /// Bytes from its start that the partial frame is known to need.
    needed: usize,
}

/// One step of cutting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A frame in place.
    Frame(Frame),
    /// A frame that spanned receives and was joined by a copy.
    Joined(Frame),
    /// Everything was used up.
    Empty,
}

impl Cutter {
    pub(crate) fn new(framing: Framing, frame_bytes_max: usize) -> Cutter {
        Cutter { framing, frame_bytes_max, partial: Vec::new(), scanned: 0, needed: 0 }
    }

    /// The next frame of `bytes`, from `at` on, which moves behind it.
    ///
    /// # Errors
    /// The peer broke the framing; nothing can be cut from here on.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &Frame, at: &mut usize) -> Result<Cut, FrameError> {
        if !self.partial.is_empty() {
            return self.join(bytes, at);
        }
        let rest = &bytes[*at..];
        if rest.is_empty() {
            return Ok(Cut::Empty);
        }
        match self.framing.decode(rest, &mut self.scanned, self.frame_bytes_max)? {
            Step::Frame(found) => {
                let frame = bytes.part(*at + found.head, found.payload, found.head, found.tail);
                *at += found.encoded();
                Ok(Cut::Frame(frame))
            }
            Step::Partial { needed } => {
                self.needed = needed;
                self.hold(rest);
                *at = bytes.len();
                Ok(Cut::Empty)
            }
        }
    }

    /// Goes on with the partial frame: takes from `bytes` what belongs to it, and no more.
    fn join(&mut self, bytes: &Frame, at: &mut usize) -> Result<Cut, FrameError> {
        while *at < bytes.len() {
            let rest = &bytes[*at..];
            let take = self.framing.continues(self.partial.len(), self.needed, rest);
            self.hold(&rest[..take]);
            *at += take;
            match self.framing.decode(&self.partial, &mut self.scanned, self.frame_bytes_max)? {
                Step::Frame(found) => {
                    debug_assert_eq!(found.encoded(), self.partial.len());
                    let whole = Frame::from(std::mem::take(&mut self.partial));
                    let frame = whole.part(found.head, found.payload, found.head, found.tail);
                    return Ok(Cut::Joined(frame));
                }
                Step::Partial { needed } => self.needed = needed,
            }
        }
        Ok(Cut::Empty)
    }

    /// Adds to the partial frame. Room is made for all of it at once when a good part is there
    /// already, so that it does not move again; never for more than four times what came.
    fn hold(&mut self, bytes: &[u8]) {
        let len = self.partial.len() + bytes.len();
        let room = self.needed.max(len).min(len * 4);
        self.partial.reserve_exact(room.saturating_sub(self.partial.len()));
        self.partial.extend_from_slice(bytes);
    }

    /// Bytes of a frame that is not whole yet.
    #[cfg(test)]
    fn partial_bytes(&self) -> usize {
        self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LengthPrefix;

    fn cut_all(cutter: &mut Cutter, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut frames = Vec::new();
        for piece in pieces {
            let bytes = Frame::from(piece.to_vec());
            let mut at = 0;
            while let Cut::Frame(frame) | Cut::Joined(frame) = cutter.next(&bytes, &mut at)? {
                frames.push(frame.to_vec());
            }
            assert_eq!(at, bytes.len());
        }
        Ok(frames)
    }

    #[test]
    fn every_cut_in_two_and_three_gives_the_same_frames() {
        let inputs: [(Framing, &[u8]); 3] = [
            (LengthPrefix::U16.into(), b"\0\x03abc\0\0\0\x01d\0\x02ef"),
            (LengthPrefix::U32.into(), b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01d"),
            (Framing::Line, b"abc\r\n\nd\nef\r\n"),
        ];
        for (framing, wire) in inputs {
            let whole = cut_all(&mut Cutter::new(framing, 16), &[wire]).expect("valid");
            assert!(whole.len() >= 3);
            for first in 0..=wire.len() {
                for second in first..=wire.len() {
                    let mut cutter = Cutter::new(framing, 16);
                    let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                    assert_eq!(cut_all(&mut cutter, &pieces).expect("valid"), whole);
                    assert_eq!(cutter.partial_bytes(), 0);
                }
            }
        }
    }

    #[test]
    fn the_longest_frame_passes_byte_by_byte_and_one_more_is_refused() {
        let bytes = |len: u8| -> Vec<u8> { [&[0, len][..], &vec![b'x'; len.into()]].concat() };
        let mut cutter = Cutter::new(LengthPrefix::U16.into(), 5);
        let wire = bytes(5);
        let pieces: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(cut_all(&mut cutter, &pieces).expect("5 of 5"), [b"xxxxx"]);
        let wire = bytes(6);
        let refused = cut_all(&mut cutter, &[&wire[..1], &wire[1..2]]);
        assert_eq!(refused, Err(FrameError::TooLong { len: 6, max: 5 }));
    }

    #[test]
    fn a_huge_claim_costs_only_what_came() {
        let mut cutter = Cutter::new(LengthPrefix::U32.into(), 1 << 28);
        let wire = (1u32 << 28).to_be_bytes();
        assert!(cut_all(&mut cutter, &[&wire, b"abc"]).expect("allowed").is_empty());
        assert!(cutter.partial.capacity() < 100, "{} bytes", cutter.partial.capacity());
    }
}
