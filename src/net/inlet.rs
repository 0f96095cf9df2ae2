//! What a stream has received and nobody has read: cut by length, by separator or whole. No socket.
//!
//! ```text
//!   push() ──▶ tail (short pieces, copied together) ─▶ chunks (as received) ─▶ head ──▶ take_*()
//!                                                                    copied while a reader waits
//! ```
//! What lies in one chunk is handed out where it lies. What spans chunks is joined in `head`, to
//! which every byte is copied once; so is the remainder while a reader waits for more, so that a
//! slow peer pins no block of the pool.

use std::collections::VecDeque;
use std::mem;

use memchr::memmem;

use crate::memory::frame::Frame;

/// Pieces up to this size are copied behind what waits already: a peer that sends byte by byte must
/// not make us hold a block, or a chunk's bookkeeping, for each.
const SHORT_BYTES: usize = 1024;

/// No separator within the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The unread bytes of one stream, in order.
#[derive(Debug, Default)]
pub(crate) struct Inlet {
    /// First: what was joined.
    head: Vec<u8>,
    /// Then: what lies as it was received. None is empty.
    chunks: VecDeque<Frame>,
    /// Last: short pieces, copied.
    tail: Vec<u8>,
    bytes: usize,
    /// A reader waits for more than there is: what comes joins the head.
    joining: bool,
}

impl Inlet {
    /// How many bytes are unread.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Takes received bytes in.
    pub(crate) fn push(&mut self, bytes: Frame) {
        if bytes.is_empty() {
            return;
        }
        let waits = self.bytes > 0;
        self.bytes += bytes.len();
        let joined = !self.head.is_empty() && self.chunks.is_empty() && self.tail.is_empty();
        if self.joining && joined {
            self.head.extend_from_slice(&bytes);
        } else if waits && bytes.len() <= SHORT_BYTES {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.seal_tail();
            self.chunks.push_back(bytes);
        }
    }

    /// Takes bytes back in that were read, before all others.
    pub(crate) fn push_front(&mut self, bytes: Frame) {
        if !bytes.is_empty() {
            self.head_to_chunk();
            self.bytes += bytes.len();
            self.chunks.push_front(bytes);
        }
    }

    /// No reader waits any more.
    pub(crate) fn stop_joining(&mut self) {
        self.joining = false;
    }

    /// The first piece, as it lies.
    pub(crate) fn take_piece(&mut self) -> Option<Frame> {
        self.show_front();
        let piece = self.chunks.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    /// A look at the first piece.
    pub(crate) fn front(&mut self) -> Option<&Frame> {
        self.show_front();
        self.chunks.front()
    }

    /// Drops the first `count` bytes, all of the first piece.
    pub(crate) fn advance(&mut self, count: usize) {
        self.show_front();
        let Some(front) = self.chunks.front_mut().filter(|_| count > 0) else {
            return assert_eq!(count, 0, "no more is consumed than was shown");
        };
        front.advance(count);
        if front.is_empty() {
            self.chunks.pop_front();
        }
        self.bytes -= count;
    }

    /// The next `count` bytes, once they are there.
    pub(crate) fn take_exact(&mut self, count: usize) -> Option<Frame> {
        if self.bytes < count {
            self.join_all();
            return None;
        }
        if count == 0 {
            return Some(Frame::empty());
        }
        let front = self.chunks.front().map_or(0, Frame::len);
        if !self.head.is_empty() || front < count {
            while self.head.len() < count {
                self.join_next();
            }
            self.head_to_chunk();
        }
        let front = self.chunks.front_mut().expect("it holds the bytes that were counted");
        let taken = front.slice(..count);
        self.advance(count);
        self.unpin(&taken);
        Some(taken)
    }

    /// What comes before the next `separator`, which is dropped. `scanned` belongs to the reader:
    /// how much of the front was searched before.
    pub(crate) fn take_until(
        &mut self,
        separator: &[u8],
        bytes_max: usize,
        scanned: &mut usize,
    ) -> Result<Option<Frame>, TooLong> {
        let overlap = separator.len() - 1;
        loop {
            let front = self.front_bytes();
            let from = scanned.saturating_sub(overlap);
            if let Some(at) = memmem::find(&front[from..], separator) {
                let len = from + at;
                if len > bytes_max {
                    return Err(TooLong);
                }
                let taken = self.take_exact(len + separator.len());
                return Ok(taken.map(|taken| taken.slice(..len)));
            }
            *scanned = front.len();
            if front.len().saturating_sub(overlap) > bytes_max {
                return Err(TooLong);
            }
            if front.len() == self.bytes {
                self.join_all();
                return Ok(None);
            }
            // Twice when the first joins only the front itself.
            let before = self.head.len();
            self.join_next();
            if before == 0 {
                self.join_next();
            }
        }
    }

    /// All unread bytes as one frame.
    pub(crate) fn take_all(&mut self) -> Frame {
        self.take_exact(self.bytes).expect("as many as there are")
    }

    /// A reader wants all there will be: joins what waits, unless that is one piece.
    pub(crate) fn join_waiting(&mut self) {
        if self.bytes > self.front_bytes().len() {
            self.join_all();
        }
    }

    /// Joins everything in the head, and what comes too until a reader has had enough.
    fn join_all(&mut self) {
        while !self.chunks.is_empty() || !self.tail.is_empty() {
            self.join_next();
        }
        self.joining = true;
    }

    /// The bytes up to the first seam.
    fn front_bytes(&self) -> &[u8] {
        match self.chunks.front() {
            _ if !self.head.is_empty() => &self.head,
            Some(front) => front,
            None => &self.tail,
        }
    }

    /// Copies the next piece behind the head.
    fn join_next(&mut self) {
        if let Some(next) = self.chunks.pop_front() {
            self.head.extend_from_slice(&next);
        } else if self.head.is_empty() {
            mem::swap(&mut self.head, &mut self.tail);
        } else {
            self.head.append(&mut self.tail);
        }
    }

    /// Makes the first chunk hold the first byte.
    fn show_front(&mut self) {
        self.head_to_chunk();
        if self.chunks.is_empty() {
            self.seal_tail();
        }
    }

    fn head_to_chunk(&mut self) {
        if !self.head.is_empty() {
            self.chunks.push_front(Frame::from(mem::take(&mut self.head)));
        }
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(Frame::from(mem::take(&mut self.tail)));
        }
    }

    /// A short rest of the bytes that `taken` lies in moves to bytes of its own: it must not keep
    /// them after `taken` is gone.
    fn unpin(&mut self, taken: &Frame) {
        if let Some(rest) = self.chunks.front_mut()
            && rest.len() <= SHORT_BYTES
            && rest.len() < taken.len()
            && taken.shares_with(rest)
        {
            *rest = Frame::from(rest.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pieces: &[&[u8]]) -> Inlet {
        let mut inlet = Inlet::default();
        pieces.iter().for_each(|piece| inlet.push(Frame::from(piece.to_vec())));
        inlet
    }

    /// Pushes `input` cut in two at every place, asking after each piece.
    fn at_every_cut<T>(input: &[u8], mut ask: impl FnMut(&mut Inlet) -> Option<T>) -> Vec<T> {
        let mut answers = Vec::new();
        for cut in 0..=input.len() {
            let mut inlet = Inlet::default();
            for piece in [&input[..cut], &input[cut..]] {
                inlet.push(Frame::from(piece.to_vec()));
                answers.extend(std::iter::from_fn(|| ask(&mut inlet)));
                inlet.stop_joining();
            }
            assert!(inlet.is_empty(), "cut at {cut}");
        }
        answers
    }

    #[test]
    fn an_exact_read_joins_what_was_cut_and_shares_what_was_not() {
        let taken = at_every_cut(b"abcdef", |inlet| inlet.take_exact(3));
        assert!(
            taken.chunks(2).all(|pair| pair == [b"abc".to_vec().into(), b"def".to_vec().into()])
        );
        let whole = Frame::from(vec![7; 5000]);
        let mut inlet = Inlet::default();
        inlet.push(whole.clone());
        assert!(inlet.take_exact(2000).expect("there are 5000").shares_with(&whole));
        assert_eq!(inlet.len(), 3000);
    }

    #[test]
    fn lines_come_whole_at_every_cut() {
        let lines = at_every_cut(b"a\r\n\r\nbc\r\r\n", |inlet| {
            inlet.take_until(b"\r\n", 10, &mut 0).expect("short lines")
        });
        let texts: Vec<&[u8]> = lines.iter().map(|line| &line[..]).collect();
        assert!(texts.chunks(3).all(|three| three == [&b"a"[..], b"", b"bc\r"]));
    }

    #[test]
    fn a_scan_goes_on_where_it_stopped() {
        let (mut inlet, mut scanned) = (filled(&[&[b'x'; 2000]]), 0);
        assert_eq!(inlet.take_until(b"\r\n", 5000, &mut scanned), Ok(None));
        assert_eq!(scanned, 2000);
        inlet.push(Frame::from(b"yy\r".to_vec()));
        assert_eq!(inlet.take_until(b"\r\n", 5000, &mut scanned), Ok(None));
        assert_eq!(scanned, 2003);
        inlet.push(Frame::from(b"\nrest".to_vec()));
        let line = inlet.take_until(b"\r\n", 5000, &mut scanned).expect("short").expect("whole");
        assert_eq!((line.len(), &inlet.take_all()[..]), (2002, &b"rest"[..]));
    }

    #[test]
    fn the_last_allowed_line_passes_and_the_next_is_refused() {
        let take = |text: &[u8]| filled(&[text]).take_until(b"||", 3, &mut 0);
        assert_eq!(take(b"abc||"), Ok(Some(b"abc".to_vec().into())));
        assert_eq!(take(b"abcd||"), Err(TooLong));
        assert_eq!(take(b"abc|"), Ok(None), "the separator may still come");
        assert_eq!(take(b"abcd|"), Err(TooLong));
        let mut refused = filled(&[b"abcd||", b"e"]);
        assert_eq!(refused.take_until(b"||", 3, &mut 0), Err(TooLong));
        assert_eq!(&refused.take_all()[..], b"abcd||e", "nothing is lost");
    }

    #[test]
    fn a_line_over_many_chunks_is_joined_and_the_rest_stays_in_order() {
        let big = [b'x'; 3000];
        let mut inlet = filled(&[&big, &big, b"x\nshort\n", &big, b"\n", b"end"]);
        let mut lens = Vec::new();
        while let Some(line) = inlet.take_until(b"\n", 10_000, &mut 0).expect("below the bound") {
            lens.push(line.len());
        }
        assert_eq!(lens, [6001, 5, 3000]);
        inlet.stop_joining();
        assert_eq!(&inlet.take_piece().expect("the end")[..], b"end");
        assert!(inlet.take_piece().is_none() && inlet.is_empty());
    }

    #[test]
    fn short_pieces_are_kept_together() {
        let mut inlet = filled(&[b"first"]);
        (0..1000).for_each(|_| inlet.push(Frame::from(b"x".to_vec())));
        assert_eq!(inlet.take_piece().expect("the first")[..], b"first"[..]);
        assert_eq!(inlet.take_piece().expect("one piece").len(), 1000);
    }

    #[test]
    fn what_is_pushed_back_comes_first() {
        let mut inlet = filled(&[b"cd", b"ef"]);
        inlet.push_front(Frame::from(b"b".to_vec()));
        inlet.push_front(Frame::empty());
        inlet.push_front(Frame::from(b"a".to_vec()));
        assert_eq!(
            (inlet.len(), &inlet.take_exact(3).expect("there are six")[..]),
            (6, &b"abc"[..])
        );
        inlet.push_front(Frame::from(b"c".to_vec()));
        assert_eq!(&inlet.take_all()[..], b"cdef");
    }

    #[test]
    fn a_short_rest_does_not_keep_a_large_buffer() {
        let large = Frame::from(vec![1; 9000]);
        let mut inlet = Inlet::default();
        inlet.push(large.clone());
        inlet.take_exact(8990).expect("there are 9000");
        assert!(!inlet.front().expect("ten are left").shares_with(&large));
        inlet.advance(4);
        assert_eq!(inlet.take_all().len(), 6);
    }
}
