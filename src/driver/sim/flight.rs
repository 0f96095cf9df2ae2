//! An operation under way, and the completions that it makes when the world lets it.

use std::mem;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::stream::Readable;
use super::{Id, State};
use crate::driver::operation::{Datagram, Descriptor, Event, Operation, Report, SocketAddress};
use crate::driver::token::{Kind, Token};
use crate::memory::chain::Chain;
use crate::memory::frame::Frame;
use crate::memory::pool::Pool;

/// What a received datagram has before its payload in a block of the real ring: the header
/// (`struct io_uring_recvmsg_out`) and room for an address.
const DATAGRAM_HEAD_BYTES: usize = 16 + 28;

/// An operation from its submission until its last completion was taken.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) token: Token,
    pub(super) socket: Id,
    work: Work,
    /// Nobody has looked at it yet.
    is_fresh: bool,
    /// A late cancel is on its way: the next success is the last.
    pub(super) is_dying: bool,
    /// A send whose success, if it comes within its first enter, ends no wait.
    pub(super) is_lazy: bool,
    /// It has missed the end of its stream: it hears nothing but a cancel.
    is_deaf: bool,
    /// The last completion is made.
    pub(super) has_ended: bool,
}

#[derive(Debug)]
enum Work {
    Accept,
    Receive,
    ReceiveFrom,
    Send(Chain),
    SendTo(Chain, SocketAddr),
    /// The address until the request is sent.
    Connect(Option<SocketAddress>),
}

/// One completion.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) event: Event,
    pub(super) more: bool,
    /// There is more at the socket, but not in this enter.
    pub(super) pauses: bool,
}

impl Step {
    fn last(event: Event) -> Step {
        Step { event, more: false, pauses: false }
    }
}

impl Flight {
    pub(super) fn new(token: Token, socket: Id, operation: Operation) -> Flight {
        let is_lazy = matches!(operation, Operation::Send(_, _, Report::Lazy));
        let work = match operation {
            Operation::Accept(_) => Work::Accept,
            Operation::Receive(_) => Work::Receive,
            Operation::ReceiveFrom(_) => Work::ReceiveFrom,
            Operation::Send(_, chain, _) => Work::Send(chain),
            Operation::SendTo(_, chain, to) => Work::SendTo(chain, to),
            Operation::Connect(_, to) => Work::Connect(Some(to)),
        };
        Flight {
            token,
            socket,
            work,
            is_lazy,
            is_fresh: true,
            is_dying: false,
            is_deaf: false,
            has_ended: false,
        }
    }

    /// Whether an operation may not use this one's slot: it is of another generation or the same
    /// kind, or both have something that the real ring holds in the slot.
    pub(super) fn clashes_with(&self, token: Token) -> bool {
        let holds = |kind| matches!(kind, Kind::Send | Kind::SendTo | Kind::Connect);
        let (ours, others) = (self.token.kind, token.kind);
        self.token.key != token.key || ours == others || holds(ours) && holds(others)
    }

    /// The next completion, if one can be made now.
    pub(super) fn poll(&mut self, state: &mut State, core: usize, pool: &Pool) -> Option<Step> {
        if self.is_deaf {
            return None;
        }
        let is_fresh = mem::replace(&mut self.is_fresh, false);
        let id = self.socket;
        let mut step = match &mut self.work {
            Work::Accept => accept(state, core, id)?,
            Work::Receive => receive(state, id, pool, is_fresh)?,
            Work::ReceiveFrom => receive_from(state, id, pool, is_fresh)?,
            Work::Send(chain) => {
                let result = state.poll_send(id, chain)?;
                Step::last(Event::Sent(result, mem::take(chain)))
            }
            Work::SendTo(chain, to) => {
                let bytes = chain.slices().flatten().copied().collect();
                let result = state.send_datagram(id, bytes, Some(*to));
                Step::last(Event::Sent(result, mem::take(chain)))
            }
            Work::Connect(to) => Step::last(Event::Connected(connect(state, id, to.take())?)),
        };
        if self.is_dying && is_success(&step.event) {
            step.more = false;
            state.counts.lost_cancels += 1;
        } else if step.more && state.random.chance(state.faults.lost_more) {
            step.more = false;
            state.counts.lost_mores += 1;
        }
        if step.more && matches!(self.work, Work::Receive) && state.misses_end(id) {
            state.counts.missed_ends += 1;
            self.is_deaf = true;
        }
        self.has_ended = !step.more;
        Some(step)
    }

    /// The completion of an operation that was cancelled in time.
    pub(super) fn cancel(&mut self) -> Event {
        self.has_ended = true;
        match &mut self.work {
            Work::Accept => Event::Accepted(Err(Errno::CANCELED)),
            Work::Receive => Event::Received(Err(Errno::CANCELED)),
            Work::ReceiveFrom => Event::Datagram(Err(Errno::CANCELED)),
            Work::Send(chain) | Work::SendTo(chain, _) => {
                Event::Sent(Err(Errno::CANCELED), mem::take(chain))
            }
            Work::Connect(_) => Event::Connected(Err(Errno::CANCELED)),
        }
    }
}

fn accept(state: &mut State, core: usize, id: Id) -> Option<Step> {
    let accepted = state.poll_accept(core, id)?;
    let more = accepted.is_ok();
    Some(Step { event: Event::Accepted(accepted), more, pauses: false })
}

fn receive(state: &mut State, id: Id, pool: &Pool, is_fresh: bool) -> Option<Step> {
    // The kernel takes a block before it looks at the socket, when the operation is armed.
    if is_fresh && pool.provided() == 0 {
        return Some(Step::last(Event::Received(Err(starved(state)))));
    }
    let bytes = match state.poll_readable(id)? {
        Readable::Error(errno) => return Some(Step::last(Event::Received(Err(errno)))),
        found if !takes_block(state, pool) => {
            debug_assert_ne!(found, Readable::Bytes(0));
            return Some(Step::last(Event::Received(Err(Errno::NOBUFS))));
        }
        Readable::End => return Some(Step::last(Event::Received(Ok(None)))),
        Readable::Bytes(bytes) => bytes,
    };
    let most = bytes.min(pool.block_bytes() as usize);
    let is_short = most > 1 && state.random.chance(state.faults.short_receive);
    let take = if is_short { state.random.up_to(most - 1) } else { most };
    state.counts.short_receives += u64::from(is_short);
    let lease = pool.fill(state.peek(id, take)).expect("takes_block has looked");
    state.consume(id, take);
    Some(Step { event: Event::Received(Ok(Some(lease))), more: true, pauses: is_short })
}

fn receive_from(state: &mut State, id: Id, pool: &Pool, is_fresh: bool) -> Option<Step> {
    if is_fresh && pool.provided() == 0 {
        return Some(Step::last(Event::Datagram(Err(starved(state)))));
    }
    if state.has_datagram(id) && !takes_block(state, pool) {
        return Some(Step::last(Event::Datagram(Err(Errno::NOBUFS))));
    }
    let (from, payload) = match state.take_datagram(id)? {
        Ok(datagram) => datagram,
        Err(errno) => return Some(Step::last(Event::Datagram(Err(errno)))),
    };
    let mut block = vec![0; DATAGRAM_HEAD_BYTES];
    block.extend_from_slice(&payload);
    let truncated = block.len() > pool.block_bytes() as usize;
    let frame = Frame::whole(pool.fill(&block).expect("takes_block has looked"));
    let payload = frame.slice(DATAGRAM_HEAD_BYTES..);
    let event = Event::Datagram(Ok(Datagram { from, payload, truncated }));
    Some(Step { event, more: true, pauses: false })
}

/// Whether the kernel gets a block for what it has found.
fn takes_block(state: &mut State, pool: &Pool) -> bool {
    if pool.provided() == 0 {
        starved(state);
        return false;
    }
    let fails = state.random.chance(state.faults.no_buffers);
    state.counts.no_buffers += u64::from(fails);
    !fails
}

fn starved(state: &mut State) -> Errno {
    state.counts.starved += 1;
    Errno::NOBUFS
}

/// Sends the request the first time, and sees how it went.
fn connect(state: &mut State, id: Id, to: Option<SocketAddress>) -> Option<Result<(), Errno>> {
    if let Some(to) = to
        && let Err(errno) = state.connect(id, &to)
    {
        return Some(Err(errno));
    }
    state.poll_connect(id)
}

fn is_success(event: &Event) -> bool {
    match event {
        Event::Accepted(result) => result.is_ok(),
        Event::Received(result) => result.is_ok(),
        Event::Datagram(result) => result.is_ok(),
        Event::Sent(result, _) => result.is_ok(),
        Event::Connected(result) => result.is_ok(),
    }
}

/// The socket that an operation is on.
pub(super) fn target(operation: &Operation) -> Descriptor {
    match *operation {
        Operation::Accept(socket)
        | Operation::Receive(socket)
        | Operation::ReceiveFrom(socket)
        | Operation::Send(socket, ..)
        | Operation::SendTo(socket, ..)
        | Operation::Connect(socket, _) => socket,
    }
}

/// What a completion adds to the world's digest.
pub(super) fn digest(event: &Event) -> u64 {
    let failed = |errno: &Errno| u64::from(errno.raw_os_error().unsigned_abs()) << 48;
    match event {
        Event::Accepted(Ok(socket)) => u64::from(socket.0.unsigned_abs()),
        Event::Received(Ok(Some(lease))) => sum(lease.bytes()),
        Event::Received(Ok(None)) | Event::Connected(Ok(())) => 1,
        Event::Datagram(Ok(datagram)) => sum(&datagram.payload),
        Event::Sent(Ok(sent), _) => *sent as u64,
        Event::Accepted(Err(errno))
        | Event::Received(Err(errno))
        | Event::Datagram(Err(errno))
        | Event::Sent(Err(errno), _)
        | Event::Connected(Err(errno)) => failed(errno),
    }
}

/// FNV-1a.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
