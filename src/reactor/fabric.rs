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

pub(crate) use super::rings::{Envelope, Lane};
use super::rings::{Line, Peer};
use super::shared::Shared;
use super::{Reactor, guarded};
use crate::guard::caught;
use crate::memory::envelope::{Letter, open_next};

/// What waits on its way from one core to one other, at a moment: sent there, and not taken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FabricQueue {
    /// The core that sends, from 0.
    pub from: usize,
    /// The core that receives.
    pub to: usize,
    /// Messages: those in the ring (`SKYRING_FABRIC_SLOTS`), and at most `SKYRING_FABRIC_MAX` beside
    /// it.
    pub messages: usize,
    /// Answers, ends of services and the news of them, which are never refused.
    pub control: usize,
}

/// So many letters are shown to the other core at once; the rest at the end of the turn.
const SHOWN_AT_ONCE: usize = 16;

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
    /// Letters that went to an outbox in this turn.
    spilled: Cell<u64>,
    /// An outbox is not empty, and its ring is full.
    stuck: Cell<bool>,
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
            spilled: Cell::new(0),
            stuck: Cell::new(false),
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
        let refused = if line.spilled.get() { Err(envelope) } else { line.out.put(envelope) };
        if let Err(envelope) = refused {
            line.spill(envelope);
            self.spilled.set(self.spilled.get() + 1);
        }
        if !line.used.replace(true) {
            if !peer.touched.replace(true) {
                self.touched.borrow_mut().push(place);
            }
            // The first of a turn is shown at once, lest an answer waits for the rest of the turn.
            line.out.show();
        } else if line.out.hidden() >= SHOWN_AT_ONCE {
            line.out.show();
        }
    }

    /// Whether something has come, or a full ring has room again. Made to be polled.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.peers.iter().any(|peer| peer.lines.iter().any(|line| !line.inward.is_empty()))
            || self.stuck.get() && self.any_touched(|line| !line.out.is_waiting())
    }

    /// Whether a lane on which something has spilled is so.
    #[cold]
    fn any_touched(&self, is_so: impl Fn(&Line) -> bool) -> bool {
        let touched = self.touched.borrow();
        let mut lines = touched.iter().flat_map(|&place| &self.peers[place].lines);
        lines.any(|line| line.spilled.get() && is_so(line))
    }

    /// Whether there is something to do for a core that was about to sleep: something came, or a
    /// full ring has room again.
    pub(super) fn keeps_awake(&self) -> bool {
        self.has_news() || self.stuck.get() && self.any_touched(|line| line.out.wait_for_room())
    }

    /// Opens what has come: of each lane what was there when its turn came, another peer's first in
    /// each turn; and wakes those who sleep on the room that this makes for them. Returns how many
    /// letters.
    pub(super) fn drain(&self, reactor: &Rc<Reactor>) -> usize {
        let first = self.first.get();
        self.first.set(if first + 1 < self.peers.len() { first + 1 } else { 0 });
        let mut drained = 0;
        for peer in self.peers[first..].iter().chain(&self.peers[..first]) {
            for lane in [Lane::Control, Lane::Message] {
                drained += drain_line(&peer.lines[lane as usize], reactor);
            }
        }
        if drained > 0 {
            reactor.metrics.fabric_received.add(drained as u64);
            // Before what has come is handled: meanwhile they send on.
            for peer in self.peers.iter().filter(|peer| peer.waits_for_room()) {
                self.ring(peer.core, reactor);
            }
        }
        drained
    }

    /// Ends a turn: moves on what spilled, and wakes those who sleep on what they have got.
    pub(super) fn flush(&self, reactor: &Reactor) {
        if self.touched.borrow().is_empty() {
            return;
        }
        reactor.metrics.fabric_spilled.add(self.spilled.take());
        let mut stuck = self.touched.take();
        stuck.retain(|&place| self.flush_peer(place, reactor));
        // What is dropped for a core that has ended may have sent more.
        while !self.touched.borrow().is_empty() {
            let late = self.touched.take();
            stuck.extend(late.into_iter().filter(|&place| self.flush_peer(place, reactor)));
        }
        self.touched.replace(stuck);
        self.stuck.set(!self.touched.borrow().is_empty());
    }

    /// Whether something is left, for which there is no room.
    fn flush_peer(&self, place: usize, reactor: &Reactor) -> bool {
        let peer = &self.peers[place];
        peer.lines.iter().for_each(|line| line.used.set(false));
        if self.shared.doors[peer.core].get().is_some_and(|door| door.is_closed()) {
            peer.touched.set(false);
            // Nobody will open them: whoever waits for an answer hears so now.
            peer.lines.iter().for_each(Line::drop_unseen);
            return false;
        }
        let mut stuck = false;
        for line in &peer.lines {
            line.out.show();
            stuck |= line.is_stuck();
        }
        peer.touched.set(stuck);
        self.ring(peer.core, reactor);
        stuck
    }

    fn ring(&self, core: usize, reactor: &Reactor) {
        if let Some(door) = self.shared.doors[core].get()
            && door.bell().ring()
        {
            reactor.metrics.bells.add(1);
        }
    }

    /// What waits on its way from here to each other core.
    pub(super) fn queues(&self) -> impl Iterator<Item = FabricQueue> + '_ {
        self.peers.iter().map(|peer| FabricQueue {
            from: self.index,
            to: peer.core,
            messages: peer.lines[Lane::Message as usize].waiting(),
            control: peer.lines[Lane::Control as usize].waiting(),
        })
    }

    /// The core has ended: shows what it has sent since its last turn, and drops what nobody will
    /// open, so that whoever waits for an answer hears so, and is woken to hear it.
    pub(super) fn close(&self, reactor: &Reactor) {
        self.flush(reactor);
        for line in self.peers.iter().flat_map(|peer| &peer.lines) {
            let left = line.outbox.take().into_iter();
            for letter in left.chain(std::iter::from_fn(|| line.inward.pop())) {
                caught("a message panicked while it was dropped", || drop(letter));
            }
        }
        self.flush(reactor); // what those had to tell
    }
}

/// Opens what a lane holds now. One guard is enough for many letters: it goes on behind the one that
/// panics.
fn drain_line(line: &Line, reactor: &Rc<Reactor>) -> usize {
    let count = line.inward.look();
    let mut left = count;
    while left > 0 {
        guarded(&reactor.metrics, "a letter panicked", || {
            while left > 0 {
                left -= 1;
                let opened = open_next(&line.inward, reactor);
                debug_assert!(opened, "counted, and popped here only");
            }
        });
    }
    count
}

#[cfg(test)]
mod tests;
