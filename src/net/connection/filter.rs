//! The seam between a connection's bytes and those on the wire. Most connections have none: theirs
//! are the same.
//!
//! ```text
//!   block, as received ─▶ open: in place ─▶ frames, ranges of the same block ─▶ receiver
//!                          └─ cut records wait in the filter, and are joined there
//!   one send ◀─ seal: one buffer a record ◀─ everything of a turn ◀─ send queue
//!        └─ a short send's rest is sealed already, and goes first
//! ```
//! A filter knows no socket. It moves with the connection to another core.
#![cfg_attr(not(feature = "tls"), allow(dead_code, reason = "TLS is the only filter there is"))]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Connection, Life};
use crate::memory::chain::Chain;
use crate::memory::frame::Frame;
use crate::memory::pool::Lease;

/// Turns what is on the wire into what its owner reads and writes, and back.
pub(crate) trait Filter: Send {
    /// Opens what was received, in place. Beginnings of records are kept.
    ///
    /// # Errors
    /// What the peer did wrong; nothing more can be opened. What is to be said about it is sealed
    /// by the next [`Filter::seal`].
    fn open(&mut self, block: &mut [u8], opened: &mut Opened) -> Result<(), Fault>;

    /// Appends to `sealed` what the filter has to say itself, and then as much of `plain` as one
    /// send is to take. Returns how much of it that is.
    ///
    /// # Errors
    /// Nothing can be sealed any more.
    fn seal(&mut self, plain: &Chain, sealed: &mut Chain) -> Result<usize, Fault>;

    /// Appends to `sealed` the word that nothing more comes, unless it was said.
    fn seal_end(&mut self, sealed: &mut Chain);

    /// Whether it has something to say itself.
    fn has_output(&self) -> bool;

    /// What whoever made it knows it by.
    fn about(&self) -> Arc<dyn Any + Send + Sync>;
}

/// What a filter has found in a block, in order.
#[derive(Default)]
pub(crate) struct Opened {
    pieces: Vec<Piece>,
    /// The peer has said that nothing more comes.
    pub(crate) is_end: bool,
}

enum Piece {
    /// Joined outside of the block.
    Joined(Vec<u8>, Range<usize>),
    /// Where it was received.
    Within(Range<usize>),
}

/// Buffers that a core keeps for its next sends, in number and in bytes.
const SPARES_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Up to this size a piece moves down to the one before it: they are one frame then, which is
/// cheaper to cut, to hold and to echo than two.
const SHORT_BYTES: usize = 1024;

impl Opened {
    /// Found in the block at `range`.
    pub(crate) fn push_within(&mut self, block: &mut [u8], range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if range.len() <= SHORT_BYTES
            && let Some(Piece::Within(last)) = self.pieces.last_mut()
        {
            let end = last.end + range.len();
            block.copy_within(range, last.end);
            last.end = end;
            return;
        }
        self.pieces.push(Piece::Within(range));
    }

    /// Found in a buffer of the filter, of which it has no other use.
    pub(crate) fn push_joined(&mut self, buffer: Vec<u8>, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push(Piece::Joined(buffer, range));
        }
    }

    /// All of it in one buffer.
    pub(crate) fn join(self, block: &[u8]) -> Vec<u8> {
        let mut joined = Vec::new();
        for piece in self.pieces {
            match piece {
                Piece::Joined(buffer, range) => joined.extend_from_slice(&buffer[range]),
                Piece::Within(range) => joined.extend_from_slice(&block[range]),
            }
        }
        joined
    }
}

/// Why no more bytes come from a peer, if not by its own orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the kernel said.
    Kernel(Errno),
    /// What the filter says.
    Filter(&'static Breach),
}

/// What a peer did to its filter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) kind: io::ErrorKind,
    pub(crate) text: &'static str,
}

/// The stream was cut: what came may be a part of what was sent.
static TRUNCATED: Breach = Breach {
    kind: io::ErrorKind::UnexpectedEof,
    text: "the peer ended the connection without TLS's close_notify: what came may be a part",
};

impl From<Errno> for Fault {
    fn from(error: Errno) -> Fault {
        Fault::Kernel(error)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        match fault {
            Fault::Kernel(error) => error.into(),
            Fault::Filter(breach) => io::Error::new(breach.kind, breach.text),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

/// A connection's filter on this core.
pub(super) struct Filtered {
    parted: Parted,
    /// An empty chain whose room the next send uses.
    room: Chain,
}

/// A filter apart from its core, and what came of it.
pub(super) struct Parted {
    filter: Box<dyn Filter>,
    /// The peer has said that nothing more comes, or has done wrong: nothing is opened any more.
    is_over: bool,
}

thread_local! {
    /// The pieces' room, used again for each receive.
    static ROOM: Cell<Vec<Piece>> = const { Cell::new(Vec::new()) };
    static SPARES: RefCell<Spares> = const { RefCell::new(Spares { buffers: Vec::new(), bytes: 0 }) };
}

impl Connection {
    /// From now on all bytes pass `filter`. What was queued before leaves as it is. `received`: what
    /// has come for the filter already. Returns what was found in that, with the order to go on:
    /// [`Connection::settle_opened`], when somebody hears.
    pub(crate) fn set_filter(
        &self,
        filter: Box<dyn Filter>,
        mut received: Vec<u8>,
    ) -> (Vec<u8>, Outcome) {
        self.output.borrow_mut().set_apart();
        let mut parted = Parted { filter, is_over: false };
        let mut opened = Opened::default();
        let outcome = parted.open(&mut received, &mut opened);
        self.put_filter(parted);
        (opened.join(&received), outcome)
    }

    /// What the filter's maker knows it by, if there is one.
    pub(crate) fn about_filter(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.with_filter(|parted| parted.filter.about())
    }

    fn with_filter<R>(&self, body: impl FnOnce(&mut Parted) -> R) -> Option<R> {
        let mut filtered = self.filter.take()?;
        let result = body(&mut filtered.parted);
        self.filter.set(Some(filtered));
        Some(result)
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.with_filter(|_| ()).is_some()
    }

    pub(super) fn take_filter(&self) -> Option<Parted> {
        self.filter.take().map(|filtered| filtered.parted)
    }

    pub(super) fn put_filter(&self, parted: Parted) {
        self.filter.set(Some(Box::new(Filtered { parted, room: Chain::default() })));
    }

    /// Received bytes of a connection with a filter. Whoever hears of one piece may close before the
    /// next, or hand the connection on.
    pub(super) fn open_received(self: &Rc<Self>, mut lease: Lease) {
        let mut opened = Opened { pieces: ROOM.take(), is_end: false };
        let mut open = |block: &mut [u8]| self.with_filter(|it| it.open(block, &mut opened));
        let outcome = match lease.bytes_mut() {
            Some(block) => open(block),
            None => {
                let mut copy = lease.bytes().to_vec();
                let outcome = open(&mut copy);
                lease = Lease::heap(copy);
                outcome
            }
        };
        let is_over_quota = self.reactor.pool.is_over_quota();
        let whole = Frame::whole(lease);
        let mut pieces = opened.pieces;
        for piece in pieces.drain(..) {
            let frame = match piece {
                Piece::Joined(buffer, range) => Frame::from(buffer).slice(range),
                Piece::Within(range) if is_over_quota => {
                    self.reactor.metrics.quota_copies.add(1);
                    Frame::from(whole[range].to_vec())
                }
                Piece::Within(range) => whole.slice(range),
            };
            if self.life.get() > Life::Leaving {
                break; // discarded: nobody reads any more
            }
            let Some(receiver) = self.receiver() else { break };
            receiver.received(frame);
        }
        drop(whole);
        pieces.clear();
        ROOM.set(pieces);
        if let Some(outcome) = outcome {
            self.settle_opened(outcome);
        }
    }

    /// Does what opening has made due.
    pub(crate) fn settle_opened(self: &Rc<Self>, outcome: Outcome) {
        match outcome {
            Outcome::More => {}
            Outcome::Ended => self.on_read_end(Ok(())),
            Outcome::Broken(fault) => self.give_up(fault),
        }
        if self.with_filter(|parted| parted.filter.has_output()) == Some(true) {
            self.mark_dirty();
        }
    }

    /// The peer broke the filter: what is queued is dropped, the filter's last word is sent.
    fn give_up(self: &Rc<Self>, fault: Fault) {
        self.on_read_end(Err(fault));
        let left = self.output.borrow_mut().clear_plain();
        self.reactor.metrics.bytes_unsent.add(left.len() as u64);
        drop(left); // outside of the borrow
        self.broken.set(Some(Errno::PROTO));
        self.close();
        self.tell_sent();
    }

    /// How the peer's end of stream is to be understood.
    pub(super) fn judge_end(&self) -> Result<(), Fault> {
        let is_cut = self.with_filter(|parted| !std::mem::replace(&mut parted.is_over, true));
        if is_cut == Some(true) { Err(Fault::Filter(&TRUNCATED)) } else { Ok(()) }
    }

    /// The chain to send now. `None` while one is in flight, or when nothing waits.
    pub(super) fn next_chain(self: &Rc<Self>) -> Option<Chain> {
        let Some(mut filtered) = self.filter.take() else {
            return self.output.borrow_mut().next();
        };
        let plain = self.output.borrow_mut().take_plain();
        let Some(mut plain) = plain else {
            self.filter.set(Some(filtered));
            return None;
        };
        let mut sealed = std::mem::take(&mut filtered.room);
        let done = filtered.parted.filter.seal(&plain, &mut sealed);
        let is_all = matches!(done, Ok(count) if count == plain.len());
        if is_all && self.finishing.get() && self.output.borrow().is_taken() {
            filtered.parted.filter.seal_end(&mut sealed);
        }
        self.filter.set(Some(filtered));
        match done {
            Ok(count) => {
                plain.advance(count); // outside of a borrow: it drops what was sealed
                self.output.borrow_mut().next_sealed(sealed, plain, count)
            }
            Err(fault) => {
                self.on_read_end(Err(fault));
                self.abort_now();
                None
            }
        }
    }

    /// Keeps the room of a chain, all of which was sent.
    #[inline]
    pub(super) fn keep_room(&self, mut chain: Chain) -> Chain {
        let Some(mut filtered) = self.filter.take() else { return chain };
        while let Some(buffer) = chain.take_buffer() {
            give_spare(buffer);
        }
        if chain.is_empty() && chain.is_compact() {
            chain = std::mem::replace(&mut filtered.room, chain);
        }
        self.filter.set(Some(filtered));
        chain
    }
}

/// Buffers that were sent, for the next sends of this core.
#[derive(Default)]
struct Spares {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// An empty buffer, of whatever room.
pub(crate) fn take_spare() -> Vec<u8> {
    SPARES.with_borrow_mut(|spares| {
        let buffer = spares.buffers.pop().unwrap_or_default();
        spares.bytes -= buffer.capacity();
        buffer
    })
}

/// Keeps a buffer whose content was sent, up to a bound for them all.
fn give_spare(mut buffer: Vec<u8>) {
    buffer.clear();
    SPARES.with_borrow_mut(|spares| {
        let bytes = spares.bytes + buffer.capacity();
        if bytes <= SPARE_BYTES_MAX && spares.buffers.len() < SPARES_MAX {
            spares.bytes = bytes;
            spares.buffers.push(buffer);
        }
    });
}

/// What a filter has come to with what was received.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    More,
    /// The peer has said that nothing more comes.
    Ended,
    Broken(Fault),
}

impl Parted {
    fn open(&mut self, block: &mut [u8], opened: &mut Opened) -> Outcome {
        if self.is_over {
            return Outcome::More; // nothing counts behind the end
        }
        let result = self.filter.open(block, opened);
        self.is_over = result.is_err() || opened.is_end;
        match result {
            Err(fault) => Outcome::Broken(fault),
            Ok(()) if opened.is_end => Outcome::Ended,
            Ok(()) => Outcome::More,
        }
    }
}
