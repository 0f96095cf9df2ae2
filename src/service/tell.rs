//! The way of a signal to a service, wherever it is, and of the order to end.

use std::rc::Rc;

use super::address::ServiceId;
use super::post;
use super::reason::{Down, Reason};
use super::signal::Signal;
use super::table::Services;
use crate::memory::envelope::Letter;
use crate::reactor::Reactor;

/// Tells a service, wherever it is. What it hears of one sender comes in order.
pub(super) fn tell(to: ServiceId, signal: Signal) {
    let letter = Sealed { to, signal };
    if let Err(letter) = post::control(to.engine(), to.core(), letter) {
        miss(letter.signal, to);
    }
}

struct Sealed {
    to: ServiceId,
    signal: Signal,
}

impl Letter<Rc<Reactor>> for Sealed {
    fn open(self, reactor: &Rc<Reactor>) {
        match Services::of(reactor).door(self.to) {
            Some(door) => door.signal(self.signal),
            None => miss(self.signal, self.to),
        }
    }
}

/// There is no service `to`: whoever must know hears so.
fn miss(signal: Signal, to: ServiceId) {
    match signal {
        Signal::Watch(watcher) => {
            let down = Down { service: to, name: "", reason: Reason::Gone };
            tell(watcher, Signal::Down(down.into()));
        }
        Signal::Link(other) => tell(other, Signal::Broken { by: to, orderly: false }),
        _ => {}
    }
}

/// Asks a service to end in order: after what it handles now, before what waits behind. It hears so
/// by [`Service::stopped`](super::Service::stopped). Nothing happens when it has ended already.
///
/// ```no_run
/// # fn example(room: skyring::service::Address<()>) {
/// skyring::service::stop(room.id());
/// # }
/// ```
pub fn stop(service: ServiceId) {
    tell(service, Signal::Stop);
}

/// Ends a service in the middle of whatever it does. Its state is dropped; it hears nothing. Nothing
/// happens when it has ended already.
pub fn kill(service: ServiceId) {
    // Gone already, if it cannot be told.
    let _ = post::control(service.engine(), service.core(), Kill(service));
}

struct Kill(ServiceId);

impl Letter<Rc<Reactor>> for Kill {
    fn open(self, reactor: &Rc<Reactor>) {
        if let Some(door) = Services::of(reactor).door(self.0) {
            door.kill();
        }
    }
}

/// Leaves a service that has just been started on this core to its supervisor, which hears of its
/// end however soon that comes, and sees to it when the engine stops.
pub(super) fn adopt(reactor: &Reactor, service: ServiceId, supervisor: ServiceId) {
    if let Some(door) = Services::of(reactor).door(service) {
        door.adopt();
        // This one first: the news of the end comes behind it.
        tell(supervisor, Signal::Watches(service));
        door.signal(Signal::Watch(supervisor));
    }
}
