//! What one connection of the raw-uring server has received and not yet sent.
//!
//! Two stores, one for each way to receive. [`Pieces`] queues ranges of lent blocks and sends
//! them gathered; nothing is copied. [`Own`] is one buffer that the connection receives into and
//! sends from in turn. A third, [`Answers`], keeps nothing of what comes.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::ptr;

use super::answers::Answers;
use super::blocks::{Blocks, BufferRing};
use crate::framing::Framing;
use crate::serve::finder::{FRAME_BYTES_MAX, Finder, FrameTooLong};

/// Pieces that leave with one send; a power of two, since rings of them are.
pub(super) const GATHER_MAX: usize = 64;

/// Bytes that one receive into a connection's own buffer takes at most.
const READ_BYTES: usize = 64 << 10;

/// Whole bytes that wait for a peer before its connection stops receiving.
const UNSENT_BYTES_MAX: usize = 1 << 20;

/// One accepted socket. It stays in its slot until no operation names it any more.
pub(super) struct Connection {
    /// Closed by drop, hence only after the last completion.
    pub(super) socket: OwnedFd,
    finder: Finder,
    pub(super) store: Store,
    /// A receive, or a send, is with the kernel.
    pub(super) receiving: bool,
    pub(super) sending: bool,
    /// The receive was asked to end, because the peer takes nothing.
    pub(super) cancelled: bool,
    /// The last receive found no block; the connection is in the queue of starved ones.
    pub(super) starved: bool,
    /// The connection is in the list of those to look at before the next enter.
    pub(super) touched: bool,
    /// The peer sends no more.
    pub(super) ended: bool,
    /// An error or a frame too long: nothing more is sent either.
    pub(super) dead: bool,
    pub(super) shut: bool,
    /// The send in flight ends within its enter, and unless it fails without a completion.
    pub(super) unseen: bool,
    /// Bytes that the send in flight was asked for.
    pub(super) asked: usize,
    /// The peer's window is full: the next send waits for room in the kernel.
    pub(super) patient: bool,
    /// The last receive said that more bytes wait in the socket.
    pub(super) more_waits: bool,
}

/// Received bytes on their way back.
pub(super) enum Store {
    /// Ranges of blocks.
    Pieces(Box<Pieces>),
    /// A buffer of the connection's own.
    Own(Own),
    /// Fixed words; the blocks go home at once.
    Answers(Answers),
}

/// What to send, as the kernel wants it.
pub(super) enum Output {
    /// One range.
    Plain(*const u8, u32),
    /// What was put into the connection's own buffer ring, so many bytes together.
    Bundle(usize),
    /// Several, so many bytes together, named by a header that stays in place until the send
    /// completes.
    Gathered(*const libc::msghdr, usize),
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, framing: Framing, store: Store) -> Self {
        Self {
            socket,
            finder: Finder::new(framing),
            store,
            receiving: false,
            sending: false,
            cancelled: false,
            starved: false,
            touched: false,
            ended: false,
            dead: false,
            shut: false,
            unseen: false,
            asked: 0,
            patient: false,
            more_waits: false,
        }
    }

    /// Bytes of whole frames that may leave.
    pub(super) fn whole(&self) -> usize {
        match &self.store {
            Store::Pieces(pieces) => pieces.whole,
            Store::Own(own) => own.whole - own.sent,
            Store::Answers(answers) => answers.whole,
        }
    }

    /// The peer takes nothing, so nothing more should be taken from it.
    pub(super) fn lags(&self) -> bool {
        self.whole() > UNSENT_BYTES_MAX
    }

    /// Whether a receive should be with the kernel.
    pub(super) fn wants_receive(&self) -> bool {
        let room = match &self.store {
            Store::Pieces(_) | Store::Answers(_) => self.whole() <= UNSENT_BYTES_MAX / 2,
            // The buffer is sent from before it is received into again.
            Store::Own(own) => own.whole == 0 && !self.sending,
        };
        room && !self.receiving && !self.starved && !self.ended && !self.dead
    }

    /// Nothing is left to do, and no operation names the slot.
    pub(super) fn is_over(&self) -> bool {
        let done = self.dead || (self.ended && self.whole() == 0);
        done && !self.receiving && !self.sending
    }

    /// Takes `n` received bytes: those of block `id`, or of the own buffer.
    pub(super) fn received(&mut self, n: u32, id: Option<u16>, blocks: &mut Blocks) {
        let found = match (&mut self.store, id) {
            (Store::Pieces(pieces), Some(id)) => {
                blocks.take();
                pieces.received(&mut self.finder, n, id, blocks)
            }
            (Store::Own(own), None) => own.received(&mut self.finder, n),
            (Store::Answers(answers), Some(id)) => {
                blocks.take();
                answers.received(blocks.bytes(id, 0, n));
                blocks.put(id);
                Ok(())
            }
            _ => unreachable!("a block is named exactly when one was asked for"),
        };
        self.dead |= found.is_err();
    }

    /// Takes note that `n` bytes left.
    pub(super) fn sent(&mut self, n: usize, blocks: &mut Blocks) {
        match &mut self.store {
            Store::Pieces(pieces) => pieces.sent(n, blocks),
            Store::Own(own) => own.sent(n),
            Store::Answers(answers) => answers.sent(n),
        }
    }

    /// What to send next; the memory stays as it is until [`sent`](Self::sent).
    pub(super) fn output(&mut self, blocks: &Blocks) -> Output {
        match &mut self.store {
            Store::Pieces(pieces) => pieces.output(blocks),
            Store::Own(own) => own.output(),
            Store::Answers(answers) => {
                let bytes = answers.output();
                Output::Plain(bytes.as_ptr(), bytes.len() as u32)
            }
        }
    }
}

/// A range of one block, or of a copy.
enum Piece {
    Block { id: u16, start: u32, len: u32 },
    Copy { bytes: Vec<u8>, start: u32 },
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Block { len, .. } => *len as usize,
            Self::Copy { bytes, start } => bytes.len() - *start as usize,
        }
    }

    fn address(&self, blocks: &Blocks) -> *const u8 {
        match self {
            Self::Block { id, start, len } => blocks.bytes(*id, *start, *len).as_ptr(),
            Self::Copy { bytes, start } => bytes[*start as usize..].as_ptr(),
        }
    }

    fn advance(&mut self, n: u32) {
        match self {
            Self::Block { start, len, .. } => (*start, *len) = (*start + n, *len - n),
            Self::Copy { start, .. } => *start += n,
        }
    }
}

/// Lent blocks in the order of the stream.
///
/// ```text
///   queue:  [ piece | piece | pie·ce | piece ]
///            <----- whole ----->  <- an incomplete frame ->
/// ```
pub(super) struct Pieces {
    queue: VecDeque<Piece>,
    bytes: usize,
    whole: usize,
    iovecs: Vec<libc::iovec>,
    header: libc::msghdr,
    /// Pieces at the front that a send in flight names.
    named: usize,
    /// Where sends in bundles find their pieces. Unregistered before it is dropped.
    pub(super) bundle: Option<BufferRing>,
}

impl Pieces {
    pub(super) fn new() -> Self {
        // SAFETY: a msghdr of zeroes is an empty message: null pointers with zero lengths.
        let header = unsafe { std::mem::zeroed() };
        let queue = VecDeque::new();
        Self { queue, bytes: 0, whole: 0, iovecs: Vec::new(), header, named: 0, bundle: None }
    }

    fn received(
        &mut self,
        finder: &mut Finder,
        n: u32,
        id: u16,
        blocks: &Blocks,
    ) -> Result<(), FrameTooLong> {
        self.queue.push_back(Piece::Block { id, start: 0, len: n });
        let end = finder.feed(blocks.bytes(id, 0, n))?;
        if end > 0 {
            self.whole = self.bytes + end;
        }
        self.bytes += n as usize;
        Ok(())
    }

    fn output(&mut self, blocks: &Blocks) -> Output {
        let mut left = self.whole;
        if let Some(piece) = self.queue.front().filter(|piece| piece.len() >= left) {
            self.named = 1;
            return Output::Plain(piece.address(blocks), left as u32);
        }
        self.iovecs.clear();
        for piece in self.queue.iter().take(GATHER_MAX) {
            let len = piece.len().min(left);
            let base = piece.address(blocks).cast_mut().cast();
            self.iovecs.push(libc::iovec { iov_base: base, iov_len: len });
            left -= len;
            if left == 0 {
                break;
            }
        }
        self.named = self.iovecs.len();
        if let Some(ring) = &mut self.bundle {
            for (id, piece) in self.iovecs.iter().enumerate() {
                ring.put(piece.iov_base.cast(), piece.iov_len as u32, id as u16);
            }
            ring.publish();
            return Output::Bundle(self.whole - left);
        }
        self.header.msg_iov = self.iovecs.as_mut_ptr();
        self.header.msg_iovlen = self.iovecs.len();
        Output::Gathered(ptr::from_ref(&self.header), self.whole - left)
    }

    fn sent(&mut self, n: usize, blocks: &mut Blocks) {
        self.named = 0;
        self.whole -= n;
        self.bytes -= n;
        let mut left = n;
        while left > 0 {
            let piece = self.queue.front_mut().expect("what was sent was queued");
            let len = piece.len();
            if left < len {
                piece.advance(left as u32);
                return;
            }
            left -= len;
            self.pop(blocks);
        }
    }

    fn pop(&mut self, blocks: &mut Blocks) {
        if let Some(Piece::Block { id, .. }) = self.queue.pop_front() {
            blocks.put(id);
        }
    }

    /// Copies what no send names and gives its blocks back: a starved ring goes before a copy.
    pub(super) fn copy_out(&mut self, blocks: &mut Blocks) {
        for piece in self.queue.iter_mut().skip(self.named) {
            if let Piece::Block { id, start, len } = *piece {
                let bytes = blocks.bytes(id, start, len).to_vec();
                *piece = Piece::Copy { bytes, start: 0 };
                blocks.put(id);
            }
        }
    }

    /// Gives all blocks back. No operation is in flight any more.
    pub(super) fn clear(&mut self, blocks: &mut Blocks) {
        while !self.queue.is_empty() {
            self.pop(blocks);
        }
    }
}

/// One buffer, received into and sent from in turn.
///
/// ```text
///   [ sent | whole frames | an incomplete frame | room ]
///          ^ sent         ^ whole               ^ filled
/// ```
pub(super) struct Own {
    buffer: Vec<u8>,
    sent: usize,
    whole: usize,
    filled: usize,
}

impl Own {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; READ_BYTES], sent: 0, whole: 0, filled: 0 }
    }

    /// Where the next receive goes. Only called with no operation in flight, so growing moves
    /// nothing that the kernel knows.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            let bound = FRAME_BYTES_MAX as usize + 4 + READ_BYTES;
            self.buffer.resize((self.buffer.len() * 2).min(bound), 0);
        }
        &mut self.buffer[self.filled..]
    }

    fn received(&mut self, finder: &mut Finder, n: u32) -> Result<(), FrameTooLong> {
        let from = self.filled;
        self.filled += n as usize;
        let end = finder.feed(&self.buffer[from..self.filled])?;
        if end > 0 {
            self.whole = from + end;
        }
        Ok(())
    }

    fn output(&mut self) -> Output {
        let whole = &self.buffer[self.sent..self.whole];
        Output::Plain(whole.as_ptr(), whole.len() as u32)
    }

    fn sent(&mut self, n: usize) {
        self.sent += n;
        if self.sent == self.whole {
            self.buffer.copy_within(self.whole..self.filled, 0);
            self.filled -= self.whole;
            (self.sent, self.whole) = (0, 0);
        }
    }
}
