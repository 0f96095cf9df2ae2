//! A frame: some bytes that were received together, held by a counted lease instead of a copy.

use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};

use bytes::Bytes;

use super::pool::{Detached, Lease};

/// Up to this length [`Frame::into_bytes`] copies: cheaper than keeping a whole block from the
/// kernel for a few bytes.
const INTO_BYTES_COPY_MAX: usize = 1024;

/// Received bytes, where the kernel put them.
///
/// A frame dereferences to `[u8]`. Clones and slices share the bytes and cost a few nanoseconds.
/// It belongs to its core (it is not `Send`): [`Frame::into_bytes`] makes the form that may leave.
/// While a frame on a block of the pool lives, the kernel cannot use that block; above the quota of
/// such blocks (`SKYRING_POOL_LENT_MAX`) new frames are copied to the heap, so holding frames for
/// long is safe, if not free.
///
/// ```
/// use skyring::Frame;
/// let frame = Frame::from(b"hello world".to_vec());
/// assert_eq!(&frame.slice(6..)[..], b"world");
/// assert_eq!(frame.into_bytes(), "hello world");
/// ```
#[derive(Clone)]
pub struct Frame {
    lease: Lease,
    start: u32,
    len: u32,
    /// Bytes of encoding just before and after the payload, as they were received: an echo that
    /// wants the same encoding sends them along, and adjacent frames leave as one piece.
    head: u8,
    tail: u8,
}

impl Frame {
    /// All bytes of a lease.
    pub(crate) fn whole(lease: Lease) -> Frame {
        let len = lease.len();
        Frame { lease, start: 0, len, head: 0, tail: 0 }
    }

    /// An empty frame, which costs one small allocation.
    pub fn empty() -> Frame {
        Frame::from(Vec::new())
    }

    /// How many bytes the payload has.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the payload has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of the payload, sharing its bytes.
    ///
    /// # Panics
    /// When the range does not lie within the payload, as slicing does.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Frame {
        let start = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at + 1,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len(),
        };
        assert!(start <= end && end <= self.len(), "range {start}..{end} of {} bytes", self.len());
        self.part(start, end - start, 0, 0)
    }

    /// The payload of `len` bytes at `start`, with what lies around it taken for its encoding.
    #[inline]
    pub(crate) fn part(&self, start: usize, len: usize, head: usize, tail: usize) -> Frame {
        debug_assert!(start + len + tail <= self.len() && head <= start || head + tail == 0);
        Frame {
            lease: self.lease.clone(),
            start: self.start + start as u32,
            len: len as u32,
            head: head as u8,
            tail: tail as u8,
        }
    }

    /// Drops the first `count` bytes of the payload.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance within the payload");
        self.start += count as u32;
        self.len -= count as u32;
        self.head = 0;
    }

    /// This frame with its encoding as the payload, when the bytes around it are just `head` and
    /// `tail`; else the frame as it was.
    #[inline]
    pub(crate) fn into_encoded(mut self, head: &[u8], tail: &[u8]) -> Result<Frame, Frame> {
        if usize::from(self.head) != head.len() || usize::from(self.tail) != tail.len() {
            return Err(self);
        }
        let start = self.start as usize - head.len();
        let end = (self.start + self.len) as usize;
        let bytes = self.lease.bytes();
        if !is_same(&bytes[start..], head) || !is_same(&bytes[end..], tail) {
            return Err(self);
        }
        self.len = (end + tail.len() - start) as u32;
        self.start = start as u32;
        self.head = 0;
        self.tail = 0;
        Ok(self)
    }

    /// The payload, to be changed where it lies; `None` when something else shares its bytes. What
    /// lies around it is no encoding of it any more.
    #[cfg(any(feature = "websocket", test))]
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let range = self.start as usize..(self.start + self.len) as usize;
        let bytes = self.lease.bytes_mut()?;
        (self.head, self.tail) = (0, 0);
        Some(&mut bytes[range])
    }

    /// Takes `next` in when it begins where this frame ends, in the same bytes.
    #[inline]
    pub(crate) fn try_join(&mut self, next: &Frame) -> bool {
        let joins = self.lease.is_same(&next.lease) && self.start + self.len == next.start;
        if joins {
            self.len += next.len;
        }
        joins
    }

    /// Whether it is less than half of the bytes that live as long as it does.
    #[inline]
    pub(crate) fn is_small_part(&self) -> bool {
        self.len < self.lease.len() / 2
    }

    /// Whether both lie in the same bytes.
    pub(crate) fn shares_with(&self, other: &Frame) -> bool {
        self.lease.is_same(&other.lease)
    }

    /// A form that may leave the core, without an allocation; the frame itself when it lies on the
    /// heap.
    fn detach(self) -> Result<Detached, Frame> {
        let Frame { lease, start, len, head, tail } = self;
        let range = start as usize..(start + len) as usize;
        lease.detach(range).map_err(|lease| Frame { lease, start, len, head, tail })
    }

    /// The payload as [`Bytes`], which may leave the core: for another thread, a task of another
    /// runtime, a long-lived store.
    ///
    /// Up to 1 KiB is copied. Above, the block itself goes along and comes home when the last
    /// `Bytes` of it drops, wherever that is.
    pub fn into_bytes(self) -> Bytes {
        if self.len() <= INTO_BYTES_COPY_MAX {
            return Bytes::copy_from_slice(&self);
        }
        let frame = match self.detach() {
            Ok(detached) => return Bytes::from_owner(detached),
            Err(frame) => frame,
        };
        let range = frame.start as usize..(frame.start + frame.len) as usize;
        match frame.lease.into_heap() {
            Ok(buffer) => Bytes::from(buffer).slice(range),
            Err(lease) => Bytes::copy_from_slice(&lease.bytes()[range]),
        }
    }
}

/// Whether `bytes` begin with `encoding`. The usual ones are compared in place: a call costs more.
#[inline]
fn is_same(bytes: &[u8], encoding: &[u8]) -> bool {
    match encoding {
        [] => true,
        [a] => bytes.first() == Some(a),
        [a, b] => bytes.first_chunk() == Some(&[*a, *b]),
        _ => bytes.starts_with(encoding),
    }
}

impl Deref for Frame {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.lease.bytes()[self.start as usize..(self.start + self.len) as usize]
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Takes the buffer over; nothing is copied.
///
/// # Panics
/// When the buffer has 4 GiB or more.
impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Frame {
        Frame::whole(Lease::heap(bytes))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 32;
        let shown = self[..self.len().min(SHOWN)].escape_ascii();
        let more = if self.len() > SHOWN { "..." } else { "" };
        write!(f, "Frame({} bytes, \"{shown}{more}\")", self.len())
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Frame) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Frame {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::pool::Pool;

    fn received(bytes: &[u8]) -> (Pool, Frame) {
        let pool = Pool::new(2, 4096, 2);
        pool.provide();
        let lease = pool.fill(bytes).expect("a block is provided");
        (pool, Frame::whole(lease))
    }

    #[test]
    fn a_frame_is_three_words() {
        assert_eq!(size_of::<Frame>(), 24);
    }

    #[test]
    fn slices_share_and_stay_in_bounds() {
        let (pool, frame) = received(b"hello world");
        assert_eq!(&frame.slice(..5)[..], b"hello");
        assert_eq!(&frame.slice(6..=10)[..], b"world");
        assert!(frame.slice(11..).is_empty());
        assert_eq!(pool.lent(), 1);
        let past = std::panic::AssertUnwindSafe(|| frame.slice(3..12));
        assert!(std::panic::catch_unwind(past).is_err());
    }

    #[test]
    fn adjacent_frames_join_with_their_encoding() {
        let (_pool, all) = received(b"\0\x02ab\0\x01c\0\x01d");
        let first = all.part(2, 2, 2, 0);
        let second = all.part(6, 1, 2, 0);
        assert_eq!(&first[..], b"ab");
        let encode = |frame: &Frame, head: &[u8]| frame.clone().into_encoded(head, b"");
        let mut out = encode(&first, b"\0\x02").expect("the same encoding");
        assert!(out.try_join(&encode(&second, b"\0\x01").expect("the same encoding")));
        assert_eq!(&out[..], b"\0\x02ab\0\x01c");
        assert_eq!(encode(&first, b"\0\0\0\x02").expect_err("another codec"), first);
        assert_eq!(encode(&first, b"\0\x03").expect_err("other bytes"), first);
        assert!(encode(&first.slice(..), b"\0\x02").is_err(), "a slice has no encoding");
    }

    #[test]
    fn a_frame_is_changed_in_place_only_while_it_is_alone() {
        let (pool, mut frame) = received(b"hello world");
        let other = frame.slice(..5);
        assert!(frame.bytes_mut().is_none(), "two leases");
        drop(other);
        frame.bytes_mut().expect("alone")[0] = b'j';
        let far = frame.slice(..).detach().unwrap_or_else(|_| panic!("it is a block"));
        assert!(frame.bytes_mut().is_none(), "one is away");
        drop(far);
        assert!(frame.bytes_mut().is_none(), "away until the pool looks");
        pool.provide();
        frame.advance(6);
        frame.bytes_mut().expect("alone again").make_ascii_uppercase();
        assert_eq!(&frame[..], b"WORLD");
        let mut heap = Frame::from(b"heap".to_vec());
        heap.bytes_mut().expect("alone").reverse();
        assert_eq!(heap.into_bytes(), "paeh");
    }

    #[test]
    fn bytes_are_copied_when_small_and_lent_when_large() {
        let (pool, frame) = received(&[7; 2000]);
        let small = frame.slice(..INTO_BYTES_COPY_MAX).into_bytes();
        let large = frame.slice(..=INTO_BYTES_COPY_MAX).into_bytes();
        drop(frame);
        assert_eq!(pool.lent(), 1, "the large one holds the block");
        assert_eq!((small.len(), large.len()), (1024, 1025));
        drop(large);
        pool.provide();
        assert_eq!(pool.lent(), 0);
        let heap = Frame::from(vec![1; 5000]);
        assert_eq!(heap.slice(10..).into_bytes().len(), 4990, "shared: copied");
        assert_eq!(heap.into_bytes().len(), 5000, "alone: taken over");
    }
}
