//! Streams, as TCP and Unix sockets have them, from their connection to their close.
//!
//! ```text
//!   sender                          network                          receiver
//!   send ── as much as there is room ──▶ segments ──▶ inbox ──▶ receive
//!             room = socket_bytes_max - coming - inbox
//!             ◀──────────────── room grows, sends go on ──────────────┘
//! ```
//! A send that found no room goes on when there is half as much of it as is used, as in Linux
//! (`sk_stream_is_writeable`): until then a slow reader's progress shows in `unsent` only.
//! Bytes are counted at the receiver from the moment they are sent, so a reader that does not read
//! stops its peer. The end and a reset travel in order behind the bytes.

use std::collections::VecDeque;
use std::net::IpAddr;

use rustix::io::Errno;

use super::network::Delivery;
use super::{Id, Role, State};
use crate::clock::Now;
use crate::driver::operation::{Shutdown, SocketAddress};
use crate::memory::chain::Chain;

/// At most this many pieces leave in one send, as in the real ring.
const PIECES_MAX: usize = 256;

/// One end of a connection, or of one to be.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) local: SocketAddress,
    pub(super) remote: SocketAddress,
    pub(super) phase: Phase,
    /// The other end, while it is open.
    pub(super) peer: Option<Id>,
    inbox: VecDeque<u8>,
    /// Bytes under way to the inbox.
    coming: usize,
    /// A send found no room, and waits for enough of it.
    is_choked: bool,
    /// The peer's end was received.
    has_ended: bool,
    /// Reported once, to whoever asks first.
    pub(super) error: Option<Errno>,
    is_write_shut: bool,
    is_read_shut: bool,
    pub(super) is_abortive: bool,
    /// When the last thing that left here arrives; nothing overtakes it.
    pub(super) last_arrival: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Connected,
    Refused(Errno),
    /// Reset by either end.
    Dead,
}

impl Stream {
    pub(super) fn new(
        local: SocketAddress,
        remote: SocketAddress,
        phase: Phase,
        peer: Option<Id>,
    ) -> Stream {
        Stream {
            local,
            remote,
            phase,
            peer,
            inbox: VecDeque::new(),
            coming: 0,
            is_choked: false,
            has_ended: false,
            error: None,
            is_write_shut: false,
            is_read_shut: false,
            is_abortive: false,
            last_arrival: Now::START,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether nothing comes after the bytes that are here.
    fn is_at_end(&self) -> bool {
        self.has_ended || self.error.is_some() || self.is_read_shut || self.phase == Phase::Dead
    }
}

/// What a receive would find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    Bytes(usize),
    End,
    Error(Errno),
}

impl State {
    /// The stream, if the socket is still there and is one.
    pub(super) fn stream(&mut self, id: Id) -> Option<&mut Stream> {
        match &mut self.sockets.get_mut(&id)?.role {
            Role::Stream(stream) => Some(stream),
            Role::Fresh { .. } | Role::Listener(_) | Role::Datagram(_) => None,
        }
    }

    /// What a receive would find, in the order in which Linux looks: bytes, the end, an error. An
    /// error that is found is reported and gone.
    pub(super) fn poll_readable(&mut self, id: Id) -> Option<Readable> {
        let Some(stream) = self.stream(id) else { return Some(Readable::Error(Errno::NOTCONN)) };
        if !stream.inbox.is_empty() {
            Some(Readable::Bytes(stream.inbox.len()))
        } else if stream.has_ended {
            Some(Readable::End)
        } else if let Some(errno) = stream.error.take() {
            Some(Readable::Error(errno))
        } else if stream.is_read_shut || stream.phase == Phase::Dead {
            Some(Readable::End)
        } else {
            None
        }
    }

    /// Whether [`State::poll_readable`] would find something; reports nothing.
    pub(super) fn is_readable(&mut self, id: Id) -> bool {
        self.stream(id).is_none_or(|stream| !stream.inbox.is_empty() || stream.is_at_end())
    }

    /// Whether the receive that has taken the last bytes misses the end that came with them.
    pub(super) fn misses_end(&mut self, id: Id) -> bool {
        let stream = self.stream(id);
        let is_last = stream.is_some_and(|stream| stream.inbox.is_empty() && stream.is_at_end());
        is_last && self.random.chance(self.faults.missed_end)
    }

    /// The first `len` bytes of those that wait.
    pub(super) fn peek(&mut self, id: Id, len: usize) -> &[u8] {
        let stream = self.stream(id).expect("poll_readable has found bytes");
        &stream.inbox.make_contiguous()[..len]
    }

    /// Drops the first `len` bytes: they were received, and the peer may send as many.
    pub(super) fn consume(&mut self, id: Id, len: usize) {
        let stream = self.stream(id).expect("poll_readable has found bytes");
        stream.inbox.drain(..len);
        if let Some(peer) = stream.peer {
            self.mark(peer);
        }
    }

    /// Bytes that were sent and that the peer has not read.
    pub(super) fn unsent(&mut self, id: Id) -> usize {
        let peer = self.stream(id).and_then(|stream| stream.peer);
        let peer = peer.and_then(|peer| self.stream(peer));
        peer.map_or(0, |peer| peer.inbox.len() + peer.coming)
    }

    /// Sends what there is room for; `None` when there is none.
    pub(super) fn poll_send(&mut self, id: Id, chain: &Chain) -> Option<Result<usize, Errno>> {
        if let Role::Datagram(_) = self.socket(id).role {
            return Some(self.send_datagram(id, bytes_of(chain, chain.len()), None));
        }
        let room = self.faults.socket_bytes_max;
        let Some(stream) = self.stream(id) else { return Some(Err(Errno::PIPE)) };
        if let Some(errno) = stream.error.take() {
            return Some(Err(errno));
        }
        match stream.phase {
            Phase::Connecting => return None,
            Phase::Connected if !stream.is_write_shut => {}
            Phase::Connected | Phase::Refused(_) | Phase::Dead => return Some(Err(Errno::PIPE)),
        }
        let Some(peer) = stream.peer else { return Some(Err(Errno::PIPE)) };
        let is_choked = stream.is_choked;
        let used = self.unsent(id);
        let free = room.saturating_sub(used);
        let waits = free == 0 || is_choked && free < used / 2;
        if let Some(stream) = self.stream(id) {
            stream.is_choked = waits;
        }
        if waits && !chain.is_empty() {
            self.counts.sends_waited += 1;
            return None;
        }
        let mut take = chain.len().min(free);
        if take > 1 && self.random.chance(self.faults.short_send) {
            self.counts.short_sends += 1;
            take = self.random.up_to(take - 1);
        }
        let bytes = bytes_of(chain, take);
        let sent = bytes.len();
        if let Some(peer) = self.stream(peer) {
            peer.coming += sent;
        }
        self.post_in_order(id, Delivery::Bytes { from: id, to: peer, bytes });
        Some(Ok(sent))
    }

    /// Posts something that overtakes nothing of this stream.
    fn post_in_order(&mut self, id: Id, delivery: Delivery) {
        let after = self.stream(id).map_or(Now::START, |stream| stream.last_arrival);
        let at = self.arrival(after);
        if let Some(stream) = self.stream(id) {
            stream.last_arrival = at;
        }
        self.network.post(at, delivery);
    }

    pub(super) fn post_reset(&mut self, to: Id) {
        let at = self.arrival(self.now);
        self.network.post(at, Delivery::Reset { to });
    }

    pub(super) fn handle_bytes(&mut self, from: Id, to: Id, bytes: Vec<u8>) {
        if self.random.chance(self.faults.reset) {
            self.counts.resets += 1;
            self.handle_reset(to);
            return self.handle_reset(from);
        }
        self.counts.bytes += bytes.len() as u64;
        self.note(to.0 << 32 | bytes.len() as u64);
        let Some(stream) = self.stream(to).filter(|stream| stream.is_connected()) else {
            // Nobody is there any more, and says so.
            return self.post_reset(from);
        };
        stream.coming = stream.coming.saturating_sub(bytes.len());
        if stream.is_read_shut {
            // Bytes that nobody will read break the stream (`tcp_rcv_state_process`).
            self.handle_reset(to);
            return self.post_reset(from);
        }
        stream.inbox.extend(bytes);
        self.mark(to);
    }

    pub(super) fn handle_end(&mut self, to: Id) {
        // A reset that came before has the last word.
        if let Some(stream) = self.stream(to).filter(|stream| stream.is_connected()) {
            stream.has_ended = true;
            self.mark(to);
        }
    }

    /// The stream is broken. A peer that has already ended makes it EPIPE (`tcp_reset`).
    pub(super) fn handle_reset(&mut self, to: Id) {
        self.note(to.0);
        let Some(stream) = self.stream(to) else { return };
        if stream.phase == Phase::Dead {
            return;
        }
        stream.phase = Phase::Dead;
        stream.peer = None;
        stream.error = Some(if stream.has_ended { Errno::PIPE } else { Errno::CONNRESET });
        self.mark(to);
    }

    /// Ends one direction or both at once.
    pub(super) fn shutdown(&mut self, id: Id, how: Shutdown) -> Result<(), Errno> {
        if let Role::Listener(listener) = &mut self.socket(id).role {
            listener.is_shut = true;
            self.mark(id);
            return Ok(());
        }
        let stream = self.stream(id).filter(|stream| stream.is_connected());
        let stream = stream.ok_or(Errno::NOTCONN)?;
        stream.is_read_shut |= how == Shutdown::Both;
        let first = !std::mem::replace(&mut stream.is_write_shut, true);
        if let Some(peer) = stream.peer.filter(|_| first) {
            self.post_in_order(id, Delivery::End { to: peer });
        }
        self.mark(id);
        Ok(())
    }

    pub(super) fn set_abortive(&mut self, id: Id) {
        if let Some(stream) = self.stream(id) {
            stream.is_abortive = true;
        }
    }

    /// The socket is gone already; what is left is to tell the peer. Unread bytes make the close a
    /// reset, and an abortive one takes back what is under way (tcp(7), SO_LINGER).
    pub(super) fn close_stream(&mut self, host: IpAddr, id: Id, stream: Stream) {
        if let SocketAddress::Inet(local) = &stream.local {
            self.names.release(host, false, local.port(), id);
        }
        let Some(peer) = stream.peer else { return };
        if stream.is_abortive {
            let dropped = self.network.drop_bytes_of(id);
            if let Some(peer) = self.stream(peer) {
                peer.coming = peer.coming.saturating_sub(dropped);
            }
        }
        let at = self.arrival(stream.last_arrival);
        if stream.is_abortive || !stream.inbox.is_empty() {
            self.network.post(at, Delivery::Reset { to: peer });
        } else if !stream.is_write_shut {
            self.network.post(at, Delivery::End { to: peer });
        }
        // A send of the peer's that waits for room need wait no more.
        self.mark(peer);
    }
}

/// The front of a chain, as much as one call of the kernel takes.
fn bytes_of(chain: &Chain, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(most.min(chain.len()));
    for piece in chain.slices().take(PIECES_MAX) {
        let len = piece.len().min(most - bytes.len());
        bytes.extend_from_slice(&piece[..len]);
    }
    bytes
}
