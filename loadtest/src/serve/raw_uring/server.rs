//! The loop itself.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd};
use io_uring::{CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, opcode};
use slab::Slab;

use super::Spoken;
use super::answers::{self, Answers};
use super::blocks::{Blocks, GROUP};
use super::bundle::group;
use super::connection::{Connection, Output, Own, Pieces, Store};
use super::modes::{Modes, Receive, Send};
use crate::framing::Framing;

/// Starved connections that are armed in one turn.
const REARM_MAX: usize = 16;

/// `IORING_RECVSEND_POLL_FIRST`: wait for readiness instead of trying first.
const POLL_FIRST: u16 = 1;

/// The upper half of user_data; the lower half is the connection's slot. No generation: a slot is
/// emptied only after the last completion that names it.
#[derive(Clone, Copy)]
enum Kind {
    Accept,
    Receive,
    Send,
    Cancel,
}

fn user_data(kind: Kind, slot: usize) -> u64 {
    (kind as u64) << 32 | slot as u64
}

pub(super) struct Server<'ring> {
    pub(super) submitter: Submitter<'ring>,
    submissions: SubmissionQueue<'ring>,
    completions: CompletionQueue<'ring>,
    listener: TcpListener,
    framing: Framing,
    /// What is answered, instead of what came.
    answers: Option<&'static [u8]>,
    modes: Modes,
    pub(super) connections: Slab<Connection>,
    blocks: Blocks,
    /// Slots to look at before the next enter.
    touched: Vec<usize>,
    /// Slots whose receive found no block.
    starved: VecDeque<usize>,
    /// Slots whose send ends within the enter that submits it, unseen unless it fails.
    immediate: Vec<usize>,
    /// Whether the last enter took all submissions.
    submitted: bool,
    /// What every enter asks for.
    enter_flags: EnterFlags,
    /// An accept is with the kernel; false while there are no descriptors left.
    accepting: bool,
}

impl<'ring> Server<'ring> {
    pub(super) fn new(
        ring: &'ring mut IoUring,
        listener: TcpListener,
        spoken: Spoken,
        modes: Modes,
    ) -> io::Result<Self> {
        let mut enter_flags = EnterFlags::GETEVENTS;
        // A wait for messages is no wait for a disk: leave the kernel's books of that alone.
        enter_flags.set(EnterFlags::NO_IOWAIT, ring.params().is_feature_no_iowait());
        let (mut submitter, submissions, completions) = ring.split();
        let blocks = Blocks::new(modes.block, modes.blocks);
        blocks.register(&submitter)?;
        // Saves a look-up for each enter; an older kernel works without.
        let _ = submitter.register_ring_fd();
        Ok(Self {
            submitter,
            submissions,
            completions,
            listener,
            framing: match spoken {
                Spoken::Frames(framing) => framing,
                Spoken::Http => Framing::Raw,
            },
            answers: (spoken == Spoken::Http).then(answers::bytes),
            modes,
            connections: Slab::new(),
            blocks,
            touched: Vec::new(),
            starved: VecDeque::new(),
            immediate: Vec::new(),
            submitted: true,
            enter_flags,
            accepting: false,
        })
    }

    pub(super) fn run(&mut self) -> io::Result<()> {
        self.accept();
        loop {
            // Starved connections that blocks are there for must not wait for a stranger's event.
            let idle = self.starved.is_empty() || self.blocks.free == 0;
            self.enter(u32::from(idle))?;
            self.completions.sync();
            while let Some(completion) = self.completions.next() {
                self.handle(&completion);
            }
            self.book_immediate();
            self.feed_starved();
            while let Some(slot) = self.touched.pop() {
                self.settle(slot);
            }
            self.blocks.publish();
            self.completions.sync();
        }
    }

    /// Submits everything and waits for `want` completions; deferred work runs in here.
    fn enter(&mut self, want: u32) -> io::Result<()> {
        self.submissions.sync();
        let count = self.submissions.len() as u32;
        let flags = self.enter_flags.bits();
        // SAFETY: no argument is passed, and the entries keep their promise in `push`.
        match unsafe { self.submitter.enter::<libc::sigset_t>(count, want, flags, None) } {
            Ok(_) => {}
            // EBUSY: completions first; EINTR: a signal that does not end the process.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
            Err(error) => return Err(error),
        }
        self.submissions.sync();
        self.submitted = self.submissions.is_empty();
        Ok(())
    }

    /// Queues an entry. What it names lives in the connection's slot, or is the listener.
    fn push(&mut self, entry: &Entry) {
        // SAFETY: addresses in an entry belong to a connection's store. They stay in place until
        // the completion: a slot is emptied only when no operation is in flight, the own buffer
        // grows only between operations, and blocks come home by `put` after their send.
        while unsafe { self.submissions.push(entry) }.is_err() {
            self.enter(0).expect("an enter that only submits fails as a later one would");
        }
    }

    fn handle(&mut self, completion: &cqueue::Entry) {
        let slot = completion.user_data() as u32 as usize;
        let (result, flags) = (completion.result(), completion.flags());
        match completion.user_data() >> 32 {
            kind if kind == Kind::Receive as u64 => self.handle_receive(slot, result, flags),
            kind if kind == Kind::Send as u64 => self.handle_send(slot, result, flags),
            kind if kind == Kind::Accept as u64 => self.handle_accept(result, flags),
            _ => {} // A cancel's own end says nothing that the receive's does not.
        }
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(user_data(Kind::Accept, 0));
        self.push(&entry);
        self.accepting = true;
    }

    fn handle_accept(&mut self, result: i32, flags: u32) {
        self.accepting = cqueue::more(flags);
        if result >= 0 {
            // SAFETY: a completed accept hands out a descriptor that nobody else owns.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            let store = match (self.answers, self.modes.receive) {
                (Some(bytes), _) => Store::Answers(Answers::new(bytes)),
                (None, Receive::Multishot) => Store::Pieces(Box::new(Pieces::new())),
                (None, Receive::Oneshot | Receive::OneshotPollFirst) => Store::Own(Own::new()),
            };
            let slot = self.connections.insert(Connection::new(socket, self.framing, store));
            if self.modes.send == Send::Bundle {
                self.add_bundle(slot);
            }
            self.touch(slot);
        }
        // Without descriptors the next accept waits for a connection to close.
        if !self.accepting && !matches!(-result, libc::EMFILE | libc::ENFILE) {
            self.accept();
        }
    }

    fn handle_receive(&mut self, slot: usize, result: i32, flags: u32) {
        let connection = &mut self.connections[slot];
        connection.receiving = cqueue::more(flags);
        connection.more_waits = cqueue::sock_nonempty(flags);
        let id = cqueue::buffer_select(flags);
        match result {
            1.. => {
                connection.received(result as u32, id, &mut self.blocks);
                if connection.lags() && connection.receiving && !connection.cancelled {
                    connection.cancelled = true;
                    let target = CancelBuilder::user_data(user_data(Kind::Receive, slot));
                    let entry = opcode::AsyncCancel2::new(target).build();
                    self.push(&entry.user_data(user_data(Kind::Cancel, slot)));
                }
            }
            0 => {
                connection.ended = true;
                if let Some(id) = id {
                    self.blocks.take();
                    self.blocks.put(id);
                }
            }
            _ => match -result {
                libc::ENOBUFS => {
                    connection.starved = true;
                    self.starved.push_back(slot);
                }
                libc::EINTR | libc::EAGAIN => {}
                libc::ECANCELED if connection.cancelled => {}
                _ => connection.dead = true,
            },
        }
        let connection = &mut self.connections[slot];
        if !connection.receiving {
            connection.cancelled = false;
        }
        self.touch(slot);
    }

    fn handle_send(&mut self, slot: usize, result: i32, flags: u32) {
        let connection = &mut self.connections[slot];
        // A bundle may end in several parts.
        connection.sending = cqueue::more(flags);
        connection.unseen = false;
        match result {
            1.. => {
                connection.asked -= result as usize;
                connection.patient = connection.asked > 0 && !connection.sending;
                connection.sent(result as usize, &mut self.blocks);
            }
            _ if matches!(-result, libc::EINTR | libc::EAGAIN) => connection.patient = true,
            _ => connection.dead = true,
        }
        if self.connections[slot].patient {
            self.reset_bundle(slot);
        }
        let connection = &mut self.connections[slot];
        // Nearly always there is nothing to do but to wait for the peer.
        if connection.whole() > 0 || connection.wants_receive() || connection.is_over() {
            self.touch(slot);
        }
    }

    fn touch(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        if !connection.touched {
            connection.touched = true;
            self.touched.push(slot);
        }
    }

    /// Starts whatever the connection's state asks for, or ends it.
    fn settle(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        connection.touched = false;
        if connection.is_over() {
            return self.remove(slot);
        }
        if connection.dead {
            if !connection.shut {
                connection.shut = true;
                // Ends the receive and the send in flight; closing alone would not.
                let _ = rustix::net::shutdown(&connection.socket, rustix::net::Shutdown::Both);
            }
            return;
        }
        let send = connection.whole() > 0 && !connection.sending;
        if connection.wants_receive() {
            self.receive(slot);
        }
        if send {
            self.send(slot);
        }
    }

    fn send(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        connection.sending = true;
        let socket = Fd(connection.socket.as_raw_fd());
        let output = connection.output(&self.blocks);
        connection.asked = match output {
            Output::Plain(_, len) => len as usize,
            Output::Bundle(len) | Output::Gathered(_, len) => len,
        };
        // Its end may pass unseen when nothing hangs on it: no rest to send, no receive to arm,
        // no connection to close.
        let last = connection.asked == connection.whole() && connection.receiving;
        let immediate = last && !connection.patient && self.modes.send == Send::Gather;
        // WAITALL: the kernel goes on after a short write, and a write that stays short is a
        // failure, which shows.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let flags = if immediate { flags | libc::MSG_DONTWAIT } else { flags };
        let entry = match output {
            Output::Plain(start, len) => opcode::Send::new(socket, start, len).flags(flags).build(),
            // Not WAITALL: a short bundle must show, see `reset_bundle`.
            Output::Bundle(_) => {
                let flags = libc::MSG_NOSIGNAL;
                opcode::SendBundle::new(socket, group(slot)).flags(flags).build()
            }
            Output::Gathered(header, _) => {
                opcode::SendMsg::new(socket, header).flags(flags as u32).build()
            }
        };
        let entry = entry.user_data(user_data(Kind::Send, slot));
        connection.unseen = immediate;
        if immediate {
            self.immediate.push(slot);
            self.push(&entry.flags(Flags::SKIP_SUCCESS));
        } else {
            self.push(&entry);
        }
    }

    /// Takes note of the sends that the last enter made. They were told not to wait, so they ended
    /// in it; those that took less than all were completed and are no longer `unseen`. A seen end
    /// would make each enter that sends return at once, and the turn's wait take a second one.
    fn book_immediate(&mut self) {
        if !self.submitted {
            return; // The enter did not get so far; the next one will.
        }
        while let Some(slot) = self.immediate.pop() {
            if let Some(&Connection { unseen: true, asked, .. }) = self.connections.get(slot) {
                self.handle_send(slot, asked as i32, 0);
            }
        }
    }

    fn receive(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        connection.receiving = true;
        let socket = Fd(connection.socket.as_raw_fd());
        let poll_first = self.modes.receive == Receive::OneshotPollFirst && !connection.more_waits;
        let entry = match &mut connection.store {
            Store::Pieces(_) | Store::Answers(_) => opcode::RecvMulti::new(socket, GROUP).build(),
            Store::Own(own) => {
                let room = own.room();
                opcode::Recv::new(socket, room.as_mut_ptr(), room.len() as u32)
                    .ioprio(if poll_first { POLL_FIRST } else { 0 })
                    .build()
            }
        };
        self.push(&entry.user_data(user_data(Kind::Receive, slot)));
    }

    /// Arms starved connections again, a few in each turn, once enough blocks are home. Blocks
    /// that wait with unfinished frames or behind a slow peer are copied out for that.
    fn feed_starved(&mut self) {
        if self.starved.is_empty() {
            return;
        }
        if self.blocks.free < self.blocks.half() {
            for (_, connection) in &mut self.connections {
                if let Store::Pieces(pieces) = &mut connection.store {
                    pieces.copy_out(&mut self.blocks);
                }
            }
        }
        // Not more than blocks are there: each one over would only starve again.
        for _ in 0..REARM_MAX.min(self.blocks.free.into()) {
            let Some(slot) = self.starved.pop_front() else { return };
            // The slot may have changed hands meanwhile.
            if self.connections.get(slot).is_some_and(|connection| connection.starved) {
                self.connections[slot].starved = false;
                self.touch(slot);
            }
        }
    }

    fn remove(&mut self, slot: usize) {
        let mut connection = self.connections.remove(slot);
        if let Store::Pieces(pieces) = &mut connection.store {
            pieces.clear(&mut self.blocks);
            if pieces.bundle.is_some() {
                self.submitter.unregister_buf_ring(group(slot)).expect("it was registered");
            }
        }
        drop(connection);
        if !self.accepting {
            self.accept();
        }
    }
}
