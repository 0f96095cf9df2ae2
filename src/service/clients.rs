//! The clients of one service: all that belong to it, and those that have something for it.

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use crate::client::Client;
use crate::client::session::Session;

/// The clients of one service. Most have one: an agent has its client, and a gate's services have
/// none at all.
#[derive(Default)]
pub(super) struct Clients {
    sole: Option<Rc<Session>>,
    sole_is_ready: bool,
    /// Used as soon as there is a second one.
    many: Option<Box<Many>>,
}

#[derive(Default)]
struct Many {
    all: Slab<Rc<Session>>,
    /// Each once, in the order in which they had something first.
    ready: VecDeque<Rc<Session>>,
}

impl Clients {
    pub(super) fn enter(&mut self, session: &Rc<Session>) {
        if self.sole.is_none() && self.many.is_none() {
            self.sole = Some(session.clone());
            return;
        }
        let many = self.many.get_or_insert_default();
        if let Some(sole) = self.sole.take() {
            sole.place.set(many.all.insert(sole.clone()) as u32);
            if std::mem::take(&mut self.sole_is_ready) {
                many.ready.push_back(sole);
            }
        }
        session.place.set(many.all.insert(session.clone()) as u32);
    }

    /// The session, for the caller to drop outside of the borrow.
    pub(super) fn leave(&mut self, session: &Rc<Session>) -> Option<Rc<Session>> {
        match &mut self.many {
            None => {
                self.sole_is_ready = false;
                self.sole.take()
            }
            // Where it stands in the queue is found out when its turn comes.
            Some(many) => many.all.try_remove(session.place.get() as usize),
        }
    }

    pub(super) fn ready(&mut self, session: &Rc<Session>) {
        match &mut self.many {
            None => self.sole_is_ready = true,
            Some(many) => many.ready.push_back(session.clone()),
        }
    }

    /// The next client that has something; it may have left meanwhile.
    pub(super) fn pop(&mut self) -> Option<Rc<Session>> {
        match &mut self.many {
            None if std::mem::take(&mut self.sole_is_ready) => self.sole.clone(),
            None => None,
            Some(many) => many.ready.pop_front(),
        }
    }

    /// The one that was popped has its turn again.
    pub(super) fn put_back(&mut self, session: Rc<Session>) {
        match &mut self.many {
            None => self.sole_is_ready = true,
            Some(many) => many.ready.push_front(session),
        }
    }

    /// Whether a client has something.
    pub(super) fn is_ready(&self) -> bool {
        self.sole_is_ready || self.many.as_ref().is_some_and(|many| !many.ready.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        match &self.many {
            None => usize::from(self.sole.is_some()),
            Some(many) => many.all.len(),
        }
    }

    /// All of them, when their service has ended.
    pub(super) fn take_all(&mut self) -> Vec<Rc<Session>> {
        let sole = self.sole.take();
        let many = self.many.take().map(|many| many.all.into_iter());
        sole.into_iter().chain(many.into_iter().flatten().map(|(_, session)| session)).collect()
    }
}

/// A service that hears no clients has got one, which has sent something.
#[cold]
pub(super) fn close_unheard(client: &Client, service: &str) {
    let client_id = client.id();
    tracing::warn!(client = %client_id, service, "closed: it was forwarded to a service that hears no clients");
    client.close();
}
