//! Which service a client belongs to, on this core.

use std::fmt;
use std::rc::Rc;

use super::address::ServiceId;
use super::signal::Signal;
use super::table::Services;
use super::tell::tell;
use crate::client::session::{Farewell, Session};
use crate::client::{Client, ClientId, Hub};
use crate::error::Error;
use crate::reactor::Reactor;

/// Why a client was not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardError {
    /// The client is gone, or on its way to another core already.
    Gone(ClientId),
    /// The service has ended, or its core has. The client stays where it was.
    Dead(ServiceId),
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardError::Gone(client) => write!(f, "client {client} is gone"),
            ForwardError::Dead(service) => {
                write!(f, "service {service} has ended: the client was not forwarded")
            }
        }
    }
}

impl std::error::Error for ForwardError {}

impl From<ForwardError> for Error {
    fn from(error: ForwardError) -> Error {
        Error::Other(error.into())
    }
}

/// What clients of the service belong to.
pub(crate) fn hub(reactor: &Reactor, service: ServiceId) -> Option<Rc<dyn Hub>> {
    Services::of(reactor).door(service).map(|door| door.hub())
}

/// Gives a client that nobody need hear of to a service of this core. Whether that lives.
pub(crate) fn give(reactor: &Reactor, client: &Client, to: impl Into<ServiceId>) -> bool {
    hub(reactor, to.into()).is_some_and(|hub| client.session().give_to(&hub))
}

/// The service that has the client now hears of its end, if it is the first to hand it on.
pub(super) fn remember_first(session: &Rc<Session>, to: ServiceId) {
    // Of a client that came from another core, that core knows who had it first.
    let is_home = session.id.core() == session.connection.reactor.index;
    let Some(first) = session.owner().and_then(ServiceId::from_bits) else { return };
    if !is_home || first == to || session.has_farewell() {
        return;
    }
    let tell = Box::new(move |id, why| tell(first, Signal::Gone((id, why).into())));
    session.on_farewell(Farewell { first: first.bits(), tell });
}
