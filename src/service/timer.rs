//! Timers of a service: messages to itself, later.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::port::{Control, Port, Tick};
use crate::clock::Now;
use crate::reactor::{Alarm, Expire, Reactor, guarded};

/// A timer of a service. Dropping it lets the timer run on; [`Timer::cancel`] ends it.
pub struct Timer(Weak<dyn Cancel>);

impl Timer {
    /// Takes the timer back. Whether it had still something to send.
    pub fn cancel(self) -> bool {
        self.0.upgrade().is_some_and(|timer| timer.cancel())
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

trait Cancel {
    fn cancel(&self) -> bool;
}

/// Arms a timer in the wheel and enters it among those of its service.
fn arm<M: 'static>(
    port: &Port<M>,
    reactor: &Reactor,
    delay: Duration,
    timer: Rc<dyn Expire>,
) -> usize {
    let key = reactor.set_timer(delay, Alarm::Owned(timer));
    port.with_extra(|extra| extra.timers.insert(key))
}

/// Takes a timer out of the wheel and from among those of its service.
fn disarm<M: 'static>(port: &Port<M>, place: usize) {
    if let Some(key) = port.with_extra(|extra| extra.timers.try_remove(place)) {
        port.reactor().cancel_timer(key);
    }
}

struct After<M: 'static> {
    port: Weak<Port<M>>,
    place: Cell<usize>,
    message: RefCell<Option<M>>,
}

pub(super) fn after<M: 'static>(port: &Rc<Port<M>>, delay: Duration, message: M) -> Timer {
    let timer = Rc::new(After {
        port: Rc::downgrade(port),
        place: Cell::new(usize::MAX),
        message: RefCell::new(Some(message)),
    });
    timer.place.set(arm(port, port.reactor(), delay, timer.clone()));
    let cancel: Weak<dyn Cancel> = Rc::downgrade(&timer) as _;
    Timer(cancel)
}

impl<M: 'static> Expire for After<M> {
    fn expire(self: Rc<Self>) {
        let Some(port) = self.port.upgrade().filter(|port| !port.is_closed()) else { return };
        disarm(&port, self.place.get());
        if let Some(message) = self.message.take() {
            port.push_control(Control::Message(message));
        }
    }
}

impl<M: 'static> Cancel for After<M> {
    fn cancel(&self) -> bool {
        let Some(message) = self.message.take() else { return false };
        if let Some(port) = self.port.upgrade().filter(|port| !port.is_closed()) {
            disarm(&port, self.place.get());
        }
        drop(message);
        true
    }
}

struct Every<M: 'static, F> {
    port: Weak<Port<M>>,
    place: Cell<usize>,
    period: Duration,
    due: Cell<Now>,
    /// Gone while it runs, and when the timer was cancelled.
    make: RefCell<Option<F>>,
    cancelled: Cell<bool>,
    /// A tick waits in the mailbox.
    waits: Cell<bool>,
}

pub(super) fn every<M: 'static>(
    port: &Rc<Port<M>>,
    period: Duration,
    make: impl FnMut() -> M + 'static,
) -> Timer {
    assert!(!period.is_zero(), "a timer needs a period above zero");
    let reactor = port.reactor();
    let timer = Rc::new(Every {
        port: Rc::downgrade(port),
        place: Cell::new(usize::MAX),
        period,
        due: Cell::new(reactor.now() + period),
        make: RefCell::new(Some(make)),
        cancelled: Cell::new(false),
        waits: Cell::new(false),
    });
    timer.place.set(arm(port, reactor, period, timer.clone()));
    let cancel: Weak<dyn Cancel> = Rc::downgrade(&timer) as _;
    Timer(cancel)
}

impl<M: 'static, F: FnMut() -> M + 'static> Expire for Every<M, F> {
    fn expire(self: Rc<Self>) {
        let Some(port) = self.port.upgrade().filter(|port| !port.is_closed()) else { return };
        disarm(&port, self.place.get());
        if self.cancelled.get() {
            return;
        }
        // Periods that have passed already are skipped, and the rhythm is kept.
        let reactor = port.reactor();
        let mut due = self.due.get() + self.period;
        if due <= reactor.now() {
            due = reactor.now() + self.period;
        }
        self.due.set(due);
        self.place.set(arm(&port, reactor, due.since(reactor.now()), self.clone()));
        if !self.waits.replace(true) {
            port.push_control(Control::Tick(self));
        }
    }
}

impl<M: 'static, F: FnMut() -> M + 'static> Tick<M> for Every<M, F> {
    fn make(&self) -> Option<M> {
        self.waits.set(false);
        let mut make = self.make.take()?;
        let metrics = &self.port.upgrade()?.reactor().clone();
        let message = guarded(&metrics.metrics, "what makes a timer's message panicked", &mut make);
        if !self.cancelled.get() {
            self.make.replace(Some(make));
        }
        message
    }
}

impl<M: 'static, F: FnMut() -> M + 'static> Cancel for Every<M, F> {
    fn cancel(&self) -> bool {
        if self.cancelled.replace(true) {
            return false;
        }
        if let Some(port) = self.port.upgrade().filter(|port| !port.is_closed()) {
            disarm(&port, self.place.get());
        }
        let make = self.make.take();
        drop(make); // outside of the borrow
        true
    }
}
