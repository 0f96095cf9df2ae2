//! Which rooms there are, and where. One service decides for the whole engine, so that two who enter
//! a new room at the same moment meet in it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::event::{Event, Listed, ROOMS_SHOWN_MAX};
use super::limits::Limits;
use super::name::Name;
use super::room::{Room, ToRoom};
use crate::prelude::*;
use crate::service::{Down, NameError, ServiceId};

const DIRECTORY: &str = "chat.rooms";

/// The directory of rooms.
pub struct Directory {
    limits: Limits,
    /// By the name as it is compared.
    rooms: HashMap<Box<str>, Entry>,
    names: HashMap<ServiceId, Box<str>>,
}

struct Entry {
    name: Arc<str>,
    room: Address<ToRoom>,
    /// What the room says of its members; it may be a moment old.
    size: Arc<AtomicU32>,
}

/// What the directory is asked.
pub enum ToDirectory {
    /// The room of this name, made if there is none; not this one, which has ended.
    Find(Name, Option<ServiceId>, Reply<Result<Address<ToRoom>, NoRoom>>),
    /// The room of this name, if there is one.
    Look(Name, Reply<Option<Address<ToRoom>>>),
    /// All rooms: the answer to the client.
    List(Reply<Bytes>),
}

/// Why there is no room to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// There are as many rooms as there may be.
    TooMany,
    /// It could not be started now.
    Failed,
}

/// The directory of this engine.
pub(super) async fn directory(limits: Limits) -> Result<Address<ToDirectory>, NameError> {
    let make = || Directory { limits, rooms: HashMap::new(), names: HashMap::new() };
    match service::find(DIRECTORY) {
        Some(found) => Ok(found),
        None => service::unique(DIRECTORY, make).await,
    }
}

impl Directory {
    async fn find(
        &mut self,
        name: &Name,
        dead: Option<ServiceId>,
        cx: &Context<Self>,
    ) -> Result<Address<ToRoom>, NoRoom> {
        if let Some(entry) = self.rooms.get(name.folded()) {
            if Some(entry.room.id()) != dead {
                return Ok(entry.room);
            }
            self.forget(entry.room.id()); // its end is on its way to us
        }
        if self.rooms.len() >= self.limits.rooms_max {
            return Err(NoRoom::TooMany);
        }
        let (shown, size) = (name.shown().clone(), Arc::new(AtomicU32::new(0)));
        let (own, limits) = (cx.id(), self.limits);
        let (of_room, its_size) = (shown.clone(), size.clone());
        let made = service::spawn_balanced(move || Room::new(of_room, own, limits, its_size)).await;
        let room = made.map_err(|error| {
            tracing::warn!(room = &*shown, %error, "a room could not be made");
            NoRoom::Failed
        })?;
        cx.watch(room);
        self.names.insert(room.id(), name.folded().into());
        self.rooms.insert(name.folded().into(), Entry { name: shown, room, size });
        Ok(room)
    }

    fn forget(&mut self, room: ServiceId) {
        if let Some(name) = self.names.remove(&room) {
            self.rooms.remove(&name);
        }
    }

    fn list(&self) -> Bytes {
        let mut rooms: Vec<_> = self.rooms.values().collect();
        let size = |entry: &Entry| entry.size.load(Ordering::Relaxed);
        rooms.sort_by_cached_key(|entry| (Reverse(size(entry)), entry.name.clone()));
        let shown = rooms.iter().take(ROOMS_SHOWN_MAX);
        let shown: Vec<_> =
            shown.map(|entry| Listed { room: &entry.name, users: size(entry) }).collect();
        Event::List { rooms: &shown, count: rooms.len() }.encode()
    }
}

impl Service for Directory {
    type Message = ToDirectory;

    async fn handle(&mut self, message: ToDirectory, cx: &Context<Self>) -> Result<()> {
        match message {
            ToDirectory::Find(name, dead, reply) => reply.send(self.find(&name, dead, cx).await),
            ToDirectory::Look(name, reply) => {
                reply.send(self.rooms.get(name.folded()).map(|entry| entry.room));
            }
            ToDirectory::List(reply) => reply.send(self.list()),
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        self.forget(down.service);
        Ok(())
    }
}
