//! A room: a service that says who is in it, gives messages their numbers, and ends when it is
//! empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::event::{Event, Moment, USERS_SHOWN_MAX};
use super::history::History;
use super::hub::{Delivery, ToHub, With};
use super::limits::Limits;
use crate::prelude::*;
use crate::service::{CALL_TIMEOUT, CallError, Down, ServiceId};

/// How long a new room waits for the first member, who may be gone.
const FIRST_MEMBER: Duration = Duration::from_secs(10);
/// How long a room waits until it asks a hub again that had no room for its message.
const HUB_PAUSE: Duration = Duration::from_millis(1);
/// How often it asks.
const HUB_TRIES: u32 = 2000;

/// A room.
pub struct Room {
    name: Arc<str>,
    directory: ServiceId,
    limits: Limits,
    /// In the order in which they came.
    members: Vec<Member>,
    /// How many they are, for the directory to see.
    size: Arc<AtomicU32>,
    history: History,
    last_id: u64,
}

/// Who is in a room, and where what is said to him goes.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who serves him; its end is his.
    pub agent: ServiceId,
    /// The hub of his core.
    pub hub: Address<ToHub>,
    /// What he is called.
    pub name: Arc<str>,
}

/// What a room is asked. It answers when all cores with members have heard what follows from it, so
/// who waits for the answer cannot flood anybody. Calls of a room that ends are answered by
/// [`CallError::Dead`]: look for the room anew.
pub enum ToRoom {
    /// Enter; the answer is what the room is called.
    Join(Box<Member>, Reply<Result<Arc<str>, Refused>>),
    /// Leave; its end has an agent leave, too.
    Leave(ServiceId, Reply<()>),
    /// Say something.
    Say(ServiceId, Box<str>, Reply<Result<(), Refused>>),
    /// The member of this agent is called otherwise from now on.
    Rename(ServiceId, Arc<str>, Reply<()>),
    /// Who is here: the answer to the client.
    Who(Reply<Bytes>),
    /// Has somebody come by now?
    LookAround,
}

/// What a room does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has as many members as it may.
    Full,
    /// Not for who is no member.
    Stranger,
}

impl Room {
    /// A room without members, which tells their number by `size` and ends with its directory.
    pub fn new(name: Arc<str>, directory: ServiceId, limits: Limits, size: Arc<AtomicU32>) -> Room {
        let history = History::new(limits.history_max, limits.history_bytes_max);
        Room { name, directory, limits, members: Vec::new(), size, history, last_id: 0 }
    }

    fn find(&self, agent: ServiceId) -> Option<usize> {
        self.members.iter().position(|member| member.agent == agent)
    }

    fn count(&self) {
        self.size.store(self.members.len() as u32, Ordering::Relaxed);
    }

    /// The names to be shown.
    fn users(&self) -> Vec<&str> {
        self.members.iter().take(USERS_SHOWN_MAX).map(|member| &*member.name).collect()
    }

    async fn join(&mut self, member: Member, cx: &Context<Self>) -> Result<Arc<str>, Refused> {
        if self.members.len() >= self.limits.members_max {
            return Err(Refused::Full);
        }
        let (agent, hub, user) = (member.agent, member.hub, member.name.clone());
        cx.watch(agent);
        self.members.push(member);
        self.count();
        let message = format!("{user} joined the room");
        let join = Event::Join { room: &self.name, user: &user, message }.encode();
        let joined = Event::RoomJoined {
            room: &self.name,
            users: &self.users(),
            count: self.members.len(),
            history: self.history.iter().len(),
        };
        let mut welcome = Vec::with_capacity(1 + self.history.iter().len());
        welcome.push(joined.encode());
        welcome.extend(self.history.iter().cloned());
        self.say(cx, join, Some((hub, With::Enter(agent, welcome)))).await;
        Ok(self.name.clone())
    }

    async fn leave(&mut self, agent: ServiceId, cx: &Context<Self>) {
        let Some(at) = self.find(agent) else { return };
        cx.unwatch(agent);
        let member = self.members.remove(at);
        self.count();
        let message = format!("{} left the room", member.name);
        let event = Event::Leave { room: &self.name, user: &member.name, message }.encode();
        self.say(cx, event, Some((member.hub, With::Leave(agent)))).await;
        if self.members.is_empty() {
            cx.stop(); // who is about to enter hears so, and has another one made
        }
    }

    async fn message(
        &mut self,
        agent: ServiceId,
        text: &str,
        cx: &Context<Self>,
    ) -> Result<(), Refused> {
        let at = self.find(agent).ok_or(Refused::Stranger)?;
        let Member { hub, name: user, .. } = &self.members[at];
        self.last_id += 1;
        let id = self.last_id;
        let Moment { time, at } = &Moment::now();
        let message = Event::Message { id, user, text, time, at }.encode();
        let sent = Event::Sent { id, time, at }.encode();
        self.history.push(message.clone());
        self.say(cx, message, Some((*hub, With::Instead(agent, sent)))).await;
        Ok(())
    }

    async fn rename(&mut self, agent: ServiceId, name: Arc<str>, cx: &Context<Self>) {
        let Some(at) = self.find(agent) else { return };
        let old_name = std::mem::replace(&mut self.members[at].name, name.clone());
        let event = nick_change(&old_name, &name);
        self.say(cx, event, None).await;
    }

    /// Gives an event to all cores with members, and to one of them what goes with it, and waits
    /// until they have it.
    async fn say(&self, cx: &Context<Self>, event: Bytes, with: Option<(Address<ToHub>, With)>) {
        let mut hubs: Vec<_> = with.iter().map(|(hub, _)| *hub).collect();
        for member in &self.members {
            if !hubs.contains(&member.hub) {
                hubs.push(member.hub);
            }
        }
        for _ in 0..HUB_TRIES {
            let calls = hubs.iter().map(|hub| {
                let with = with.as_ref().filter(|(special, _)| special == hub);
                let with = with.map_or(With::Nothing, |(_, with)| with.clone());
                let delivery = Box::new(Delivery { room: cx.id(), event: event.clone(), with });
                hub.call(|reply| ToHub::Deliver(delivery, reply))
            });
            let said = service::gather(CALL_TIMEOUT, calls).await;
            let mut said = said.into_iter();
            hubs.retain(|hub| match said.next().expect("a call each") {
                Ok(()) => false,
                Err(CallError::Full | CallError::Busy) => true,
                Err(error) => {
                    self.give_up(*hub, error);
                    false
                }
            });
            if hubs.is_empty() {
                return;
            }
            sleep(HUB_PAUSE).await;
        }
        hubs.into_iter().for_each(|hub| self.give_up(hub, CallError::Full));
    }

    /// The members of a core have missed something: better gone than with a hole in what they know.
    fn give_up(&self, hub: Address<ToHub>, error: CallError) {
        let lost = self.members.iter().filter(|member| member.hub == hub);
        tracing::warn!(room = &*self.name, %hub, %error, members = lost.clone().count(),
            "members are disconnected: what was said cannot be delivered");
        lost.for_each(|member| service::stop(member.agent));
    }
}

/// Says that somebody has another name.
pub(super) fn nick_change(old_name: &str, new_name: &str) -> Bytes {
    let message = format!("{old_name} is now known as {new_name}");
    Event::NickChange { old_name, new_name, message }.encode()
}

impl Service for Room {
    type Message = ToRoom;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        cx.watch(self.directory);
        cx.after(FIRST_MEMBER, ToRoom::LookAround);
        Ok(())
    }

    async fn handle(&mut self, message: ToRoom, cx: &Context<Self>) -> Result<()> {
        match message {
            ToRoom::Say(agent, text, reply) => reply.send(self.message(agent, &text, cx).await),
            ToRoom::Join(member, reply) => reply.send(self.join(*member, cx).await),
            ToRoom::Leave(agent, reply) => {
                self.leave(agent, cx).await;
                reply.send(());
            }
            ToRoom::Rename(agent, name, reply) => {
                self.rename(agent, name, cx).await;
                reply.send(());
            }
            ToRoom::Who(reply) => {
                let (room, count) = (&*self.name, self.members.len());
                reply.send(Event::Who { room, users: &self.users(), count }.encode());
            }
            ToRoom::LookAround if self.members.is_empty() => cx.stop(),
            ToRoom::LookAround => {}
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        if down.service == self.directory {
            return Err("nobody finds this room any more: its directory has ended".into());
        }
        self.leave(down.service, cx).await;
        Ok(())
    }
}
