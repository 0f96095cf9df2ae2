//! A chain: the bytes that wait to be sent on one connection, as pieces in order.

use std::collections::VecDeque;
#[cfg(feature = "http")]
use std::ops::Range;

use bytes::Bytes;

use super::frame::Frame;
use super::shared::Shared;

/// Up to this length bytes are copied behind the last copied ones, which is cheaper than one more
/// entry in a gathered send.
const COPY_MAX: usize = 256;
/// A buffer of copied bytes is filled up to this size, then the next one begins.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// An idle connection keeps room for this many pieces; what a burst needed beyond is given back.
const COMPACT_PIECES: usize = 4;

/// What a user may send: received frames and shared buffers go out as they are, slices are copied.
#[derive(Debug)]
pub enum Payload<'a> {
    /// A received frame; its block goes out as it came.
    Frame(Frame),
    /// A shared buffer.
    Bytes(Bytes),
    /// Borrowed bytes, copied into the send queue.
    Slice(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// A part of it, of which nothing is copied.
    #[cfg(feature = "http")]
    pub(crate) fn part(&self, range: Range<usize>) -> Payload<'a> {
        match self {
            Payload::Frame(frame) => Payload::Frame(frame.slice(range)),
            Payload::Bytes(bytes) => Payload::Bytes(bytes.slice(range)),
            Payload::Slice(slice) => Payload::Slice(&slice[range]),
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Payload::Frame(frame) => frame,
            Payload::Bytes(bytes) => bytes,
            Payload::Slice(slice) => slice,
        }
    }
}

impl From<Frame> for Payload<'_> {
    fn from(frame: Frame) -> Self {
        Payload::Frame(frame)
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Payload::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Payload::Bytes(bytes.into())
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Payload::Bytes(text.into())
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(slice: &'a [u8]) -> Self {
        Payload::Slice(slice)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(array: &'a [u8; N]) -> Self {
        Payload::Slice(array)
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Payload::Slice(bytes)
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    fn from(text: &'a String) -> Self {
        Payload::Slice(text.as_bytes())
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Payload::Slice(text.as_bytes())
    }
}

#[derive(Debug)]
enum Piece {
    Frame(Frame),
    Bytes(Shared),
    /// Copied bytes, of which the first `sent` are gone.
    Copied {
        buffer: Vec<u8>,
        sent: usize,
    },
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Frame(frame) => frame,
            Piece::Bytes(bytes) => bytes,
            Piece::Copied { buffer, sent } => &buffer[*sent..],
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Piece::Frame(frame) => frame.advance(count),
            Piece::Bytes(bytes) => bytes.advance(count),
            Piece::Copied { sent, .. } => *sent += count,
        }
    }
}

/// Bytes to send, in order: leases, shared buffers and copied bytes.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl Chain {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// In how many pieces the bytes lie.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The pieces in order. None is empty.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Piece::bytes)
    }

    /// Appends a payload as it is.
    pub(crate) fn push(&mut self, payload: Payload<'_>) {
        match payload {
            Payload::Frame(frame) => self.push_frame(frame),
            Payload::Bytes(bytes) if bytes.len() > COPY_MAX => {
                self.bytes += bytes.len();
                self.push_piece(Piece::Bytes(bytes.into()));
            }
            Payload::Bytes(bytes) => self.push_slice(&Shared::from(bytes)),
            Payload::Slice(slice) => self.push_slice(slice),
        }
    }

    /// Appends a buffer as a piece of its own.
    pub(crate) fn push_buffer(&mut self, buffer: Vec<u8>) {
        if !buffer.is_empty() {
            self.bytes += buffer.len();
            self.push_piece(Piece::Copied { buffer, sent: 0 });
        }
    }

    /// Appends a payload between `head` and `tail`. A received frame that has just these around it
    /// goes out with them, and joins its neighbour.
    #[inline]
    pub(crate) fn push_encoded(&mut self, head: &[u8], payload: Payload<'_>, tail: &[u8]) {
        match payload {
            Payload::Frame(frame) => match frame.into_encoded(head, tail) {
                Ok(encoded) => self.push_frame(encoded),
                Err(frame) => self.push_around(head, frame.into(), tail),
            },
            other => self.push_around(head, other, tail),
        }
    }

    #[inline(never)]
    fn push_around(&mut self, head: &[u8], payload: Payload<'_>, tail: &[u8]) {
        self.push_slice(head);
        self.push(payload);
        self.push_slice(tail);
    }

    #[inline]
    fn push_frame(&mut self, frame: Frame) {
        let len = frame.len();
        if len == 0 {
            return;
        }
        self.bytes += len;
        if let Some(Piece::Frame(last)) = self.pieces.back_mut()
            && last.try_join(&frame)
        {
            return;
        }
        self.push_piece(Piece::Frame(frame));
    }

    #[inline(never)]
    fn push_piece(&mut self, piece: Piece) {
        if self.pieces.capacity() == 0 {
            // Most chains are one piece; the default would be four.
            self.pieces.reserve_exact(1);
        }
        self.pieces.push_back(piece);
    }

    fn push_slice(&mut self, slice: &[u8]) {
        if slice.is_empty() {
            return;
        }
        self.bytes += slice.len();
        if let Some(Piece::Copied { buffer, .. }) = self.pieces.back_mut()
            && buffer.len() + slice.len() <= COPIED_BYTES_MAX
        {
            return buffer.extend_from_slice(slice);
        }
        self.push_piece(Piece::Copied { buffer: slice.to_vec(), sent: 0 });
    }

    /// Drops the first `count` bytes: they were sent.
    pub(crate) fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "more bytes were sent than waited");
        self.bytes -= count;
        while let Some(first) = self.pieces.front_mut() {
            let len = first.bytes().len();
            if count < len {
                return first.advance(count);
            }
            count -= len;
            self.pieces.pop_front();
        }
    }

    /// Takes the first piece out, if that is a buffer.
    pub(crate) fn take_buffer(&mut self) -> Option<Vec<u8>> {
        if !matches!(self.pieces.front(), Some(Piece::Copied { .. })) {
            return None;
        }
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.bytes().len();
        match piece {
            Piece::Copied { buffer, .. } => Some(buffer),
            Piece::Frame(_) | Piece::Bytes(_) => None,
        }
    }

    /// Whether it is empty and has no room for anything.
    pub(crate) fn is_bare(&self) -> bool {
        self.pieces.capacity() == 0
    }

    /// Whether the empty chain is worth keeping for the next bytes: its room is small.
    pub(crate) fn is_compact(&self) -> bool {
        self.pieces.capacity() <= COMPACT_PIECES
    }

    /// Puts all of `other` behind.
    pub(crate) fn append(&mut self, other: &mut Chain) {
        self.bytes += std::mem::take(&mut other.bytes);
        self.pieces.append(&mut other.pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::pool::Pool;

    fn collect(chain: &Chain) -> Vec<u8> {
        chain.slices().flatten().copied().collect()
    }

    #[test]
    fn an_echo_of_adjacent_frames_is_one_piece() {
        let pool = Pool::new(2, 4096, 2);
        pool.provide();
        let wire = b"\0\x02ab\0\x00\0\x01c";
        let all = Frame::whole(pool.fill(wire).expect("a block is provided"));
        let mut chain = Chain::default();
        chain.push_encoded(b"\0\x02", all.part(2, 2, 2, 0).into(), b"");
        chain.push_encoded(b"\0\x00", all.part(6, 0, 2, 0).into(), b"");
        chain.push_encoded(b"\0\x01", all.part(8, 1, 2, 0).into(), b"");
        assert_eq!(chain.pieces(), 1);
        assert_eq!(collect(&chain), wire);
    }

    #[test]
    fn small_pieces_are_copied_together() {
        let mut chain = Chain::default();
        chain.push("one ".into());
        chain.push(Bytes::from_static(b"two ").into());
        chain.push_encoded(b"<", "three".into(), b">");
        assert_eq!(chain.pieces(), 1);
        chain.push(Bytes::from(vec![b'x'; COPY_MAX + 1]).into());
        assert_eq!(chain.pieces(), 2, "a large shared buffer is not copied");
        assert_eq!(chain.len(), 15 + COPY_MAX + 1);
    }

    #[test]
    fn every_cut_of_a_send_leaves_the_rest() {
        let build = || {
            let mut chain = Chain::default();
            chain.push("abc".into());
            chain.push(Frame::from(b"def".to_vec()).into());
            chain.push(Bytes::from(vec![b'g'; COPY_MAX + 1]).into());
            chain.push("hij".into());
            chain
        };
        let whole = collect(&build());
        for first in 0..=whole.len() {
            let mut chain = build();
            chain.advance(first);
            assert_eq!(collect(&chain), whole[first..]);
            assert!(chain.slices().all(|piece| !piece.is_empty()));
            chain.advance(whole.len() - first);
            assert!(chain.is_empty() && chain.pieces() == 0);
        }
    }
}
