//! The one file of the generator with unsafe code: the ring with the buffers that the kernel reads
//! and writes, and what a child process does between fork and exec.
//!
//! ```text
//!              receive ──────────────► kernel writes   Slot::received[filled..]
//!   Slot ──────┤
//!              send ─────────────────► kernel reads    Slot::sending[sent..]
//! ```
//! A buffer belongs to its slot, and a slot lives until the ring is gone: while an operation is in
//! flight nothing here moves, grows or frees its buffer. That makes the outside of this file safe.

// The kernel works on these buffers by address; no safe wrapper of the ring exists.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Do not try at once, wait for readiness first: a reply is never there when its receive is armed.
const RECEIVE_POLL_FIRST: u16 = 1;

/// A peer that is gone is an error of the send, not a signal.
const SEND_NO_SIGNAL: i32 = 0x4000;

/// Readiness to write, which ends a connect.
const POLL_OUT: u32 = 0x4;

/// The kernel's own bound for completion queues.
const COMPLETIONS_MAX: u32 = 65_536;

/// How long the end waits for operations in flight before their buffers are given up.
const DRAIN_ROUNDS: u32 = 100;

/// What the kernel finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connect ended, well or not; ask the socket.
    Connected,
    /// So many bytes came; 0 is the peer's end, negative an errno.
    Received(i32),
    /// All bytes of the last [`Ring::send`] are gone: 0, or a negative errno.
    Sent(i32),
}

const CONNECT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;

/// A socket with its two buffers.
struct Slot {
    socket: OwnedFd,
    received: Box<[u8]>,
    taken: usize,
    filled: usize,
    sending: Vec<u8>,
    sent: usize,
    is_receiving: bool,
    is_sending: bool,
}

/// A ring and the sockets that it drives, each known by its number.
pub struct Ring {
    ring: IoUring,
    slots: Vec<Slot>,
    in_flight: usize,
    /// Whether something asked for must reach the kernel at once.
    is_pressing: bool,
    completions: VecDeque<cqueue::Entry>,
}

impl Ring {
    /// A ring for so many sockets, to be used by this thread only.
    ///
    /// # Errors
    /// The kernel's, worded with its remedy.
    pub fn new(sockets: usize) -> io::Result<Self> {
        let completions = u32::try_from(sockets.saturating_mul(2))
            .unwrap_or(COMPLETIONS_MAX)
            .clamp(1024, COMPLETIONS_MAX)
            .next_power_of_two();
        let build = |is_deferred: bool| {
            let mut builder = IoUring::builder();
            builder.setup_cqsize(completions);
            if is_deferred {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            }
            builder.build(512)
        };
        // Deferred task work came with 6.1; without it the ring is only slower.
        let ring = build(true).or_else(|_| build(false)).map_err(worded)?;
        let completions = VecDeque::with_capacity(completions as usize);
        Ok(Self {
            ring,
            slots: Vec::with_capacity(sockets),
            in_flight: 0,
            is_pressing: false,
            completions,
        })
    }

    /// Adds a socket with a receive buffer of `receive_bytes`; returns its number.
    pub fn add(&mut self, socket: OwnedFd, receive_bytes: usize) -> usize {
        // Zeroed memory straight from the kernel: pages that are never received into cost nothing.
        let received = vec![0; receive_bytes].into_boxed_slice();
        self.slots.push(Slot {
            socket,
            received,
            taken: 0,
            filled: 0,
            sending: Vec::new(),
            sent: 0,
            is_receiving: false,
            is_sending: false,
        });
        self.slots.len() - 1
    }

    /// The socket of a slot.
    pub fn socket(&self, slot: usize) -> &OwnedFd {
        &self.slots[slot].socket
    }

    /// Asks for one [`Event::Connected`] when a socket that began to connect is done with it.
    pub fn wait_connected(&mut self, slot: usize) {
        let fd = Fd(self.slots[slot].socket.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, POLL_OUT).build();
        // SAFETY: the entry names a descriptor and no memory; the slot keeps the descriptor open
        // until the ring is gone.
        unsafe { self.push(entry, CONNECT, slot) };
    }

    /// Asks for one [`Event::Received`]; bytes that were not consumed stay in front. If none is
    /// awaited, the kernel hears of it with the next send, which saves a call for each reply.
    pub fn receive(&mut self, slot: usize, is_awaited: bool) {
        self.is_pressing |= is_awaited;
        let state = &mut self.slots[slot];
        assert!(!state.is_receiving, "one receive at a time owns the buffer");
        state.received.copy_within(state.taken..state.filled, 0);
        state.filled -= state.taken;
        state.taken = 0;
        let room = &mut state.received[state.filled..];
        assert!(!room.is_empty(), "a receive buffer holds at least one frame");
        let (pointer, length) = (room.as_mut_ptr(), room.len() as u32);
        state.is_receiving = true;
        let entry = opcode::Recv::new(Fd(state.socket.as_raw_fd()), pointer, length)
            .ioprio(RECEIVE_POLL_FIRST)
            .build();
        // SAFETY: `pointer` and `length` lie within the slot's boxed buffer, which is neither
        // moved nor freed before the ring is gone, and `is_receiving` keeps everybody from its
        // free part until this operation's completion.
        unsafe { self.push(entry, RECEIVE, slot) };
    }

    /// The bytes that came and were not consumed yet.
    #[inline]
    pub fn received(&self, slot: usize) -> &[u8] {
        let state = &self.slots[slot];
        &state.received[state.taken..state.filled]
    }

    /// Whether no more can be received before something is consumed.
    #[inline]
    pub fn is_full(&self, slot: usize) -> bool {
        let state = &self.slots[slot];
        state.filled - state.taken == state.received.len()
    }

    /// Gives the first `bytes` of what was received back.
    #[inline]
    pub fn consume(&mut self, slot: usize, bytes: usize) {
        let state = &mut self.slots[slot];
        assert!(state.taken + bytes <= state.filled, "no more can be consumed than came");
        state.taken += bytes;
    }

    /// Whether the last send is still under way.
    #[inline]
    pub fn is_sending(&self, slot: usize) -> bool {
        self.slots[slot].is_sending
    }

    /// Sends all of `bytes` and asks for one [`Event::Sent`]. The vector is exchanged for the
    /// empty one of the send before, so that two of them serve a connection for ever.
    pub fn send(&mut self, slot: usize, bytes: &mut Vec<u8>) {
        let state = &mut self.slots[slot];
        assert!(!state.is_sending, "one send at a time keeps the order");
        mem::swap(&mut state.sending, bytes);
        bytes.clear();
        state.sent = 0;
        state.is_sending = true;
        self.push_send(slot);
    }

    /// Hands what was asked for to the kernel; waits for nothing.
    ///
    /// # Errors
    /// The kernel's; an interrupted call is none.
    pub fn submit(&mut self) -> io::Result<()> {
        self.is_pressing = false;
        ended(self.ring.submit())
    }

    /// Hands over what was asked for and waits for an event, at most so long.
    ///
    /// # Errors
    /// The kernel's; the end of the time and an interrupted call are none.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        if !self.completions.is_empty() || !self.ring.completion().is_empty() {
            return self.submit();
        }
        self.is_pressing = false;
        let timeout = Timespec::from(at_most);
        ended(self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout)))
    }

    /// Hands over what is pressing and looks for events without sleeping; without a system call
    /// when there is neither.
    ///
    /// # Errors
    /// The kernel's.
    #[inline]
    pub fn poll(&mut self) -> io::Result<bool> {
        if self.is_pressing || self.ring.submission().taskrun() {
            self.submit()?;
        }
        Ok(!self.completions.is_empty() || !self.ring.completion().is_empty())
    }

    /// The next event and its socket.
    #[inline]
    pub fn next_event(&mut self) -> Option<(usize, Event)> {
        loop {
            if self.completions.is_empty() {
                self.completions.extend(self.ring.completion());
            }
            let completion = self.completions.pop_front()?;
            if let Some(event) = self.finish(&completion) {
                return Some(event);
            }
        }
    }

    /// Books a completion; none when it only led to the next part of a send.
    fn finish(&mut self, completion: &cqueue::Entry) -> Option<(usize, Event)> {
        self.in_flight -= 1;
        let slot = (completion.user_data() >> 2) as usize;
        let result = completion.result();
        let state = &mut self.slots[slot];
        match completion.user_data() & 3 {
            CONNECT => Some((slot, Event::Connected)),
            RECEIVE => {
                state.is_receiving = false;
                state.filled += usize::try_from(result).unwrap_or(0);
                Some((slot, Event::Received(result)))
            }
            _ => {
                state.sent += usize::try_from(result).unwrap_or(0);
                if result > 0 && state.sent < state.sending.len() {
                    self.push_send(slot);
                    return None;
                }
                state.is_sending = false;
                Some((slot, Event::Sent(result.min(0))))
            }
        }
    }

    fn push_send(&mut self, slot: usize) {
        self.is_pressing = true;
        let state = &mut self.slots[slot];
        let rest = &state.sending[state.sent..];
        let entry =
            opcode::Send::new(Fd(state.socket.as_raw_fd()), rest.as_ptr(), rest.len() as u32)
                .flags(SEND_NO_SIGNAL)
                .build();
        // SAFETY: `rest` lies within the slot's vector, which `is_sending` keeps from being
        // changed or exchanged until this operation's completion, and the slot from being freed.
        unsafe { self.push(entry, SEND, slot) };
    }

    /// # Safety
    /// What the entry points to stays valid and untouched until its completion.
    unsafe fn push(&mut self, entry: squeue::Entry, kind: u64, slot: usize) {
        let entry = entry.user_data((slot as u64) << 2 | kind);
        self.in_flight += 1;
        loop {
            // SAFETY: passed on to the caller of this function.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // A full queue empties with one submit; events wait in our own queue meanwhile, so
            // that the kernel's cannot be full.
            self.completions.extend(self.ring.completion());
            self.submit().expect("a ring that was set up accepts submissions");
        }
    }
}

impl Drop for Ring {
    /// Ends every operation before the buffers go: a socket that is shut down completes them.
    fn drop(&mut self) {
        for slot in &self.slots {
            // A socket that is not connected has nothing in flight but a poll, which it ends too.
            let _ = rustix::net::shutdown(&slot.socket, rustix::net::Shutdown::Both);
        }
        for _ in 0..DRAIN_ROUNDS {
            while self.next_event().is_some() {}
            if self.in_flight == 0 || self.wait(Duration::from_millis(10)).is_err() {
                break;
            }
        }
        if self.in_flight > 0 {
            // The kernel may still write: memory that is lost at the end of the program is the
            // lesser evil.
            mem::forget(mem::take(&mut self.slots));
        }
    }
}

/// Lets a child run on one core, open as many descriptors as it may, and die with the thread that
/// started it.
pub fn prepare_child(command: &mut Command, core: Option<usize>) {
    let set_up = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let limit = getrlimit(Resource::Nofile);
        // A child that keeps the lower limit is still a server.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        if let Some(core) = core {
            let mut cores = CpuSet::new();
            cores.set(core);
            sched_setaffinity(None, &cores)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; the closure makes
    // system calls and uses memory on its stack only.
    unsafe { command.pre_exec(set_up) };
}

fn ended(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        // ETIME: the time to wait is over. EINTR: a signal came; the caller looks at its flag.
        // EBUSY: completions must be taken first, which the caller does next.
        Err(error) if matches!(error.raw_os_error(), Some(62 | 4 | 16)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn worded(error: io::Error) -> io::Error {
    let remedy = match error.raw_os_error() {
        Some(1 | 13) => {
            "io_uring is forbidden here; allow it (sysctl kernel.io_uring_disabled=0, or a seccomp profile that permits it)"
        }
        Some(38) => "this kernel has no io_uring; Linux 6.1 or newer is needed",
        Some(12) => "the locked-memory limit is too small for a ring; raise it (ulimit -l)",
        _ => "the ring could not be set up",
    };
    io::Error::new(error.kind(), format!("{remedy}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn next(ring: &mut Ring) -> (usize, Event) {
        for _ in 0..100 {
            if let Some(event) = ring.next_event() {
                return event;
            }
            ring.wait(Duration::from_millis(50)).expect("waiting works");
        }
        panic!("no event in five seconds");
    }

    #[test]
    fn bytes_go_out_and_come_back_in_order() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut ring = Ring::new(1).expect("a ring");
        let slot = ring.add(ours.into(), 8);
        ring.receive(slot, true);
        ring.send(slot, &mut b"hello".to_vec());
        assert!(ring.is_sending(slot));
        assert_eq!(next(&mut ring), (slot, Event::Sent(0)));
        let mut got = [0; 5];
        theirs.read_exact(&mut got).expect("what was sent");
        assert_eq!(&got, b"hello");
        theirs.write_all(b"abcdef").expect("room in the socket");
        assert_eq!(next(&mut ring), (slot, Event::Received(6)));
        ring.consume(slot, 4);
        ring.receive(slot, true);
        assert_eq!(ring.received(slot), b"ef", "what was not consumed moves to the front");
        drop(theirs);
        assert_eq!(next(&mut ring), (slot, Event::Received(0)));
    }

    #[test]
    fn a_send_larger_than_the_socket_goes_out_whole() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut ring = Ring::new(1).expect("a ring");
        let slot = ring.add(ours.into(), 8);
        let bytes: Vec<u8> = (0..4_000_000_u32).map(|i| (i / 7) as u8).collect();
        ring.send(slot, &mut bytes.clone());
        ring.submit().expect("a submit");
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; 4_000_000];
            theirs.read_exact(&mut got).map(|()| got)
        });
        assert_eq!(next(&mut ring), (slot, Event::Sent(0)));
        assert!(reader.join().expect("the reader ends").expect("all bytes come") == bytes);
    }

    #[test]
    fn a_ring_with_operations_in_flight_ends() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut ring = Ring::new(1).expect("a ring");
        let slot = ring.add(ours.into(), 64);
        ring.receive(slot, true);
        ring.submit().expect("a submit");
        drop(ring);
    }
}
