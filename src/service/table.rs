//! The services of one core, by address, and the calls that wait for an answer here.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::address::{SERVICES_MAX, ServiceId};
use super::calls::Calls;
use super::signal::Signal;
use crate::memory::slots::Slots;
use crate::reactor::{Extension, Reactor};

/// A service as the table knows it: whatever messages it takes.
pub(super) trait Door: Any {
    /// News for the mailbox itself, not for its service.
    fn signal(&self, signal: Signal);
    /// Ends the service in the middle of whatever it does.
    fn kill(&self);
    /// Whether another service sees to its end.
    fn is_supervised(&self) -> bool;
}

/// What the services of a core share.
pub(super) struct Services {
    table: RefCell<Slots<Rc<dyn Door>>>,
    pub(super) calls: Calls,
    /// Whose handler is polled now.
    current: Cell<Option<ServiceId>>,
    /// The engine stops: what is spawned now is told so at once.
    winding_down: Cell<bool>,
}

impl Default for Services {
    fn default() -> Services {
        Services {
            table: RefCell::new(Slots::new(SERVICES_MAX)),
            calls: Calls::default(),
            current: Cell::new(None),
            winding_down: Cell::new(false),
        }
    }
}

impl Extension for Services {
    fn expire(&self, reactor: &Reactor, place: u32) {
        self.calls.expire(reactor, place);
    }

    fn wind_down(&self) -> bool {
        if !self.winding_down.replace(true) {
            // Those that are supervised are stopped by their supervisors, in order.
            let roots = self.doors().into_iter().filter(|door| !door.is_supervised());
            roots.for_each(|door| door.signal(Signal::Stop));
        }
        self.table.borrow().is_empty()
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
        let door = Rc::new(make(ServiceId::new(reactor.shared.engine, reactor.index, key)));
        let entered = self.table.borrow_mut().insert(door.clone());
        debug_assert!(entered.is_ok_and(|entered| entered == key), "the key was vacant");
        if self.winding_down.get() {
            door.signal(Signal::Stop);
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

    /// Looks at a service of this core, without a count of it. No user's code may run in `look`.
    #[inline]
    pub(super) fn look<R>(&self, id: ServiceId, look: impl FnOnce(Option<&dyn Any>) -> R) -> R {
        let table = self.table.borrow();
        look(table.get(id.key()).map(|door| &**door as &dyn Any))
    }

    /// The service itself; for what may run a user's code.
    pub(super) fn door(&self, id: ServiceId) -> Option<Rc<dyn Door>> {
        self.table.borrow().get(id.key()).cloned()
    }

    /// All services, for what may end them meanwhile.
    fn doors(&self) -> Vec<Rc<dyn Door>> {
        self.table.borrow().iter().map(|(_, door)| door.clone()).collect()
    }

    /// Whose handler is polled now.
    #[inline]
    pub(super) fn current(&self) -> Option<ServiceId> {
        self.current.get()
    }

    /// Names the service whose handler is polled next. Returns the one before.
    #[inline]
    pub(super) fn set_current(&self, current: Option<ServiceId>) -> Option<ServiceId> {
        self.current.replace(current)
    }
}
