//! The fabric: from each core to each other core one ring for messages and one for what must arrive.
//!
//! ```text
//!   core a                                              core b
//!   send ─▶ [ outbox ] ─▶ ring a→b messages ──────────▶ drain (a bounded part, each turn)
//!           [ outbox ] ─▶ ring a→b control  ──────────▶ drain first
//!           flush: what spilled, one bell if b sleeps
//! ```
//! A core that lags fills its ring, then the sender's outbox up to `SKYRING_FABRIC_MAX`; then
//! senders hear so at once. Nobody waits. The control lane has no cap of its own: answers, ends and
//! the news of them are as many as calls and watches, which are bounded where they begin. It has a
//! ring of its own so that an answer never waits behind requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use super::rings::Lane;
use super::rings::{Envelope, Line, Peer};
use super::shared::Shared;
use super::{Reactor, guarded};
use crate::guard::caught;
use crate::memory::envelope::Letter;

/// One core's ends of all rings.
pub(crate) struct Fabric {
    shared: Arc<Shared>,
    index: usize,
    /// The other cores, in order.
    peers: Box<[Peer]>,
    /// Which peer is drained first in the next turn.
    first: Cell<usize>,
    /// Peers that have got something in this turn, or whose outbox is not empty.
    touched: RefCell<Vec<usize>>,
    /// How much an outbox for messages takes.
    outbox_max: usize,
}

impl Fabric {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Fabric {
        Fabric {
            peers: shared.rings.take(index).into(),
            index,
            first: Cell::new(0),
            touched: RefCell::new(Vec::new()),
            outbox_max: shared.settings.fabric_max as usize,
            shared,
        }
    }

    #[inline]
    fn peer(&self, core: usize) -> (usize, &Peer) {
        debug_assert_ne!(core, self.index, "a core needs no ring to itself");
        let place = core - usize::from(core > self.index);
        (place, &self.peers[place])
    }

    /// Whether a message for `core` is taken now. `None`: that core has ended, or never was.
    #[inline]
    pub(crate) fn has_room(&self, core: usize) -> Option<bool> {
        if self.shared.doors.get(core)?.get().is_some_and(|door| door.is_closed()) {
            return None;
        }
        let line = &self.peer(core).1.lines[Lane::Message as usize];
        Some(!line.spilled.get() || line.outbox.borrow().len() < self.outbox_max)
    }

    /// Hands a letter over. For the message lane ask [`Fabric::has_room`] before.
    #[inline]
    pub(crate) fn send(&self, core: usize, lane: Lane, letter: impl Letter<Rc<Reactor>> + Send) {
        let (place, peer) = self.peer(core);
        let line = &peer.lines[lane as usize];
        let envelope = Envelope::new(letter);
        let refused = if line.spilled.get() { Err(envelope) } else { line.out.push(envelope) };
        if let Err(envelope) = refused {
            line.outbox.borrow_mut().push_back(envelope);
            line.spilled.set(true);
        }
        if !peer.touched.replace(true) {
            self.touched.borrow_mut().push(place);
        }
    }

    /// Whether something has come. Made to be polled.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.peers.iter().any(|peer| peer.lines.iter().any(|line| !line.inward.is_empty()))
    }

    /// Whether there is something to do for a core that was about to sleep: something came, or a
    /// full ring has room again.
    pub(super) fn keeps_awake(&self) -> bool {
        let is_stuck = |line: &Line| line.spilled.get() && line.out.wait_for_room();
        self.has_news() || {
            let touched = self.touched.borrow();
            touched.iter().any(|&place| self.peers[place].lines.iter().any(is_stuck))
        }
    }

    /// Opens what has come: of each lane what was there when its turn came, another peer's first in
    /// each turn.
    pub(super) fn drain(&self, reactor: &Rc<Reactor>) {
        let peers = self.peers.len();
        if peers == 0 {
            return;
        }
        let first = self.first.get();
        self.first.set((first + 1) % peers);
        for peer in self.peers[first..].iter().chain(&self.peers[..first]) {
            for lane in [Lane::Control, Lane::Message] {
                self.drain_line(peer.core, &peer.lines[lane as usize], reactor);
            }
        }
    }

    fn drain_line(&self, core: usize, line: &Line, reactor: &Rc<Reactor>) {
        let count = line.inward.len();
        if count == 0 {
            return;
        }
        for _ in 0..count {
            let Some(envelope) = line.inward.pop() else { break };
            guarded(&reactor.metrics, "a letter panicked", || envelope.open(reactor));
        }
        reactor.metrics.fabric_received.add(count as u64);
        if line.inward.drained() {
            self.ring(core, reactor);
        }
    }

    /// Ends a turn: moves on what spilled, and wakes those who sleep.
    pub(super) fn flush(&self, reactor: &Reactor) {
        if self.touched.borrow().is_empty() {
            return;
        }
        self.touched.borrow_mut().retain(|&place| {
            let peer = &self.peers[place];
            let mut stuck = false;
            for line in &peer.lines {
                stuck |= line.is_stuck();
            }
            peer.touched.set(stuck);
            self.ring(peer.core, reactor);
            stuck
        });
    }

    fn ring(&self, core: usize, reactor: &Reactor) {
        if let Some(door) = self.shared.doors[core].get()
            && door.bell().ring()
        {
            reactor.metrics.bells.add(1);
        }
    }

    /// The core has ended: drops what nobody will open, so that whoever waits for an answer hears
    /// so.
    pub(super) fn close(&self) {
        for line in self.peers.iter().flat_map(|peer| &peer.lines) {
            let left = line.outbox.take().into_iter();
            for letter in left.chain(std::iter::from_fn(|| line.inward.pop())) {
                caught("a message panicked while it was dropped", || drop(letter));
            }
        }
    }
}
