//! Waiting until a service is ready.

use std::rc::Rc;

use super::address::ServiceId;
use super::call::Call;
use super::error::CallError;
use super::post;
use super::reply::Reply;
use super::table::Services;
use crate::memory::envelope::Letter;
use crate::reactor::Reactor;

/// Waits until a service has started: until [`Service::started`](super::Service::started) is done
/// and it handles messages. It waits as a call does.
///
/// ```
/// # use skyring::prelude::*;
/// # struct Store;
/// # impl Service for Store {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// let store = service::spawn(Store)?;
/// service::started(store).await?;
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// [`CallError::Dead`] when it has ended, before it had started or after; [`CallError::TimedOut`].
///
/// # Panics
/// When polled outside of a reactor.
pub fn started(
    service: impl Into<ServiceId>,
) -> Call<(), impl FnOnce(Reply<()>) -> Result<(), CallError>> {
    let service = service.into();
    Call::new(Some(service), move |reply| {
        let wait = Wait { service, reply };
        post::control(service.engine(), service.core(), wait).map_err(|_| CallError::Dead)
    })
}

/// A wait on its way to the service.
struct Wait {
    service: ServiceId,
    reply: Reply<()>,
}

impl Letter<Rc<Reactor>> for Wait {
    fn open(self, reactor: &Rc<Reactor>) {
        let Wait { service, reply } = self;
        let services = Services::of(reactor);
        match services.door(service) {
            Some(door) => door.when_started(Box::new(move || reply.send(()))),
            None => services.give_up(CallError::Dead, || drop(reply)),
        }
    }
}
