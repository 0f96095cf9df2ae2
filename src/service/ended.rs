//! Waiting for the end of a service, from any task of a core.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use super::Service;
use super::address::ServiceId;
use super::context::Context;
use super::error::SpawnError;
use super::life;
use super::notify::{Notify, Wait};
use super::reason::Down;
use super::signal::Signal;
use super::table::Services;
use super::tell::{kill, tell};
use crate::error::Result;
use crate::reactor::Reactor;

/// Watches a service from now on; the future waits until it has ended, however it does. One that has
/// ended already is [`Reason::Gone`](super::Reason::Gone). A service that wants to go on handling
/// messages meanwhile [watches](Context::watch) instead.
///
/// ```
/// # use skyring::prelude::*;
/// # use skyring::service::{self, Context, Reason, Service};
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
///
/// # Errors
/// [`SpawnError::Full`]: this core holds too many services to watch by.
///
/// # Panics
/// Outside of a reactor.
pub fn ended(service: impl Into<ServiceId>) -> Result<Ended, SpawnError> {
    let service = service.into();
    let reactor = Reactor::current();
    let found = Rc::new(Found::default());
    let sentinel = life::start(&reactor, Sentinel(found.clone()))?.id();
    if let Some(door) = Services::of(&reactor).door(sentinel) {
        door.adopt(); // it outlasts the order to stop, to tell of others' ends
        door.watch(service);
        tell(service, Signal::Watch(sentinel));
    }
    let told = found.notify.wait();
    Ok(Ended { found, told, sentinel })
}

/// The future of [`ended`]. Dropping it ends the watch.
#[must_use = "a future does nothing unless awaited"]
#[derive(Debug)]
pub struct Ended {
    found: Rc<Found>,
    told: Wait,
    sentinel: ServiceId,
}

impl Future for Ended {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Down> {
        Pin::new(&mut self.told).poll(cx).map(|()| {
            let down = self.found.down.take();
            down.expect("the sentinel told what it found, and this is polled no more")
        })
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        kill(self.sentinel);
    }
}

#[derive(Debug, Default)]
struct Found {
    down: RefCell<Option<Down>>,
    notify: Notify,
}

/// Watches for somebody who is no service.
struct Sentinel(Rc<Found>);

impl Service for Sentinel {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        self.0.down.replace(Some(down));
        self.0.notify.wake_one();
        cx.stop();
        Ok(())
    }
}
