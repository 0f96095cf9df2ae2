//! What a client has sent and nobody has taken: as it was received, and how far it is cut.

use std::collections::VecDeque;

use crate::memory::frame::Frame;
use crate::net::cutter::{Cut, Cutter};
use crate::wire::{FrameError, Framing};

/// The bytes of one client that nobody has taken, in order.
pub(super) struct Unread {
    cutter: Cutter,
    /// The oldest receive. Most clients wait for their answer, and have no more than this.
    first: Option<Frame>,
    /// How much of it is cut.
    at: u32,
    /// Boxed: few have any.
    #[expect(clippy::box_collection, reason = "each client has one of these")]
    rest: Option<Box<VecDeque<Frame>>>,
    bytes: usize,
    /// All bytes that ever came.
    received: u64,
}

/// What came of cutting.
pub(super) enum Cutting {
    /// A frame. `joined`: its bytes were copied, since they came in parts.
    Frame { frame: Frame, joined: bool },
    /// One receive is used up.
    Receive,
    /// Nothing is left that came before the mark.
    Nothing,
}

impl Unread {
    pub(super) fn new(framing: Framing, frame_bytes_max: usize) -> Unread {
        let cutter = Cutter::new(framing, frame_bytes_max);
        Unread { cutter, first: None, at: 0, rest: None, bytes: 0, received: 0 }
    }

    /// What another core has packed: the beginning of a frame, and bytes that were not looked at.
    pub(super) fn unpack(cutter: Cutter, bytes: Vec<u8>) -> Unread {
        let mut unread = Unread { cutter, first: None, at: 0, rest: None, bytes: 0, received: 0 };
        if !bytes.is_empty() {
            unread.push(Frame::from(bytes));
        }
        unread
    }

    /// Takes everything out, for another core.
    pub(super) fn pack(self) -> (Cutter, Vec<u8>) {
        let mut bytes = Vec::with_capacity(self.bytes);
        if let Some(first) = &self.first {
            bytes.extend_from_slice(&first[self.at as usize..]);
        }
        self.rest
            .iter()
            .flat_map(|rest| rest.iter())
            .for_each(|next| bytes.extend_from_slice(next));
        (self.cutter, bytes)
    }

    #[inline]
    pub(super) fn framing(&self) -> Framing {
        self.cutter.framing()
    }

    /// How many bytes wait.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// In how many receives they came.
    pub(super) fn receives(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    /// The end of what has come, as a place in the client's stream.
    #[inline]
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether all before `mark` is cut.
    #[inline]
    pub(super) fn is_cut_to(&self, mark: u64) -> bool {
        self.received - self.bytes as u64 >= mark
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: Frame) {
        self.bytes += bytes.len();
        self.received += bytes.len() as u64;
        match self.first {
            None => self.first = Some(bytes),
            Some(_) => self.rest.get_or_insert_default().push_back(bytes),
        }
    }

    /// One step of cutting what came before `mark`.
    ///
    /// # Errors
    /// The client broke the framing; nothing can be cut from here on.
    #[inline]
    pub(super) fn cut(&mut self, mark: u64) -> Result<Cutting, FrameError> {
        let Some(first) = &self.first else { return Ok(Cutting::Nothing) };
        let from = self.at as usize;
        if from == first.len() {
            self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
            self.at = 0;
            return Ok(Cutting::Receive);
        }
        if self.is_cut_to(mark) {
            return Ok(Cutting::Nothing);
        }
        let mut at = from;
        let cut = self.cutter.next(first, &mut at);
        self.at = at as u32; // a receive is below 4 GiB
        self.bytes -= at - from;
        match cut? {
            Cut::Frame(frame) => Ok(Cutting::Frame { frame, joined: false }),
            Cut::Joined(frame) => Ok(Cutting::Frame { frame, joined: true }),
            Cut::Empty => self.cut(mark),
        }
    }

    /// Drops everything. Returns how many whole frames that were.
    pub(super) fn clear(&mut self) -> u64 {
        let mut frames = 0;
        loop {
            match self.cut(u64::MAX) {
                Ok(Cutting::Frame { .. }) => frames += 1,
                Ok(Cutting::Receive) => {}
                Ok(Cutting::Nothing) => break,
                Err(_) => {
                    self.first = None;
                    self.rest = None;
                    self.bytes = 0;
                    break;
                }
            }
        }
        frames
    }
}
