//! Clients that are not on the core that accepted them: those that came here, and where those went
//! that were accepted here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::client::ClientId;
use crate::client::session::{Farewell, Session};

/// The guests of one core, and its own clients that are away.
#[derive(Default)]
pub(crate) struct Guests {
    here: RefCell<HashMap<ClientId, Weak<Session>>>,
    away: RefCell<HashMap<ClientId, Away>>,
}

struct Away {
    core: usize,
    farewell: Option<Farewell>,
}

impl Guests {
    /// A client that came from another core.
    pub(super) fn find(&self, id: ClientId) -> Option<Rc<Session>> {
        self.here.borrow().get(&id)?.upgrade()
    }

    /// The core where a client is that was accepted here.
    pub(super) fn went(&self, id: ClientId) -> Option<usize> {
        self.away.borrow().get(&id).map(|away| away.core)
    }

    pub(super) fn came(&self, session: &Rc<Session>) {
        self.here.borrow_mut().insert(session.id, Rc::downgrade(session));
    }

    pub(super) fn left(&self, id: ClientId) {
        self.here.borrow_mut().remove(&id);
    }

    /// A client of this core is on its way to another one.
    pub(super) fn send_away(&self, id: ClientId, core: usize, farewell: Option<Farewell>) {
        self.away.borrow_mut().insert(id, Away { core, farewell });
    }

    /// A client of this core has gone on from one core to the next. The news of its end may have come
    /// first.
    pub(super) fn moved_on(&self, id: ClientId, core: usize) {
        if let Some(away) = self.away.borrow_mut().get_mut(&id) {
            away.core = core;
        }
    }

    /// A client of this core is gone, or has come home. Returns who hears of it.
    pub(super) fn came_home(&self, id: ClientId) -> Option<Farewell> {
        self.away.borrow_mut().remove(&id)?.farewell
    }
}
