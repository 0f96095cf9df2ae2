//! Cuts received bytes into frames, where they lie. What is incomplete waits on the heap, so that a
//! slow sender holds no block.

use crate::memory::frame::Frame;
use crate::wire::{FrameError, Framing, Step};

/// The framing state of one connection.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    frame_bytes_max: usize,
    /// The beginning of a frame whose end has not come. Boxed: most frames come whole.
    partial: Option<Box<Partial>>,
}

/// At most one frame with its encoding.
#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// How much of it was searched in vain.
    scanned: usize,
    /// Bytes from its start that it is known to need.
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
        Cutter { framing, frame_bytes_max, partial: None }
    }

    /// How it cuts.
    #[inline]
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// The next frame of `bytes`, from `at` on, which moves behind it.
    ///
    /// # Errors
    /// The peer broke the framing; nothing can be cut from here on.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &Frame, at: &mut usize) -> Result<Cut, FrameError> {
        if self.partial.is_some() {
            return self.join(bytes, at);
        }
        let rest = &bytes[*at..];
        if rest.is_empty() {
            return Ok(Cut::Empty);
        }
        let mut scanned = 0;
        match self.framing.decode(rest, &mut scanned, self.frame_bytes_max)? {
            Step::Frame(found) => {
                let frame = bytes.part(*at + found.head, found.payload, found.head, found.tail);
                *at += found.encoded();
                Ok(Cut::Frame(frame))
            }
            Step::Partial { needed } => {
                let mut partial = Partial { bytes: Vec::new(), scanned, needed };
                partial.hold(rest);
                self.partial = Some(Box::new(partial));
                *at = bytes.len();
                Ok(Cut::Empty)
            }
        }
    }

    /// Goes on with the partial frame: takes from `bytes` what belongs to it, and no more.
    fn join(&mut self, bytes: &Frame, at: &mut usize) -> Result<Cut, FrameError> {
        let framing = self.framing;
        while *at < bytes.len()
            && let Some(partial) = &mut self.partial
        {
            let rest = &bytes[*at..];
            let take = framing.continues(partial.bytes.len(), partial.needed, rest);
            partial.hold(&rest[..take]);
            *at += take;
            match framing.decode(&partial.bytes, &mut partial.scanned, self.frame_bytes_max)? {
                Step::Frame(found) => {
                    let surplus = partial.bytes.len() - found.encoded();
                    if surplus >= take {
                        return Err(framing.shrunk());
                    }
                    *at -= partial.give_back(surplus);
                    let whole = self.partial.take().map_or_else(Vec::new, |whole| whole.bytes);
                    let whole = Frame::from(whole);
                    let frame = whole.part(found.head, found.payload, found.head, found.tail);
                    return Ok(Cut::Joined(frame));
                }
                Step::Partial { needed } => partial.needed = needed,
            }
        }
        Ok(Cut::Empty)
    }

    /// Takes the bytes of a frame that is not whole out: no more will come.
    pub(crate) fn take_partial(&mut self) -> Vec<u8> {
        self.partial.take().map_or_else(Vec::new, |partial| partial.bytes)
    }
}

impl Partial {
    /// Takes the last bytes back: a custom codec knows only behind the end of a frame where that
    /// was.
    fn give_back(&mut self, surplus: usize) -> usize {
        if surplus > 0 {
            self.bytes.truncate(self.bytes.len() - surplus);
            self.bytes.shrink_to_fit();
        }
        surplus
    }

    /// Adds to the partial frame. Room is made for all of it at once when a good part is there
    /// already, so that it does not move again; never for more than four times what came.
    fn hold(&mut self, bytes: &[u8]) {
        let len = self.bytes.len() + bytes.len();
        let room = self.needed.max(len).min(len * 4);
        self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Breach, Codec, Envelope, Found, LengthPrefix};

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
                    assert!(cutter.take_partial().is_empty());
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
        let held = cutter.partial.expect("a beginning").bytes.capacity();
        assert!(held < 100, "{held} bytes");
    }

    /// Ends a frame with `||`, and never knows what it needs.
    struct Bars;

    impl Codec for Bars {
        fn name(&self) -> &'static str {
            "bars"
        }

        fn decode(
            &self,
            bytes: &[u8],
            scanned: &mut usize,
            max: usize,
        ) -> Result<Step, FrameError> {
            let from = scanned.saturating_sub(1);
            if let Some(at) = bytes[from..].windows(2).position(|two| two == b"||") {
                return Ok(Step::Frame(Found { head: 0, payload: from + at, tail: 2 }));
            }
            *scanned = bytes.len();
            match bytes.len() > max + 1 {
                true => Err(FrameError::TooLong { len: bytes.len(), max }),
                false => Ok(Step::Partial { needed: bytes.len() + 1 }),
            }
        }

        fn encode(&self, _: &[u8]) -> Result<Envelope, FrameError> {
            Ok(Envelope::new(b"", b"||"))
        }
    }

    #[test]
    fn what_a_custom_codec_took_of_the_next_frame_is_given_back() {
        let wire = b"abcdefgh|||||x||y||a|b|c||";
        let whole = cut_all(&mut Cutter::new((&Bars).into(), 16), &[wire]).expect("valid");
        assert_eq!(whole, [&b"abcdefgh"[..], b"", b"|x", b"y", b"a|b|c"]);
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let mut cutter = Cutter::new((&Bars).into(), 16);
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(cut_all(&mut cutter, &pieces).expect("valid"), whole);
                assert!(cutter.take_partial().is_empty());
            }
        }
        let mut cutter = Cutter::new((&Bars).into(), 16);
        let alone: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(cut_all(&mut cutter, &alone).expect("valid"), whole);
    }

    #[test]
    fn a_custom_codec_without_an_end_stays_within_twice_the_cap() {
        let mut cutter = Cutter::new((&Bars).into(), 1000);
        let pieces = vec![&b"x"[..]; 1002];
        assert!(cut_all(&mut cutter, &pieces[..1001]).expect("it may end yet").is_empty());
        assert!(cut_all(&mut cutter, &pieces[1001..]).is_err());
        let held = cutter.partial.map_or(0, |partial| partial.bytes.capacity());
        assert!(held <= 4096);
        let mut cutter = Cutter::new((&Bars).into(), 1000);
        let refused = cut_all(&mut cutter, &[&[b'x'; 900], &[b'x'; 100_000]]);
        assert_eq!(refused, Err(FrameError::TooLong { len: 1800, max: 1000 }));
    }

    /// Wants three bytes, and then says that one was enough.
    struct Shrinks;

    impl Codec for Shrinks {
        fn name(&self) -> &'static str {
            "shrinks"
        }

        fn decode(&self, bytes: &[u8], _: &mut usize, _: usize) -> Result<Step, FrameError> {
            Ok(match bytes.len() {
                0..3 => Step::Partial { needed: 3 },
                _ => Step::Frame(Found { head: 0, payload: 1, tail: 0 }),
            })
        }

        fn encode(&self, _: &[u8]) -> Result<Envelope, FrameError> {
            Ok(Envelope::new(b"", b""))
        }
    }

    #[test]
    fn a_codec_that_goes_back_on_its_word_is_refused() {
        let mut cutter = Cutter::new((&Shrinks).into(), 16);
        let refused = cut_all(&mut cutter, &[b"ab", b"cdef"]);
        let breach = Breach::Shrunk;
        assert_eq!(refused, Err(FrameError::BadCodec { codec: "shrinks", breach }));
    }
}
