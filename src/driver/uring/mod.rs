//! The real kernel: one io_uring for each core.
//!
//! ```text
//!   submit(token, operation) ──▶ submission queue ─┐
//!                                                   enter (one a turn: submit + wait)
//!   reap() ◀── typed completions ◀── completion queue ┘
//! ```
//! The buffers of an operation live in `held`, at the slot of its token, from submission to its
//! last completion; a future that is dropped leaves them alone. `docs/UNSAFE.md` has the table.
#![allow(unsafe_code)] // Entries point at memory that the kernel uses later; see docs/UNSAFE.md.

mod held;
mod setup;
pub(crate) mod sockets;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::event::EventfdFlags;
use rustix::io::Errno;

use self::held::{Held, Spare};
pub(crate) use self::setup::RingOptions;
use self::setup::build;
use super::bell::Bell;
use super::operation::{Completion, Descriptor, Event, Operation, Report, Wait};
use super::token::{Kind, Token};
use crate::clock::Now;
use crate::memory::pool::Pool;
use crate::memory::slots::Key;

/// The buffer group of the core's pool. A ring has just this one.
const GROUP: u16 = 0;
/// Deferred completions are asked for without waiting while there is work; the kernel hands out
/// about twenty an enter (`IO_LOCAL_TW_DEFAULT_MAX`).
const GETEVENTS: u32 = 1;
const EXT_ARG: u32 = 8;
/// A send above this is reported promptly: what it holds should go home soon.
const LAZY_BYTES_MAX: usize = 64 * 1024;
/// How long a dropped ring waits for the last completions before it gives its memory up.
const DRAIN: Duration = Duration::from_secs(2);

/// A core's ring, with all that the kernel holds for it.
pub(crate) struct Ring {
    ring: IoUring,
    pool: Pool,
    bell: Arc<Bell>,
    /// By slot of the token: what an operation in flight owns.
    held: Vec<Held>,
    /// Gathered sends that are at rest, for the next ones.
    spare: Spare,
    /// The shape of a received datagram; the kernel copies it when the operation is armed.
    datagram: Box<libc::msghdr>,
    /// Sends whose success makes no completion of the kernel's; those of the last enter.
    lazy: Vec<Token>,
    /// Operations whose last completion has not come.
    in_flight: u32,
    closing: bool,
    random: u64,
}

impl Ring {
    /// Opens a ring on this thread, which must be the one that uses it.
    pub(crate) fn new(options: RingOptions, pool: Pool) -> io::Result<Ring> {
        let ring = build(options)?;
        let (address, entries) = pool.ring();
        // SAFETY: the buffer ring lives as long as the pool, of which this struct owns a handle
        // until after the ring is closed (field order in `drop`).
        unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, GROUP, 0)? };
        pool.provide();
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
        let mut this = Ring {
            ring,
            pool,
            bell: Arc::new(Bell::event(event)),
            held: Vec::new(),
            spare: Spare::default(),
            datagram: Box::new(held::datagram_shape()),
            lazy: Vec::new(),
            in_flight: 0,
            closing: false,
            random: u64::from_ne_bytes(seed),
        };
        this.arm_bell();
        Ok(this)
    }

    pub(crate) fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    /// Time since the first ring of the process asked. All cores count from the same moment: what
    /// limits and bans remember on one is looked at on others.
    pub(crate) fn now(&self) -> Now {
        Now::from_nanos(super::start().elapsed().as_nanos() as u64)
    }

    /// Time that the calling thread has had a processor.
    pub(crate) fn cpu_time(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default() // it never goes back
    }

    /// A number that nobody can guess from the ones before by chance (xorshift64*, seeded by the
    /// kernel). Not for keys.
    pub(crate) fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Operations whose last completion has not come, the bell's not counted.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight - u32::from(!self.closing)
    }

    /// Queues an operation. It reaches the kernel at the next enter, or now if the queue is full.
    pub(crate) fn submit(&mut self, token: Token, operation: Operation) {
        let index = token.key.index() as usize;
        if index >= self.held.len() {
            if index >= self.held.capacity() {
                // By a quarter, as the tables whose slots these are.
                self.held.reserve_exact(index + 1 - self.held.len() + index / 4);
            }
            self.held.resize_with(index + 1, || Held::Nothing);
        }
        let entry = match operation {
            Operation::Accept(Descriptor(fd)) => {
                opcode::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC).build()
            }
            Operation::Receive(Descriptor(fd)) => opcode::RecvMulti::new(Fd(fd), GROUP).build(),
            Operation::ReceiveFrom(Descriptor(fd)) => {
                opcode::RecvMsgMulti::new(Fd(fd), &*self.datagram, GROUP).build()
            }
            Operation::Send(Descriptor(fd), chain, report) => {
                let lazy = report == Report::Lazy && chain.len() <= LAZY_BYTES_MAX;
                if lazy {
                    self.lazy.push(token);
                }
                let (held, entry) = held::send(fd, chain, lazy, &mut self.spare);
                self.held[index] = held;
                entry
            }
            Operation::SendTo(Descriptor(fd), chain, to) => {
                let (held, entry) = held::send_to(fd, chain, to, &mut self.spare);
                self.held[index] = held;
                entry
            }
            Operation::Connect(Descriptor(fd), to) => match held::address(&to) {
                Ok(address) => {
                    let entry = opcode::Connect::new(
                        Fd(fd),
                        address.as_ptr().cast(),
                        address.addr_len() as libc::socklen_t,
                    );
                    self.held[index] = Held::SocketAddress(address);
                    entry.build()
                }
                // The kernel refuses a connect without an address by the same completion path.
                Err(_) => opcode::Connect::new(Fd(fd), std::ptr::null(), 0).build(),
            },
        };
        self.push(token, entry);
    }

    /// Cancels one operation; its last completion still comes.
    pub(crate) fn cancel(&mut self, target: Token) {
        let entry = opcode::AsyncCancel::new(target.to_u64()).build();
        self.push(driver_token(Kind::Cancel), entry);
    }

    /// Cancels every operation on the socket; their last completions still come.
    pub(crate) fn cancel_all(&mut self, socket: Descriptor) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(socket.0)).all()).build();
        self.push(driver_token(Kind::Cancel), entry);
    }

    /// Closes a socket on which no operation is in flight.
    pub(crate) fn close(&mut self, socket: Descriptor) {
        self.push(driver_token(Kind::Close), opcode::Close::new(Fd(socket.0)).build());
    }

    fn push(&mut self, token: Token, entry: squeue::Entry) {
        let entry = entry.user_data(token.to_u64());
        self.in_flight += 1;
        loop {
            // SAFETY: what the entry points at lies in `held` or `datagram`, none of which
            // moves or goes before the operation's last completion (`finish`, `drop`).
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: hand it over now. A signal may interrupt that, so try again.
            let _ = self.ring.submit();
        }
    }

    /// One poll hears of every ring (edges, kernel 5.13), and nobody reads the counter: a read is
    /// made anew for each sleep, tries in vain and arms a poll of its own.
    fn arm_bell(&mut self) {
        let fd = self.bell.descriptor().expect("a ring's bell is an eventfd").as_raw_fd();
        let poll = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build();
        self.push(driver_token(Kind::Bell), poll);
    }

    /// Whether an enter would bring completions at once. Reads memory only.
    pub(crate) fn has_news(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.ring.submission().taskrun()
    }

    /// Whether submissions wait to be handed over.
    pub(crate) fn has_queued(&mut self) -> bool {
        !self.ring.submission().is_empty()
    }

    /// Hands the submissions to the kernel and waits as told. Makes no system call when there is
    /// nothing to hand over, to fetch or to wait for.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let submission = self.ring.submission();
        let to_submit = submission.len() as u32;
        let has_news = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        let ready = !self.ring.completion().is_empty();
        let wait = if ready { Wait::Poll } else { wait };
        let timespec = match wait {
            Wait::Poll if to_submit == 0 && !has_news => return Ok(()),
            Wait::For(duration) => Timespec::from(duration),
            Wait::Poll | Wait::Forever => Timespec::new(),
        };
        let (want, flags) = if wait == Wait::Poll { (0, GETEVENTS) } else { (1, GETEVENTS) };
        let result = if let Wait::For(_) = wait {
            let args = SubmitArgs::new().timespec(&timespec);
            // SAFETY: EXT_ARG says that the argument is of this type; it lives across the call.
            unsafe { self.ring.submitter().enter(to_submit, want, flags | EXT_ARG, Some(&args)) }
        } else {
            // SAFETY: no argument is passed.
            unsafe { self.ring.submitter().enter::<libc::sigset_t>(to_submit, want, flags, None) }
        };
        match result {
            Ok(_) => Ok(()),
            // Timed out, interrupted, or the completion queue must be emptied first: all are
            // settled by the turn that follows.
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::TIME | Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes what has completed.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        let mut is_deaf = false;
        for entry in self.ring.completion() {
            let token = Token::from_u64(entry.user_data());
            let more = cqueue::more(entry.flags());
            self.in_flight -= u32::from(!more);
            match token.kind {
                Kind::Bell => is_deaf |= !more,
                Kind::Cancel | Kind::Close => {}
                _ => {
                    let event =
                        finish(token, &entry, &self.pool, &mut self.held, &mut self.spare, more);
                    into.push(Completion { token, more, event });
                }
            }
        }
        self.reap_lazy(into);
        if is_deaf && !self.closing {
            self.arm_bell();
        }
    }

    /// Completes the lazy sends of which the kernel has said nothing. It performs each of them
    /// within the enter that hands it over (MSG_DONTWAIT), and makes a completion only of what
    /// failed or was short (CQE_SKIP_SUCCESS): silence is success, once everything was handed over
    /// and no completion is held back.
    fn reap_lazy(&mut self, into: &mut Vec<Completion>) {
        if self.lazy.is_empty() {
            return;
        }
        let submission = self.ring.submission();
        let is_settled = submission.is_empty() && !submission.cq_overflow();
        drop(submission);
        if !is_settled {
            let held = &self.held;
            return self.lazy.retain(|token| held[token.key.index() as usize].is_lazy());
        }
        for token in self.lazy.drain(..) {
            let held = &mut self.held[token.key.index() as usize];
            if held.is_lazy() {
                let chain = held.take_chain(&mut self.spare);
                let event = Event::Sent(Ok(chain.len()), chain);
                self.in_flight -= 1;
                into.push(Completion { token, more: false, event });
            }
        }
    }
}

/// The token of an operation that is the driver's own.
fn driver_token(kind: Kind) -> Token {
    Token { kind, key: Key::from_u64(0) }
}

/// What a completion means; frees or returns what the operation held if it was the last.
fn finish(
    token: Token,
    entry: &cqueue::Entry,
    pool: &Pool,
    held: &mut [Held],
    spare: &mut Spare,
    more: bool,
) -> Event {
    let result = match entry.result() {
        failed if failed < 0 => Err(Errno::from_raw_os_error(-failed)),
        done => Ok(done as u32),
    };
    let block = cqueue::buffer_select(entry.flags());
    let held = &mut held[token.key.index() as usize];
    match token.kind {
        Kind::Accept => Event::Accepted(result.map(|fd| Descriptor(fd as i32))),
        Kind::Receive => Event::Received(result.map(|len| {
            // SAFETY: the kernel names the block that it took and filled for this completion.
            let lease = block.map(|id| unsafe { pool.received(id, len) });
            lease.filter(|_| len > 0)
        })),
        Kind::ReceiveFrom => Event::Datagram(result.and_then(|len| {
            let id = block.ok_or(Errno::NOBUFS)?;
            // SAFETY: as for `Receive`.
            held::datagram(unsafe { pool.received(id, len) })
        })),
        Kind::Send | Kind::SendTo => {
            debug_assert!(!more, "a send without zero copy completes once");
            let chain = held.take_chain(spare);
            Event::Sent(result.map(|sent| sent as usize), chain)
        }
        Kind::Connect => {
            *held = Held::Nothing;
            Event::Connected(result.map(drop))
        }
        Kind::Cancel | Kind::Close | Kind::Bell => unreachable!("the driver's own"),
    }
}

impl Drop for Ring {
    /// Cancels what is in flight and waits for it. Buffers that the kernel still holds after that
    /// are leaked: memory lost is better than memory written to by a stranger.
    fn drop(&mut self) {
        self.closing = true;
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(driver_token(Kind::Cancel), cancel);
        let deadline = Instant::now() + DRAIN;
        let mut completions = Vec::new();
        while self.in_flight > 0 && Instant::now() < deadline {
            if self.enter(Wait::For(Duration::from_millis(10))).is_err() {
                break;
            }
            self.reap(&mut completions);
            for completion in completions.drain(..) {
                if let Event::Accepted(Ok(Descriptor(fd))) = completion.event {
                    // SAFETY: just accepted, and nobody else has seen it.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        // A registered descriptor would keep the ring until its thread ends.
        let _ = self.ring.submitter().unregister_ring_fd();
        if self.in_flight > 0 {
            tracing::error!(operations = self.in_flight, "ring not drained: its memory is leaked");
            self.pool.leak();
            std::mem::forget(std::mem::take(&mut self.held));
        }
    }
}
