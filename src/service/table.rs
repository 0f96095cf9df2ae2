//! The services of one core, by address, and the calls that wait for an answer here.

use std::any::Any;
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::address::{SERVICES_MAX, ServiceId};
use super::calls::Calls;
use super::error::CallError;
use super::guests::Guests;
use super::members::Groups;
use super::registry::Registry;
use super::signal::Signal;
use crate::client::Hub;
use crate::memory::slots::Slots;
use crate::reactor::number::Number;
use crate::reactor::{Extension, Reactor, Stand};

/// A service as the table knows it: whatever messages it takes.
pub(super) trait Door: Any {
    /// News for the mailbox itself, not for its service.
    fn signal(&self, signal: Signal);
    /// What clients belong to.
    fn hub(self: Rc<Self>) -> Rc<dyn Hub>;
    /// Has `told` called when the service has started; dropped when it ends before.
    fn when_started(&self, told: Box<dyn FnOnce()>);
    /// Ends the service in the middle of whatever it does.
    fn kill(&self);
    /// Notes that it hears of the end of `target`. Whether that is new, and `target` is to be told.
    fn watch(&self, target: ServiceId) -> bool;
    /// Another service sees to its end from now on.
    fn adopt(&self);
    /// Whether another service sees to its end.
    fn is_supervised(&self) -> bool;
    /// Has `told` called at the end. Returns what [`Door::forget`] takes.
    fn at_end(&self, told: AtEnd) -> usize;
    fn forget(&self, at_end: usize);
}

/// Runs when a service has ended.
pub(super) type AtEnd = Box<dyn FnOnce(ServiceId)>;

/// What the services of a core share.
pub(super) struct Services {
    table: RefCell<Slots<Rc<dyn Door>>>,
    number: Arc<Number>,
    pub(super) calls: Calls,
    pub(super) names: Registry,
    pub(super) groups: Groups,
    pub(super) guests: Guests,
    /// Why the messages that are given up now were not handled.
    unhandled: Cell<Option<CallError>>,
    /// The engine stops.
    winding_down: Cell<bool>,
    /// Spawned since then, and not told yet.
    late: RefCell<Vec<ServiceId>>,
}

impl Extension for Services {
    fn new(reactor: &Reactor) -> Services {
        let number = &reactor.shared.number;
        let first = number.first_generation();
        Services {
            table: RefCell::new(Slots::with_first(SERVICES_MAX, first)),
            number: number.clone(),
            calls: Calls::default(),
            names: Registry::default(),
            groups: Groups::default(),
            guests: Guests::default(),
            unhandled: Cell::new(None),
            winding_down: Cell::new(false),
            late: RefCell::new(Vec::new()),
        }
    }

    fn expire(&self, reactor: &Reactor, place: u32) {
        self.calls.expire(reactor, place);
    }

    fn wind_down(&self) -> bool {
        let doors = if self.winding_down.replace(true) {
            let late = self.late.take();
            late.into_iter().filter_map(|id| self.door(id)).collect()
        } else {
            self.doors()
        };
        // Those that are supervised are stopped by their supervisors, in order.
        let roots = doors.into_iter().filter(|door| !door.is_supervised());
        roots.for_each(|door| door.signal(Signal::Stop));
        self.table.borrow().is_empty()
    }

    fn stand(&self) -> Stand {
        Stand { services: self.table.borrow().len(), calls: self.calls.len() }
    }
}

/// The next engine of this number begins where this one ends.
impl Drop for Services {
    fn drop(&mut self) {
        self.number.used(self.table.get_mut().generation_reached());
    }
}

impl Services {
    #[inline]
    pub(super) fn of(reactor: &Reactor) -> &Services {
        reactor.extension()
    }

    /// Enters a service that `make` makes of its name. `None` when the table is full.
    pub(super) fn enter<D: Door>(
        &self,
        reactor: &Reactor,
        make: impl FnOnce(ServiceId) -> D,
    ) -> Option<Rc<D>> {
        let key = self.table.borrow().vacant_key()?;
        let id = ServiceId::new(reactor.shared.engine, reactor.index, key);
        let door = Rc::new(make(id));
        let entered = self.table.borrow_mut().insert(door.clone());
        debug_assert!(entered.is_ok_and(|entered| entered == key), "the key was vacant");
        if self.winding_down.get() {
            self.late.borrow_mut().push(id);
        }
        self.tell_load(reactor);
        Some(door)
    }

    /// Nothing finds the service from now on.
    pub(super) fn leave(&self, reactor: &Reactor, id: ServiceId) {
        let left = self.table.borrow_mut().remove(id.key());
        drop(left); // outside of the borrow
        self.tell_load(reactor);
    }

    /// Tells the other cores how many services live here.
    fn tell_load(&self, reactor: &Reactor) {
        let len = self.table.borrow().len();
        reactor.shared.loads[reactor.index].store(len, Ordering::Relaxed);
    }

    /// A service of this core, if it is a `D`: without a count of it. No user's code may run
    /// meanwhile.
    #[inline]
    pub(super) fn find<D: Door>(&self, id: ServiceId) -> Option<Ref<'_, D>> {
        Ref::filter_map(self.table.borrow(), |table| {
            let door: &dyn Any = &**table.get(id.key())?;
            door.downcast_ref()
        })
        .ok()
    }

    /// The service itself; for what may run a user's code.
    pub(super) fn door(&self, id: ServiceId) -> Option<Rc<dyn Door>> {
        self.table.borrow().get(id.key()).cloned()
    }

    /// All services, for what may end them meanwhile.
    fn doors(&self) -> Vec<Rc<dyn Door>> {
        self.table.borrow().iter().map(|(_, door)| door.clone()).collect()
    }

    /// Gives messages up in `body`: whoever called by one of them hears this reason, unless he is
    /// answered there.
    pub(super) fn give_up<R>(&self, reason: CallError, body: impl FnOnce() -> R) -> R {
        let before = self.unhandled.replace(Some(reason));
        let result = body();
        self.unhandled.set(before);
        result
    }

    /// Why a reply that is dropped now was not used.
    pub(super) fn reason(&self) -> CallError {
        self.unhandled.get().unwrap_or(CallError::Dropped)
    }
}
