//! The way of a client to a service on another core.
//!
//! ```text
//!   core a: forward ─▶ cancel, last completion ─▶ Parcel ═ fabric ═▶ core b: adopt ─▶ the service
//!           guests.away: b  ◀═════════════════ gone ═══════════════   guests.here
//! ```
//! The core that accepted the client keeps a note of where it went: orders by its name come there
//! first, and whoever had it first hears there of its end.

use std::rc::Rc;

use super::address::ServiceId;
use super::belong::{ForwardError, hub, remember_first};
use super::post;
use super::table::Services;
use crate::client::parcel::Parcel;
use crate::client::session::{Farewell, Session};
use crate::client::{ClientId, Disconnect};
use crate::memory::envelope::Letter;
use crate::net::connection::Receiver;
use crate::reactor::Reactor;

/// Sends a client to the core of its next service.
pub(super) fn send_away(session: &Rc<Session>, to: ServiceId) -> Result<(), ForwardError> {
    let reactor = session.connection.reactor.clone();
    let is_ours = to.engine() == reactor.shared.engine && to.core() < reactor.shared.cores();
    if !session.connection.is_open() {
        return Err(ForwardError::Gone(session.id)); // whose it is hears so
    }
    if !is_ours || reactor.fabric.has_room(to.core()).is_none() {
        return Err(ForwardError::Dead(to));
    }
    remember_first(session, to);
    let packed = session.clone();
    session.pack(move |parcel, farewell| {
        // Whoever knows it by name may have sent it elsewhere meanwhile.
        let redirection = packed.take_redirection().and_then(ServiceId::from_bits);
        let to = redirection.filter(|other| other.engine() == to.engine()).unwrap_or(to);
        send(&reactor, parcel, farewell, to);
    });
    Ok(())
}

/// Sends a client that is free of its core on its way.
fn send(reactor: &Reactor, parcel: Parcel, farewell: Option<Farewell>, to: ServiceId) {
    let id = parcel.id();
    let guests = &Services::of(reactor).guests;
    if is_home(reactor, id) {
        guests.send_away(id, to.core(), farewell);
    } else {
        guests.left(id);
        let _ = post::control(id.engine(), id.core(), MovedOn { id, core: to.core() });
    }
    reactor.metrics.clients_sent.add(1);
    if let Err(lost) = post::control(to.engine(), to.core(), Arrival { parcel, to }) {
        drop(lost); // that core has ended: the connection is closed
        tell_home(id, Disconnect::Abandoned);
    }
}

fn is_home(reactor: &Reactor, id: ClientId) -> bool {
    (id.engine(), id.core()) == (reactor.shared.engine, reactor.index)
}

/// The client is gone: tells the core that accepted it.
fn tell_home(id: ClientId, why: Disconnect) {
    let _ = post::control(id.engine(), id.core(), Gone { id, why });
}

/// A client that arrives.
struct Arrival {
    parcel: Parcel,
    to: ServiceId,
}

impl Letter<Rc<Reactor>> for Arrival {
    fn open(self, reactor: &Rc<Reactor>) {
        reactor.metrics.clients_taken.add(1);
        let session = self.parcel.unpack(reactor);
        let id = session.id;
        let guests = &Services::of(reactor).guests;
        let at_home = is_home(reactor, id);
        if at_home && let Some(farewell) = guests.came_home(id) {
            session.on_farewell(farewell); // it comes back: whoever waits for its end waits here
        }
        // Even at home its key is another one by now.
        guests.came(&session);
        session.on_check_out(Box::new(move |id, why| {
            Reactor::with_current(|reactor| {
                reactor.inspect(|reactor| Services::of(reactor).guests.left(id));
            });
            if !at_home {
                tell_home(id, why.copy());
            }
        }));
        let given = hub(reactor, self.to).is_some_and(|hub| session.give_to(&hub));
        if given {
            session.open();
            if reactor.is_stopping() {
                session.drain(); // the order to do so came before the client
            }
            return;
        }
        tracing::debug!(client = %id, service = %self.to, "forwarded to a service that has ended");
        session.close(Disconnect::Abandoned);
    }
}

/// A guest has gone on to another core.
struct MovedOn {
    id: ClientId,
    core: usize,
}

impl Letter<Rc<Reactor>> for MovedOn {
    fn open(self, reactor: &Rc<Reactor>) {
        Services::of(reactor).guests.moved_on(self.id, self.core);
    }
}

/// A client that was accepted here is gone.
struct Gone {
    id: ClientId,
    why: Disconnect,
}

impl Letter<Rc<Reactor>> for Gone {
    fn open(self, reactor: &Rc<Reactor>) {
        if let Some(farewell) = Services::of(reactor).guests.came_home(self.id) {
            (farewell.tell)(self.id, self.why);
        }
    }
}
