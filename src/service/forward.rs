//! Handing a client on, and reaching it by its name from any core.

use std::any::Any;
use std::rc::Rc;

use super::address::ServiceId;
use super::belong::{ForwardError, hub, remember_first};
use super::moving::send_away;
use super::post;
use super::table::Services;
use crate::client::session::Session;
use crate::client::{Client, ClientId};
use crate::memory::envelope::Letter;
use crate::net::connection::Connection;
use crate::reactor::Reactor;

impl Client {
    /// Hands the client to another service, with what it has sent and nobody has taken, in order,
    /// and turns its reads on. That service hears
    /// [`connected`](super::Service::connected) and everything from then on; the service that had
    /// the client first hears when it is [`gone`](super::Service::gone).
    ///
    /// A service on another core gets the connection itself: this core's operations on it are
    /// cancelled, their last completions awaited, and then it moves. This handle, and its clones,
    /// are of no use from then on. Should that service end meanwhile, the client is closed.
    ///
    /// # Errors
    /// [`ForwardError`]; the client stays where it was.
    pub fn forward(&self, to: impl Into<ServiceId>) -> Result<(), ForwardError> {
        let (session, to) = (self.session(), to.into());
        let reactor = session.connection.reactor.clone();
        if session.is_gone() {
            return Err(ForwardError::Gone(session.id));
        }
        let is_here = to.engine() == reactor.shared.engine && to.core() == reactor.index;
        if !is_here {
            return send_away(session, to);
        }
        let hub = hub(&reactor, to).ok_or(ForwardError::Dead(to))?;
        remember_first(session, to);
        if !session.give_to(&hub) {
            return Err(ForwardError::Dead(to));
        }
        session.open();
        Ok(())
    }
}

/// The client of this name, if its connection is on this core.
pub(crate) fn find(reactor: &Reactor, id: ClientId) -> Option<Rc<Session>> {
    if let Some(session) = Services::of(reactor).guests.find(id) {
        return Some(session);
    }
    if (id.engine(), id.core()) != (reactor.shared.engine, reactor.index) {
        return None;
    }
    let resident: Rc<dyn Any> = reactor.resident(id.key())?;
    let receiver: Rc<dyn Any> = resident.downcast::<Connection>().ok()?.receiver()?;
    receiver.downcast::<Session>().ok().filter(|session| session.id == id)
}

/// What is done with a client, wherever it is.
enum Order {
    Open,
    Close,
    Kick,
    Forward(ServiceId),
}

/// An order on its way to the core that has the client.
struct Ordered {
    client: ClientId,
    order: Order,
}

impl Letter<Rc<Reactor>> for Ordered {
    fn open(self, reactor: &Rc<Reactor>) {
        let Ordered { client: id, order } = self;
        let Some(session) = find(reactor, id) else {
            // The core that accepted it knows where it is. Of the other cores the news of a move, or
            // of the end, is there before an order that they send back.
            let is_home = (id.engine(), id.core()) == (reactor.shared.engine, reactor.index);
            let next =
                if is_home { Services::of(reactor).guests.went(id) } else { Some(id.core()) };
            if let Some(core) = next {
                let _ = post::control(id.engine(), core, Ordered { client: id, order });
            }
            return;
        };
        let client = Client::new(session);
        match order {
            Order::Open => client.open(),
            Order::Close => client.close(),
            Order::Kick => client.kick(),
            Order::Forward(to) if client.session().is_leaving() => {
                client.session().redirect(to.bits());
            }
            Order::Forward(to) => {
                if let Err(error) = client.forward(to) {
                    tracing::debug!(client = %id, %error, "not forwarded");
                }
            }
        }
    }
}

fn order(client: ClientId, order: Order) {
    // Gone with its core, if that cannot be told.
    let _ = post::control(client.engine(), client.core(), Ordered { client, order });
}

/// These reach the client from any core and any thread, in the order in which one sender gives them.
/// Nothing happens when it is gone.
impl ClientId {
    /// As [`Client::open`].
    pub fn open(self) {
        order(self, Order::Open);
    }

    /// As [`Client::close`].
    pub fn close(self) {
        order(self, Order::Close);
    }

    /// As [`Client::kick`].
    pub fn kick(self) {
        order(self, Order::Kick);
    }

    /// As [`Client::forward`]. A service that has ended gets nothing, and the client stays where it
    /// was; who must know [watches](super::Context::watch) it.
    pub fn forward(self, to: impl Into<ServiceId>) {
        order(self, Order::Forward(to.into()));
    }

    /// The client itself, when its connection is on this core.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn here(self) -> Option<Client> {
        find(&Reactor::current(), self).map(Client::new)
    }
}
