//! One core's side of the simulated kernel, with the methods of the real ring.
//!
//! ```text
//!   submit ──▶ queue ── enter ──▶ flights ── the world changes ──▶ ready ──▶ reap
//!                         └── nothing ready and told to wait? the core sleeps
//! ```
//! An enter never blocks: it notes in the world that the core sleeps, and until when. The core must
//! not be run again before [`World::is_asleep`] says that it is awake. Its next call then brings what
//! the enter would have returned with, be it a reap (a turn that ends with its enter) or an enter (a
//! turn that begins with it).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::flight::{self, Flight};
use super::network::Delivery;
use super::random::Random;
use super::{Id, InFlight, State, World};
use crate::clock::Now;
use crate::driver::bell::Bell;
use crate::driver::operation::{Completion, Descriptor, Event, Operation, Wait};
use crate::driver::token::{Kind, Token};
use crate::memory::pool::Pool;

/// What a look for news takes.
const LOOK: Duration = Duration::from_nanos(50);

/// A simulated core's kernel.
pub(crate) struct Kernel {
    pub(super) world: World,
    pub(super) core: usize,
    pool: Pool,
    bell: Arc<Bell>,
    random: Random,
    /// Handed over at the next enter, in order.
    queue: Vec<Entry>,
    /// By slot and kind of the token: operations whose last completion was not taken. A resident
    /// uses one slot for all its operations, one of each kind at a time.
    flights: Flights,
    ready: VecDeque<Completion>,
    /// Lazy sends that succeeded within their first enter: told with whatever comes next.
    unsaid: Vec<Completion>,
    is_performing: bool,
    in_flight: u32,
    /// Cancels and closes that are done; the next reap takes note.
    own_ready: u32,
}

type Flights = BTreeMap<(u32, u8), Flight>;

/// A queued submission. The operation itself lies in its flight.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Start(Token),
    Cancel(Token),
    CancelAll(Descriptor),
    Close(Descriptor),
}

impl Kernel {
    /// A core of the host 127.0.0.1, which most simulations need no more than.
    pub(crate) fn new(world: &World, pool: Pool) -> Kernel {
        Kernel::on_host(world, Ipv4Addr::LOCALHOST.into(), pool)
    }

    /// A core of the machine with this address.
    pub(crate) fn on_host(world: &World, host: IpAddr, pool: Pool) -> Kernel {
        pool.provide();
        let bell = Arc::new(Bell::flag());
        let mut state = world.0.borrow_mut();
        let core = state.add_core(host, bell.clone());
        let random = Random::new(state.seed_of_core(core));
        drop(state);
        Kernel {
            world: world.clone(),
            core,
            pool,
            bell,
            random,
            queue: Vec::new(),
            flights: BTreeMap::new(),
            ready: VecDeque::new(),
            unsaid: Vec::new(),
            is_performing: false,
            in_flight: 0,
            own_ready: 0,
        }
    }

    /// The core's number in its world, counted from 0 in the order of creation.
    pub(crate) fn core(&self) -> usize {
        self.core
    }

    /// Until when the core sleeps, if it does so by the clock.
    #[cfg(test)]
    pub(crate) fn sleeps_until(&self) -> Option<Now> {
        self.world.sleeps_until(self.core)
    }

    pub(crate) fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    /// The virtual time, the same for all cores.
    pub(crate) fn now(&self) -> Now {
        self.world.now()
    }

    /// From the core's own generator: what a user draws does not change the weather.
    pub(crate) fn random(&mut self) -> u64 {
        self.random.draw()
    }

    /// Operations, cancels and closes whose last completion was not taken.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Queues an operation.
    ///
    /// # Panics
    /// When the user breaks the protocol of the seam; see the sentences.
    pub(crate) fn submit(&mut self, token: Token, operation: Operation) {
        assert_eq!(token.kind, operation.kind(), "a token has the kind of its operation");
        let descriptor = flight::target(&operation);
        let mut state = self.world.0.borrow_mut();
        let socket = state.resolve(descriptor);
        let conflict = state.socket(socket).flights.iter().find(|flight| {
            let is_send = |kind| matches!(kind, Kind::Send | Kind::SendTo);
            match token.kind {
                Kind::Accept => flight.core == self.core && flight.token.kind == Kind::Accept,
                kind if is_send(kind) => is_send(flight.token.kind),
                kind => flight.token.kind == kind,
            }
        });
        assert!(conflict.is_none(), "{token:?}: two at once on {descriptor:?}, {conflict:?}");
        let index = token.key.index();
        let mut in_slot = self.flights.range((index, 0)..=(index, u8::MAX));
        let clash = in_slot.find(|(_, flight)| flight.clashes_with(token));
        assert!(clash.is_none(), "the slot of {token:?} is used again while in flight: {clash:?}");
        self.flights.insert(place(token), Flight::new(token, socket, operation));
        state.socket(socket).flights.push(InFlight { core: self.core, token, descriptor });
        // A connection that moved here from another core is ours from now on.
        state.adopt(descriptor, self.core);
        drop(state);
        self.push_entry(Entry::Start(token));
    }

    /// Cancels one operation.
    pub(crate) fn cancel(&mut self, target: Token) {
        self.push_entry(Entry::Cancel(target));
    }

    /// Cancels every operation of this core on the socket.
    pub(crate) fn cancel_all(&mut self, socket: Descriptor) {
        self.world.0.borrow().resolve(socket);
        self.push_entry(Entry::CancelAll(socket));
    }

    /// Closes a socket.
    ///
    /// # Panics
    /// When an operation is in flight on it, and when it is closed already.
    pub(crate) fn close(&mut self, socket: Descriptor) {
        self.world.0.borrow_mut().will_close(socket);
        self.push_entry(Entry::Close(socket));
    }

    fn push_entry(&mut self, entry: Entry) {
        // Work that came up behind the enter that slept: another enter has to follow.
        self.world.0.borrow_mut().wake(self.core);
        self.in_flight += 1;
        self.queue.push(entry);
    }

    /// Whether an enter would bring completions at once. A look in vain takes virtual time, so that
    /// a reactor that spins until a moment reaches it.
    pub(crate) fn has_news(&mut self) -> bool {
        let mut state = self.world.0.borrow_mut();
        let has_news = self.is_ready() || state.has_news(self.core);
        if !has_news {
            state.now = state.now + LOOK;
        }
        has_news
    }

    fn is_ready(&self) -> bool {
        !self.ready.is_empty() || self.own_ready > 0
    }

    /// Performs what is queued. Does not wait: the core is asleep for the world from here on when
    /// it asked to wait and nothing has completed. When it was woken since, this is that enter's
    /// return and not a new one: it sleeps no more, whatever `wait` says.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let world = self.world.clone();
        let state = &mut *world.0.borrow_mut();
        let returns = state.is_waiting(self.core) && !state.is_asleep(self.core);
        let wait = if returns { Wait::Poll } else { wait };
        state.wake(self.core);
        let mut paused = Vec::new();
        self.is_performing = true;
        self.perform(state, &mut paused);
        self.is_performing = false;
        self.collect(state, paused);
        if !self.is_ready() && !state.has_news(self.core) {
            match wait {
                Wait::Poll => {}
                Wait::For(time) => state.sleep_until(self.core, Some(state.now + time)),
                Wait::Forever => state.sleep_until(self.core, None),
            }
        }
        Ok(())
    }

    /// Takes what has completed, in order.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        let world = self.world.clone();
        let state = &mut *world.0.borrow_mut();
        if state.is_waiting(self.core) {
            if state.is_asleep(self.core) {
                return;
            }
            // The enter that slept returns.
            state.wake(self.core);
            self.collect(state, Vec::new());
        }
        self.in_flight -= mem::take(&mut self.own_ready);
        let mut count = self.ready.len();
        if count > 1 && state.random.chance(state.faults.hold_back) {
            state.counts.held_back += 1;
            count = state.random.up_to(count - 1);
        }
        let ready: Vec<_> = self.ready.drain(..count).collect();
        for completion in ready.into_iter().chain(mem::take(&mut self.unsaid)) {
            let token = completion.token;
            state.note(scramble_token(self.core, token) ^ flight::digest(&completion.event));
            if !completion.more {
                let flight = self.flights.remove(&place(token));
                let flight = flight.expect("a last completion comes once");
                state.land(flight.socket, self.core, token);
                self.in_flight -= 1;
            }
            into.push(completion);
        }
    }

    fn perform(&mut self, state: &mut State, paused: &mut Vec<Id>) {
        for entry in mem::take(&mut self.queue) {
            self.own_ready += u32::from(!matches!(entry, Entry::Start(_)));
            match entry {
                Entry::Start(token) => self.poll(state, token, paused),
                Entry::Cancel(token) => self.try_cancel(state, token),
                Entry::CancelAll(descriptor) => {
                    for token in state.flights_at(descriptor, self.core) {
                        self.try_cancel(state, token);
                    }
                }
                Entry::Close(descriptor) => state.close(descriptor),
            }
        }
    }

    /// Cancels now, or lets the operation go on for a while: a real cancel that meets an operation
    /// at work comes too late as well.
    fn try_cancel(&mut self, state: &mut State, token: Token) {
        let Some(flight) = alive(&mut self.flights, token) else { return };
        if !flight.is_dying && state.random.chance(state.faults.late_cancel) {
            state.counts.late_cancels += 1;
            flight.is_dying = true;
            let least = Duration::from_nanos(1);
            let delay = state.random.time(least, state.faults.cancel_delay_max.max(least));
            let at = state.now + delay;
            return state.network.post(at, Delivery::Cancel { core: self.core, token });
        }
        let event = flight.cancel();
        self.push(state, Completion { token, more: false, event });
    }

    /// Lets what is due arrive, and makes the completions that are possible then. `paused`: sockets
    /// that have to wait for the next enter.
    fn collect(&mut self, state: &mut State, mut paused: Vec<Id>) {
        loop {
            state.settle();
            for token in mem::take(&mut state.cores[self.core].cancels) {
                if let Some(flight) = alive(&mut self.flights, token) {
                    let event = flight.cancel();
                    self.push(state, Completion { token, more: false, event });
                }
            }
            let changed = state.take_changed(self.core);
            if changed.is_empty() {
                break;
            }
            for id in changed {
                for token in state.flights_on(id, self.core) {
                    self.poll(state, token, &mut paused);
                }
            }
        }
        paused.into_iter().for_each(|id| state.mark_for(self.core, id));
    }

    /// Makes the completions that this operation can make now.
    fn poll(&mut self, state: &mut State, token: Token, paused: &mut Vec<Id>) {
        while let Some(flight) = alive(&mut self.flights, token)
            && !paused.contains(&flight.socket)
        {
            let socket = flight.socket;
            let Some(step) = flight.poll(state, self.core, &self.pool) else { return };
            if step.pauses {
                paused.push(socket);
            }
            self.push(state, Completion { token, more: step.more, event: step.event });
        }
    }

    /// Adds a completion: at the end, or before some of other operations.
    fn push(&mut self, state: &mut State, completion: Completion) {
        if self.is_performing
            && let Event::Sent(Ok(sent), chain) = &completion.event
            && *sent == chain.len()
            && self.flights[&place(completion.token)].is_lazy
        {
            return self.unsaid.push(completion);
        }
        let same = |other: &Completion| other.token == completion.token;
        let first = self.ready.iter().rposition(same).map_or(0, |at| at + 1);
        let passes = self.ready.len() - first;
        let mut at = self.ready.len();
        if passes > 0 && state.random.chance(state.faults.reorder) {
            state.counts.reordered += 1;
            at -= state.random.up_to(passes);
        }
        self.ready.insert(at, completion);
    }
}

/// The operation, unless it has made its last completion.
fn alive(flights: &mut Flights, token: Token) -> Option<&mut Flight> {
    let flight = flights.get_mut(&place(token))?;
    (flight.token == token && !flight.has_ended).then_some(flight)
}

fn place(token: Token) -> (u32, u8) {
    (token.key.index(), token.kind as u8)
}

fn scramble_token(core: usize, token: Token) -> u64 {
    super::random::scramble(token.to_u64() ^ (core as u64) << 40)
}

impl Drop for Kernel {
    /// Ends what is in flight, as the real ring does, and closes the connections that were accepted
    /// and that nobody has heard of.
    ///
    /// # Panics
    /// When a descriptor of this core is open: it would have leaked. Not while panicking, for then
    /// the first panic is the one that counts.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let world = self.world.clone();
        let state = &mut *world.0.borrow_mut();
        self.perform(state, &mut Vec::new());
        for flight in mem::take(&mut self.flights).into_values() {
            state.land(flight.socket, self.core, flight.token);
        }
        for completion in mem::take(&mut self.ready) {
            if let Event::Accepted(Ok(unseen)) = completion.event {
                state.close(unseen);
            }
        }
        state.settle();
        state.remove_core(self.core);
        let left: Vec<_> = state.descriptors_of(self.core);
        assert!(left.is_empty(), "core {} ends and leaves {left:?} open", self.core);
    }
}
