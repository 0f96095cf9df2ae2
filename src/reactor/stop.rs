//! The way down of a reactor: drain, end what is left, await the last completions.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{Phase, Reactor, timer};
use crate::clock::Now;
use crate::memory::slots::Key;
use crate::memory::wheel::Wheel;

/// How long the end of a reactor waits for the last completions of cancelled operations.
const END_PATIENCE: Duration = Duration::from_secs(5);

impl Reactor {
    /// Begins to stop: nothing new is taken, what was begun has until `deadline`.
    pub(crate) fn drain(&self, deadline: Now) {
        match self.phase.get() {
            Phase::Running => self.phase.set(Phase::Draining(deadline)),
            Phase::Draining(before) => {
                return self.phase.set(Phase::Draining(before.min(deadline)));
            }
            Phase::Stopping(_) => return,
        }
        let waiting: Vec<Waker> =
            self.stopping.borrow().iter().map(|(_, waker)| waker.clone()).collect();
        waiting.into_iter().for_each(Waker::wake);
        for resident in self.residents() {
            resident.drain();
        }
    }

    /// Where the way down stands, looked at after each turn. `Some`: the reactor has ended.
    pub(crate) fn descend(&self) -> Option<Ended> {
        match self.phase.get() {
            Phase::Running => return None,
            Phase::Draining(deadline) => {
                if self.now() < deadline && !self.is_drained() {
                    return None;
                }
                self.leave_drain();
                self.phase.set(Phase::Stopping(self.now() + END_PATIENCE));
            }
            Phase::Stopping(_) => {}
        }
        // What a dropped future spawns goes with the next turn.
        self.tasks.clear(&self.metrics);
        self.residents().into_iter().for_each(|resident| self.abort(resident));
        let Phase::Stopping(deadline) = self.phase.get() else { unreachable!("set above") };
        let idle = self.residents.borrow().is_empty()
            && self.driver.borrow().in_flight() == 0
            && self.tasks.is_empty();
        (idle || self.now() >= deadline).then(|| self.ended())
    }

    /// Whether nothing is left to finish: no connection on any core of the engine, since they may
    /// need services here, and then no service on this one, each told to stop.
    fn is_drained(&self) -> bool {
        if !self.residents.borrow().is_empty() {
            return false;
        }
        self.leave_drain();
        if self.shared.draining.load(Ordering::Acquire) > 0 {
            return false;
        }
        self.extension.get().is_none_or(|extension| extension.value().wind_down())
    }

    /// This core's connections are gone; the last core to say so wakes the others.
    pub(super) fn leave_drain(&self) {
        if self.left_drain.replace(true) {
            return;
        }
        if self.shared.draining.fetch_sub(1, Ordering::AcqRel) == 1 {
            for door in self.shared.doors.iter().filter_map(|door| door.get()) {
                door.send(|_| {});
            }
        }
    }

    fn ended(&self) -> Ended {
        self.timers.replace(Wheel::new(timer::ticks(self.now())));
        self.pool.provide();
        Ended {
            residents: self.residents.borrow().len(),
            operations: self.driver.borrow().in_flight(),
            blocks_lent: self.pool.lent(),
            blocks_detached: self.pool.detached(),
        }
    }
}

/// What a reactor still held when it ended. All but detached blocks ought to be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) residents: usize,
    pub(crate) operations: u32,
    pub(crate) blocks_lent: u32,
    /// Leases that left the core and live on as `Bytes` somewhere.
    pub(crate) blocks_detached: u32,
}

impl Ended {
    /// Whether everything came home but what living `Bytes` hold.
    pub(crate) fn is_clean(&self) -> bool {
        self.residents == 0 && self.operations == 0 && self.blocks_lent <= self.blocks_detached
    }
}

/// Waits until the engine begins to stop (a signal, or `Handle::stop`). A task that serves no
/// client of its own should end then; those that have not are dropped when all connections are
/// gone, at the latest after `SKYRING_DRAIN`.
pub async fn stopping() {
    let mut place = AtStop { reactor: Reactor::current(), key: None };
    poll_fn(|cx| {
        if place.reactor.is_stopping() {
            return Poll::Ready(());
        }
        place.wake(cx.waker());
        Poll::Pending
    })
    .await;
}

/// A place among those who wait for the stop, given back when the wait is over or given up: waits
/// of clients that are long gone must not add up.
struct AtStop {
    reactor: Rc<Reactor>,
    key: Option<Key>,
}

impl AtStop {
    fn wake(&mut self, waker: &Waker) {
        let waker = waker.clone();
        let mut waiting = self.reactor.stopping.borrow_mut();
        let before = self.key.and_then(|key| waiting.remove(key));
        self.key = waiting.insert(waker).ok();
        drop(waiting);
        drop(before); // outside of the borrow
    }
}

impl Drop for AtStop {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let before = self.reactor.stopping.borrow_mut().remove(key);
        drop(before); // outside of the borrow
    }
}
