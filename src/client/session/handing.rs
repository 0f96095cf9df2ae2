//! How a session is handed on: to another service, to another core, and who hears of its end.

use std::mem;
use std::rc::Rc;

use super::{Farewell, Packed, Session};
use crate::client::Hub;
use crate::client::disconnect::Disconnect;
use crate::client::id::ClientId;
use crate::client::pace::Pace;
use crate::client::unread::Unread;
use crate::net::connection::Connection;
use crate::net::cutter::Cutter;

/// What a session takes along to another core, beside its connection.
pub(in crate::client) struct Luggage {
    pub(in crate::client) id: ClientId,
    cutter: Cutter,
    waiting: Vec<u8>,
    end: Option<Disconnect>,
    greeted: bool,
    pace: Option<Box<Pace>>,
}

impl Session {
    /// Gives the client to a service. `false` when that has ended; then the client stays whose it
    /// was. What waits goes along.
    pub(crate) fn give_to(self: &Rc<Self>, hub: &Rc<dyn Hub>) -> bool {
        if self.is_of(hub.number()) {
            return true;
        }
        let before = self.place.get();
        if !hub.enter(self) {
            return false;
        }
        let place = self.place.replace(before);
        self.leave_hub();
        self.place.set(place);
        self.hub.set(Some(hub.clone()));
        self.marks.is_new.set(true);
        self.announce();
        true
    }

    /// Has `farewell` told when the client is gone, whose ever it is by then.
    pub(crate) fn on_farewell(&self, farewell: Farewell) {
        let before = self.with_rare(|rare| rare.farewell.replace(farewell));
        drop(before);
    }

    pub(crate) fn take_farewell(&self) -> Option<Farewell> {
        self.if_rare(|rare| rare.farewell.take())
    }

    /// Whether somebody else hears of the end, too.
    pub(crate) fn has_farewell(&self) -> bool {
        self.if_rare(|rare| rare.farewell.as_ref().map(|_| ())).is_some()
    }

    pub(super) fn say_farewell(&self, why: Disconnect) {
        if let Some(farewell) = self.take_farewell() {
            farewell(self.id, why);
        }
    }

    /// Whether no service will hear of it any more, or none of this core.
    pub(crate) fn is_gone(&self) -> bool {
        self.marks.leaving.get()
            || self.marks.ended.get()
                && self.if_rare(|rare| rare.end.as_ref().map(|_| ())).is_none()
    }

    /// Whether it is on its way to another core.
    pub(crate) fn is_leaving(&self) -> bool {
        self.marks.leaving.get()
    }

    /// Sends it to another service than the one that it is on its way to, by that one's number.
    pub(crate) fn redirect(&self, to: u64) {
        self.with_rare(|rare| rare.redirection = Some(to));
    }

    pub(crate) fn take_redirection(&self) -> Option<u64> {
        self.if_rare(|rare| rare.redirection.take())
    }

    /// Frees the connection of this core, and calls `packed` when it is; not if it ends meanwhile.
    pub(in crate::client) fn begin_leaving(self: &Rc<Self>, packed: Packed) {
        self.marks.leaving.set(true);
        self.leave_hub();
        self.with_rare(|rare| rare.packed = Some(packed));
        self.connection.leave_core();
    }

    /// What goes along with the connection.
    pub(in crate::client) fn take_luggage(&self) -> Luggage {
        let fresh = Unread::new(self.framing(), 0);
        let (cutter, waiting) = mem::replace(&mut *self.unread.borrow_mut(), fresh).pack();
        Luggage {
            id: self.id,
            cutter,
            waiting,
            end: self.if_rare(|rare| rare.end.take()),
            greeted: self.marks.greeted.get(),
            pace: self.pace.take(),
        }
    }

    /// The session of a client that came from another core.
    pub(in crate::client) fn adopt(connection: Rc<Connection>, luggage: Luggage) -> Rc<Session> {
        let Luggage { id, cutter, waiting, end, greeted, pace } = luggage;
        let unread = Unread::unpack(cutter, waiting);
        let session = Session::build(connection, id, unread, pace);
        session.marks.greeted.set(greeted);
        if !greeted {
            session.watch_handshake();
        }
        if let Some(why) = end {
            session.end(why);
        }
        session
    }
}
