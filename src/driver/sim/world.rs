//! The world: time, chance and everything that simulated cores share.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::names::Names;
use super::network::{Delivery, Network};
use super::random::{Random, scramble};
use super::{Core, Counts, Faults, Id, Sleep, State};
use crate::clock::Now;
use crate::driver::bell::Bell;

/// A handle to one simulation; clones are the same one. Of one thread.
///
/// Whoever drives it lets every core that is awake make its turn, and then ends the round:
///
/// ```text
///   loop {
///       let ran = one turn of each core that is not world.is_asleep(core), in order of number;
///       if !world.end_round(ran) { everybody waits for ever: the end, or a deadlock }
///   }
/// ```
#[derive(Clone)]
pub(crate) struct World(pub(super) Rc<RefCell<State>>);

impl World {
    /// A world in which everything follows from `seed`. Print it when a test fails.
    pub(crate) fn new(seed: u64, faults: Faults) -> World {
        World(Rc::new(RefCell::new(State {
            seed,
            now: Now::START,
            random: Random::new(seed),
            faults,
            counts: Counts::default(),
            fingerprint: 0,
            sockets: BTreeMap::new(),
            next_socket: 0,
            descriptors: BTreeMap::new(),
            // High enough not to be taken for a real one by mistake.
            next_descriptor: 100_000,
            names: Names::default(),
            network: Network::default(),
            cores: Vec::new(),
        })))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.borrow().seed
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Now {
        self.0.borrow().now
    }

    /// Changes the weather, from the next event on.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Counts {
        self.0.borrow().counts
    }

    /// A digest of all that happened, when and in which order. Two runs of one seed agree at every
    /// moment; where they stop to agree is what is not deterministic.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.0.borrow().fingerprint
    }

    /// Descriptors that are open, of all cores. Zero at the end of every test.
    pub(crate) fn open_descriptors(&self) -> usize {
        self.0.borrow().descriptors.len()
    }

    /// Whether the core waits and nothing has happened that would wake it.
    pub(crate) fn is_asleep(&self, core: usize) -> bool {
        self.0.borrow_mut().is_asleep(core)
    }

    /// Ends the core's sleep: whoever drives the simulation has given it something to do from
    /// outside (a task, the order to stop) and rings no bell.
    pub(crate) fn rouse(&self, core: usize) {
        let mut state = self.0.borrow_mut();
        if state.is_asleep(core) && state.cores[core].sleep != Sleep::Gone {
            state.cores[core].sleep = Sleep::Until(state.now);
        }
    }

    /// Until when the core sleeps, if it does so by the clock.
    pub(crate) fn sleeps_until(&self, core: usize) -> Option<Now> {
        match self.0.borrow().cores[core].sleep {
            Sleep::Until(deadline) => Some(deadline),
            Sleep::Awake | Sleep::Forever | Sleep::Gone => None,
        }
    }

    /// The time to which [`World::advance`] would move: the next delivery or the first deadline of
    /// a sleeper. `None`: nothing will ever happen by itself.
    pub(crate) fn next_event(&self) -> Option<Now> {
        self.0.borrow().next_event()
    }

    /// Ends a round of turns. When a core `ran`, that has taken [`Faults::round_time`], so that one
    /// which never sleeps (it spins, or tries again and again) does not stop the time. When all
    /// sleep, the time moves to the next event. False when there is none.
    pub(crate) fn end_round(&self, ran: bool) -> bool {
        if !ran {
            return self.advance();
        }
        let mut state = self.0.borrow_mut();
        state.now = state.now + state.faults.round_time;
        state.settle();
        true
    }

    /// Moves the time to the next event and lets everything arrive that is due by then. False when
    /// there is none.
    pub(crate) fn advance(&self) -> bool {
        let mut state = self.0.borrow_mut();
        let Some(at) = state.next_event() else { return false };
        state.now = state.now.max(at);
        state.settle();
        true
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        write!(f, "World(seed {:#x}, {:?}, {:?})", state.seed, state.now, state.counts)
    }
}

impl State {
    /// Adds a core and returns its number.
    pub(super) fn add_core(&mut self, host: IpAddr, bell: Arc<Bell>) -> usize {
        self.cores.push(Core {
            host,
            bell,
            sleep: Sleep::Awake,
            changed: Vec::new(),
            is_changed: BTreeSet::new(),
            cancels: Vec::new(),
        });
        self.cores.len() - 1
    }

    /// A seed that follows from the world's and does not disturb its draws.
    pub(super) fn seed_of_core(&self, core: usize) -> u64 {
        scramble(self.seed ^ scramble(core as u64 + 1))
    }

    pub(super) fn sleep_until(&mut self, core: usize, deadline: Option<Now>) {
        self.cores[core].sleep = deadline.map_or(Sleep::Forever, Sleep::Until);
    }

    pub(super) fn wake(&mut self, core: usize) {
        self.cores[core].sleep = Sleep::Awake;
    }

    pub(super) fn is_waiting(&self, core: usize) -> bool {
        self.cores[core].sleep != Sleep::Awake
    }

    pub(super) fn remove_core(&mut self, core: usize) {
        self.cores[core].sleep = Sleep::Gone;
    }

    pub(super) fn is_asleep(&mut self, core: usize) -> bool {
        let now = self.now;
        let core = &mut self.cores[core];
        match core.sleep {
            Sleep::Gone => true,
            Sleep::Awake => false,
            Sleep::Until(_) | Sleep::Forever if core.has_news() || core.bell.take_rung() => {
                // The bell forgets, so this remembers until the core has made its turn.
                core.sleep = Sleep::Until(now);
                false
            }
            Sleep::Until(deadline) => deadline > now,
            Sleep::Forever => true,
        }
    }

    fn next_event(&self) -> Option<Now> {
        let deadlines = self.cores.iter().filter_map(|core| match core.sleep {
            Sleep::Until(deadline) => Some(deadline),
            _ => None,
        });
        deadlines.chain(self.network.next_at()).min().map(|at| at.max(self.now))
    }

    /// Lets everything arrive that is due.
    pub(super) fn settle(&mut self) {
        while let Some(delivery) = self.network.pop_due(self.now) {
            self.deliver(delivery);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Request { from, to, tries } => self.handle_request(from, to, tries),
            Delivery::Established { to, peer } => self.handle_established(to, peer),
            Delivery::Refused { to, errno } => self.handle_refused(to, errno),
            Delivery::Bytes { from, to, bytes } => self.handle_bytes(from, to, bytes),
            Delivery::End { to } => self.handle_end(to),
            Delivery::Reset { to } => self.handle_reset(to),
            Delivery::Datagram { from, to, host, bytes } => {
                self.handle_datagram(from, to, host, bytes);
            }
            Delivery::Cancel { core, token } => self.cores[core].cancels.push(token),
        }
    }

    /// When something that leaves now arrives, not before `after`.
    pub(super) fn arrival(&mut self, after: Now) -> Now {
        let delay = self.random.time(self.faults.delay_min, self.faults.delay_max);
        after.max(self.now + delay)
    }

    /// Something happened to the socket: the cores whose operations wait on it shall look.
    pub(super) fn mark(&mut self, id: Id) {
        let Some(socket) = self.sockets.get(&id) else { return };
        for flight in &socket.flights {
            self.cores[flight.core].mark(id);
        }
    }

    /// The core shall look at the socket at its next enter.
    pub(super) fn mark_for(&mut self, core: usize, id: Id) {
        self.cores[core].mark(id);
    }

    /// The sockets at which the core shall look.
    pub(super) fn take_changed(&mut self, core: usize) -> Vec<Id> {
        let core = &mut self.cores[core];
        core.is_changed.clear();
        std::mem::take(&mut core.changed)
    }

    pub(super) fn has_news(&self, core: usize) -> bool {
        self.cores[core].has_news()
    }

    /// Enters something into the digest.
    pub(super) fn note(&mut self, what: u64) {
        let moment = scramble(self.now.as_nanos() ^ what.rotate_left(32));
        self.fingerprint = scramble(self.fingerprint.rotate_left(1) ^ moment);
    }
}

impl Core {
    fn mark(&mut self, id: Id) {
        if self.is_changed.insert(id) {
            self.changed.push(id);
        }
    }

    fn has_news(&self) -> bool {
        !self.changed.is_empty() || !self.cancels.is_empty()
    }
}
