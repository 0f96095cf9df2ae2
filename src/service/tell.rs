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
/// Returns at once, from any thread; [`ended`](super::ended) waits for the end.
///
/// ```
/// # use skyring::prelude::*;
/// # use skyring::service::Reason;
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// let room = service::spawn(Room)?;
/// let end = service::ended(room)?;
/// service::stop(room);
/// assert_eq!(end.await.reason, Reason::Stopped);
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
pub fn stop(service: impl Into<ServiceId>) {
    tell(service.into(), Signal::Stop);
}

/// Ends a service in the middle of whatever it does. Its state is dropped; it hears nothing. Nothing
/// happens when it has ended already. For one that does not stop.
///
/// ```
/// use std::time::Duration;
///
/// use skyring::prelude::*;
/// use skyring::service::Reason;
///
/// struct Sleeper;
///
/// impl Service for Sleeper {
///     type Message = ();
///
///     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> {
///         Ok(sleep(Duration::from_secs(3600)).await)
///     }
/// }
/// # skyring::sim::Simulation::new(1).run(async {
/// let sleeper = service::spawn(Sleeper)?;
/// sleeper.send(())?;
/// let mut end = service::ended(sleeper)?;
/// service::stop(sleeper); // it hears so in an hour
/// if within(Duration::from_secs(1), &mut end).await.is_err() {
///     service::kill(sleeper);
///     assert_eq!(end.await.reason, Reason::Killed);
/// }
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
pub fn kill(service: impl Into<ServiceId>) {
    let service = service.into();
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
