//! A look at silent connections, for ends of streams that their receives have missed.
//!
//! ```text
//!   arm:  receive ── nothing left ──▶ look at the socket, wait in its queue
//!                                      └─ bytes and a reset came between: both are one event
//!         receive ◀── one event ──────── the bytes; nothing is to come that would wake it again
//! ```
//! A multishot receive whose socket was reset in the moment of its arming, behind bytes that came in
//! the same moment, tells the bytes and then waits for good (`io_poll_check_events` of Linux 6.18;
//! kernels before it lose an end behind bytes at other times, too: commit a68ed2df7213). One of some
//! thousand clients that reset their connections is enough to keep a descriptor, and its agent, for
//! ever. So every few seconds each connection that was silent meanwhile is asked by poll(2) whether
//! it has something to tell; a receive that should have told is cancelled, and armed anew it does.

use std::cell::Cell;
use std::time::Duration;

use super::Reactor;
use crate::clock::Now;
use crate::driver::Driver;

/// How often all connections are looked at, and how long those that are asked were silent.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Residents that one turn looks at: about 50 us, at 200 ns a system call.
const LOOKS_A_TURN: usize = 256;

/// Where the looking stands.
pub(super) struct Look {
    /// Whether this kernel makes it necessary.
    is_wanted: bool,
    due: Cell<Now>,
    /// The slot of the resident that is next.
    slot: Cell<usize>,
}

impl Look {
    pub(super) fn new(driver: &Driver, now: Now) -> Look {
        let is_wanted = driver.misses_ends();
        Look { is_wanted, due: Cell::new(now + LOOK_EVERY), slot: Cell::new(0) }
    }
}

impl Reactor {
    /// How long the core may sleep for this.
    pub(super) fn until_look(&self) -> Option<Duration> {
        let is_wanted = self.look.is_wanted && !self.residents.borrow().is_empty();
        is_wanted.then(|| self.look.due.get().since(self.now()))
    }

    /// Looks at the next residents, if it is time.
    #[inline]
    pub(super) fn look(&self) {
        if self.look.is_wanted && self.now() >= self.look.due.get() {
            self.look_at_some();
        }
    }

    #[cold]
    fn look_at_some(&self) {
        let first = self.look.slot.get();
        let reach = self.residents.borrow().reach();
        let end = reach.min(first + LOOKS_A_TURN);
        for slot in first..end {
            let resident = self.residents.borrow().at(slot).cloned();
            resident.into_iter().for_each(|resident| resident.look());
        }
        if end < reach {
            self.look.slot.set(end); // the rest in the turns that follow at once
        } else {
            self.look.slot.set(0);
            self.look.due.set(self.now() + LOOK_EVERY);
        }
    }
}
