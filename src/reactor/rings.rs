//! The rings between the cores of an engine, as each of two cores sees them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use super::Reactor;
use crate::guard::caught;
use crate::memory::envelope;
use crate::memory::queue::{Consumer, Producer, ring};

/// Something for another core, which opens it on arrival.
pub(crate) type Envelope = envelope::Envelope<Rc<Reactor>>;

/// Which ring a letter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Bounded: full is an answer.
    Message,
    /// Never refused.
    Control,
}

const LANES: usize = 2;
/// Slots of a control ring; what they do not hold spills.
const CONTROL_SLOTS: usize = 256;

/// The rings of an engine, until each core takes its ends.
pub(super) struct Rings(Mutex<Vec<Option<Vec<Peer>>>>);

impl Rings {
    /// Two rings for each ordered pair of cores; those for messages have `slots`.
    pub(super) fn new(cores: usize, slots: usize) -> Rings {
        let mut peers: Vec<Vec<Peer>> = (0..cores).map(|_| Vec::new()).collect();
        for a in 0..cores {
            for b in a + 1..cores {
                let (messages_a, messages_b) = Line::pair(slots);
                let (control_a, control_b) = Line::pair(CONTROL_SLOTS);
                peers[a].push(Peer::new(b, [messages_a, control_a]));
                peers[b].push(Peer::new(a, [messages_b, control_b]));
            }
        }
        Rings(Mutex::new(peers.into_iter().map(Some).collect()))
    }

    pub(super) fn take(&self, core: usize) -> Vec<Peer> {
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings[core].take().expect("each core of an engine is made once")
    }
}

pub(super) struct Peer {
    pub(super) core: usize,
    /// Has got something in this turn, or has an outbox that is not empty.
    pub(super) touched: Cell<bool>,
    /// In the order of [`Lane`].
    pub(super) lines: [Line; LANES],
}

impl Peer {
    fn new(core: usize, lines: [Line; LANES]) -> Peer {
        Peer { core, touched: Cell::new(false), lines }
    }

    /// Whether the other core asks to be woken, and what was opened here has made room for it.
    pub(super) fn waits_for_room(&self) -> bool {
        // Both are to be asked: each forgets the wish that it tells.
        self.lines.iter().fold(false, |waits, line| waits | line.inward.drained())
    }
}

/// Both directions of a lane between this core and another.
pub(super) struct Line {
    pub(super) out: Producer<Envelope>,
    /// Has got something in this turn.
    pub(super) used: Cell<bool>,
    /// What the ring has no room for, in order.
    pub(super) outbox: RefCell<VecDeque<Envelope>>,
    pub(super) spilled: Cell<bool>,
    pub(super) inward: Consumer<Envelope>,
}

impl Line {
    /// A lane between two cores, as each of them sees it.
    fn pair(slots: usize) -> (Line, Line) {
        let (to_b, from_a) = ring(slots);
        let (to_a, from_b) = ring(slots);
        (Line::new(to_b, from_b), Line::new(to_a, from_a))
    }

    fn new(out: Producer<Envelope>, inward: Consumer<Envelope>) -> Line {
        let (used, spilled) = (Cell::new(false), Cell::new(false));
        Line { out, used, outbox: RefCell::new(VecDeque::new()), spilled, inward }
    }

    /// Keeps what the ring has no room for.
    #[cold]
    pub(super) fn spill(&self, envelope: Envelope) {
        self.out.show();
        self.outbox.borrow_mut().push_back(envelope);
        self.spilled.set(true);
    }

    /// How much was sent that the other core has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() + self.outbox.borrow().len()
    }

    /// Drops what the other core was not shown: what is hidden, and what spilled.
    pub(super) fn drop_unseen(&self) {
        let spilled = self.outbox.take();
        self.spilled.set(false);
        for envelope in std::iter::from_fn(|| self.out.take_back()).chain(spilled) {
            caught("a letter panicked while it was dropped", || drop(envelope));
        }
    }

    /// Moves what spilled to the ring. Whether something is left, for which there is no room.
    pub(super) fn is_stuck(&self) -> bool {
        while self.spilled.get() {
            let mut outbox = self.outbox.borrow_mut();
            while let Some(envelope) = outbox.pop_front() {
                if let Err(envelope) = self.out.put(envelope) {
                    outbox.push_front(envelope);
                    break;
                }
            }
            self.out.show();
            self.spilled.set(!outbox.is_empty());
            if self.spilled.get() && !self.out.wait_for_room() {
                return true;
            }
        }
        false
    }
}
