//! A client on its way to another core: its connection, and what nobody has read.

use std::rc::Rc;

use super::id::ClientId;
use super::session::{Farewell, Luggage, Session};
use crate::net::connection::{Connection, Departure};
use crate::reactor::Reactor;

/// Everything of a client, free of its core. Dropped, it closes the socket by `Departure`.
pub(crate) struct Parcel {
    departure: Departure,
    luggage: Luggage,
}

impl Session {
    /// Frees the client of this core: cancels its operations, awaits the last completion, and calls
    /// `done` with all of it, and with who hears of its end. Not called when the connection ends
    /// meanwhile.
    pub(crate) fn pack(self: &Rc<Self>, done: impl FnOnce(Parcel, Option<Farewell>) + 'static) {
        let session = self.clone();
        self.begin_leaving(Box::new(move |departure| {
            let luggage = session.take_luggage();
            done(Parcel { departure, luggage }, session.take_farewell());
        }));
    }
}

impl Parcel {
    /// Whose it is.
    pub(crate) fn id(&self) -> ClientId {
        self.luggage.id
    }

    /// The client's session on this core. It belongs to nobody yet.
    pub(crate) fn unpack(self, reactor: &Rc<Reactor>) -> Rc<Session> {
        let connection = Connection::arrive(reactor, self.departure);
        Session::adopt(connection, self.luggage)
    }
}
