//! The hub: one service a core, which hands what rooms say to the members on its core.
//!
//! ```text
//!   room (any core) ── one message a core ──▶ hub ──▶ outlet, outlet, outlet     bytes encoded once
//! ```
//! What a hub gets from a room it hands out in that order, an arrival and what the newcomer is told
//! among it. So all members hear the same in the same order, and a newcomer misses nothing between
//! the state of the room and what follows.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use crate::prelude::*;
use crate::service::{Down, ServiceId};

/// Gives one object to a client, framed as its connection frames; never waits. One that reads too
/// slowly is closed by its connection, and its agent ends then, so nothing is said here.
pub type Outlet = Rc<dyn Fn(&Bytes)>;

/// Makes the outlet of a client on the client's core; `None` when it is gone. This is all that a
/// chat knows of connections: whoever brings one, over whatever protocol, brings such a function.
pub type Claim = Box<dyn FnOnce() -> Option<Outlet> + Send>;

const HUB: &str = "chat.hub";

/// The hub of a core.
#[derive(Default)]
pub struct Hub {
    clients: HashMap<ServiceId, Place>,
    rooms: HashMap<ServiceId, Vec<Member>>,
}

/// A client, and the room that it is in.
struct Place {
    outlet: Outlet,
    room: Option<ServiceId>,
}

struct Member {
    agent: ServiceId,
    outlet: Outlet,
}

/// What a hub is sent. Agents go by their number.
pub enum ToHub {
    /// A client of this core comes; it leaves when its agent ends. `false` when it is gone already.
    Open(ServiceId, Claim, Reply<bool>),
    /// For one client. `false` when it is not here.
    Tell(ServiceId, Bytes, Reply<bool>),
    /// From a room, for all its members here.
    Deliver(Box<Delivery>, Reply<()>),
}

/// What a room says.
pub struct Delivery {
    /// Who says it.
    pub room: ServiceId,
    /// What.
    pub event: Bytes,
    /// What goes with it.
    pub with: With,
}

/// What goes with an event.
#[derive(Clone)]
pub enum With {
    /// Nothing.
    Nothing,
    /// A new member, who hears the event and then these.
    Enter(ServiceId, Vec<Bytes>),
    /// A member leaves, who does not hear the event.
    Leave(ServiceId),
    /// A member hears the second instead of the event.
    Instead(ServiceId, Bytes),
}

/// The hub of this core.
pub(super) fn hub() -> Result<Address<ToHub>> {
    if let Some(hub) = service::find_local(HUB) {
        return Ok(hub);
    }
    let hub = service::spawn(Hub::default())?;
    service::bind_local(HUB, hub)?;
    Ok(hub)
}

impl Hub {
    fn enter(&mut self, room: ServiceId, agent: ServiceId) {
        // One that is gone meanwhile: the room hears of it, too.
        let Some(place) = self.clients.get_mut(&agent) else { return };
        let before = place.room.replace(room);
        let member = Member { agent, outlet: place.outlet.clone() };
        if let Some(before) = before {
            self.take_out(before, agent);
        }
        self.rooms.entry(room).or_default().push(member);
    }

    fn leave(&mut self, room: ServiceId, agent: ServiceId) {
        if let Some(place) = self.clients.get_mut(&agent)
            && place.room == Some(room)
        {
            place.room = None;
            self.take_out(room, agent);
        }
    }

    fn take_out(&mut self, room: ServiceId, agent: ServiceId) {
        let Some(members) = self.rooms.get_mut(&room) else { return };
        if let Some(at) = members.iter().position(|member| member.agent == agent) {
            members.swap_remove(at);
        }
        if members.is_empty() {
            self.rooms.remove(&room);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { room, event, with } = delivery;
        match &with {
            With::Enter(agent, _) => self.enter(room, *agent),
            With::Leave(agent) => self.leave(room, *agent),
            With::Nothing | With::Instead(..) => {}
        }
        // The same bytes under a count of this core's own: members here do not fight with those of
        // other cores for one cache line.
        let event = Bytes::from_owner(event);
        let members = self.rooms.get(&room).into_iter().flatten();
        match &with {
            With::Instead(agent, other) => members.for_each(|member| {
                (member.outlet)(if member.agent == *agent { other } else { &event });
            }),
            _ => members.for_each(|member| (member.outlet)(&event)),
        }
        if let With::Enter(agent, welcome) = &with
            && let Some(place) = self.clients.get(agent)
        {
            welcome.iter().for_each(|event| (place.outlet)(event));
        }
    }
}

impl Service for Hub {
    type Message = ToHub;

    async fn handle(&mut self, message: ToHub, cx: &Context<Self>) -> Result<()> {
        match message {
            ToHub::Deliver(delivery, reply) => {
                self.deliver(*delivery);
                reply.send(());
            }
            ToHub::Open(agent, claim, reply) => {
                let outlet = claim();
                reply.send(outlet.is_some());
                if let Some(outlet) = outlet {
                    self.clients.insert(agent, Place { outlet, room: None });
                    cx.watch(agent);
                }
            }
            ToHub::Tell(agent, event, reply) => {
                let place = self.clients.get(&agent);
                if let Some(place) = place {
                    (place.outlet)(&event);
                }
                reply.send(place.is_some());
            }
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        if let Some(place) = self.clients.remove(&down.service)
            && let Some(room) = place.room
        {
            self.take_out(room, down.service);
        }
        Ok(())
    }
}
