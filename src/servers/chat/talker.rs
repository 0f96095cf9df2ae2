//! One person in the chat: a name, perhaps a room, and what each command does. It knows nothing of
//! connections: commands come as bytes, and answers go to an [`Outlet`].
//!
//! ```text
//!   guest ── JOIN ──▶ in a room ── MSG, WHO ──▶ the room answers
//!     ◀── LEAVE, the room is lost ──┘ ── JOIN ──▶ leaves, then in another
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::command::{Command, CommandError};
use super::directory::{NoRoom, ToDirectory, directory};
use super::event::{Event, Moment};
use super::hub::{Claim, Outlet, ToHub, hub};
use super::limits::Limits;
use super::name::{Name, NameError};
use super::names::{ToNames, names};
use super::room::{Member, Refused, ToRoom, nick_change};
use crate::limit::Rate;
use crate::prelude::*;
use crate::service::{Call, CallError, Down, ServiceId};

/// What a newcomer reads.
const WELCOME: &str =
    "JOIN room, MSG text, LEAVE, NICK name, WHO, LIST, WHISPER name text; try: JOIN lobby";

/// How often a room is looked for anew that has ended when somebody enters.
const JOIN_TRIES: u32 = 16;
/// How often a newcomer asks who has no time for him now, and how long he waits between.
const ENTER_TRIES: u32 = 20;
const ENTER_PAUSE: Duration = Duration::from_millis(50);

/// One person, served by an agent.
pub struct Talker {
    agent: ServiceId,
    outlet: Outlet,
    limits: Limits,
    pace: Rate,
    name: Arc<str>,
    room: Option<In>,
    hub: Address<ToHub>,
    names: Address<ToNames>,
    directory: Address<ToDirectory>,
}

/// The room that somebody is in.
struct In {
    room: Address<ToRoom>,
    /// As the room is called.
    name: Arc<str>,
    folded: Box<str>,
}

/// Why a command has no effect.
enum Trouble {
    /// The client is told, and goes on.
    Refused(&'static str, String),
    /// What has become of it is not known, or the chat has lost a part: the client is told, and has
    /// to come again.
    Lost(&'static str),
}

/// It is over: the client was told why, and its connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over;

fn refused(code: &'static str, why: impl fmt::Display) -> Trouble {
    Trouble::Refused(code, why.to_string())
}

impl From<CommandError> for Trouble {
    fn from(error: CommandError) -> Trouble {
        refused(error.code(), error)
    }
}

impl From<NameError> for Trouble {
    fn from(error: NameError) -> Trouble {
        refused("bad_name", error)
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Trouble {
        match error {
            CallError::Full | CallError::Busy => refused("busy", "too much to do, try again"),
            _ => Trouble::Lost("the server lags or has lost a part of itself; please come again"),
        }
    }
}

impl From<service::NameError> for Trouble {
    fn from(_: service::NameError) -> Trouble {
        Trouble::Lost("the server cannot take you now; please come again")
    }
}

impl Talker {
    /// A newcomer, who is welcomed as a guest. `cx` is of the agent that serves him, `outlet` the way
    /// to him, and `claim` makes another one for the hub.
    ///
    /// # Errors
    /// The chat cannot take him; he was told.
    pub async fn enter<S: Service>(
        limits: Limits,
        outlet: Outlet,
        claim: impl Fn() -> Claim,
        cx: &Context<S>,
    ) -> Result<Talker, Over> {
        match Talker::try_enter(limits, outlet.clone(), claim, cx).await {
            Ok(talker) => Ok(talker),
            Err(Trouble::Refused(code, message)) => {
                outlet(&Event::error(code, message));
                Err(Over)
            }
            Err(Trouble::Lost(message)) => {
                outlet(&Event::error("unavailable", message));
                Err(Over)
            }
        }
    }

    async fn try_enter<S: Service>(
        limits: Limits,
        outlet: Outlet,
        claim: impl Fn() -> Claim,
        cx: &Context<S>,
    ) -> Result<Talker, Trouble> {
        let agent = cx.id();
        let hub = hub().map_err(|_| Trouble::Lost("the server cannot take you"))?;
        let (names, directory) = (names().await?, directory(limits).await?);
        // What ends with these cannot be mended from here.
        cx.watch(hub);
        cx.watch(names);
        cx.watch(directory);
        let opened = patient(|| {
            let claim = claim();
            hub.call(move |reply| ToHub::Open(agent, claim, reply))
        });
        if !opened.await? {
            return Err(Trouble::Lost("you are gone"));
        }
        let name = patient(|| names.call(move |reply| ToNames::Guest(agent, hub, reply))).await?;
        outlet(&Event::Welcome { user: &name, message: WELCOME }.encode());
        let (pace, room) = (Rate::new(limits.commands), None);
        Ok(Talker { agent, outlet, limits, pace, name, room, hub, names, directory })
    }

    /// Does what a frame says. Whatever it says, something is answered.
    ///
    /// # Errors
    /// [`Over`].
    pub async fn hear<S: Service>(&mut self, frame: &[u8], cx: &Context<S>) -> Result<(), Over> {
        match self.obey(frame, cx).await {
            Ok(()) => Ok(()),
            Err(Trouble::Refused(code, message)) => {
                self.tell(&Event::error(code, message));
                Ok(())
            }
            Err(Trouble::Lost(message)) => {
                self.tell(&Event::error("unavailable", message));
                Err(Over)
            }
        }
    }

    /// A service that the agent watches has ended.
    ///
    /// # Errors
    /// [`Over`].
    pub fn down(&mut self, down: &Down) -> Result<(), Over> {
        let ended = down.service;
        if self.room.as_ref().is_some_and(|at| at.room.id() == ended) {
            let room = self.room.take().map_or_else(String::new, |at| at.name.to_string());
            let message = format!("{room} has failed; you are in no room");
            self.tell(&Event::error("room_lost", message));
        } else if [self.hub.id(), self.names.id(), self.directory.id()].contains(&ended) {
            let message = "the server has lost a part of itself; please come again";
            self.tell(&Event::error("unavailable", message));
            return Err(Over);
        }
        Ok(())
    }

    /// Says something to the client.
    pub fn tell(&self, event: &Bytes) {
        (self.outlet)(event);
    }

    async fn obey<S: Service>(&mut self, frame: &[u8], cx: &Context<S>) -> Result<(), Trouble> {
        self.pace.take(crate::now(), 1).map_err(|retry| {
            let wait = in_tenths(retry.duration().unwrap_or_default());
            refused("too_fast", format_args!("too many commands, try again in {wait} s"))
        })?;
        match Command::parse(frame, self.limits.text_bytes_max)? {
            Command::Message(text) => self.say(text).await,
            Command::Join(room) => self.join(room, cx).await,
            Command::Leave if self.room.is_none() => Err(no_room()),
            Command::Leave => self.leave(cx).await,
            Command::Nick(name) => self.nick(name).await,
            Command::Who(room) => self.who(room).await,
            Command::List => {
                let list = self.directory.call(ToDirectory::List).await?;
                self.tell(&list);
                Ok(())
            }
            Command::Whisper(to, text) => self.whisper(to, text).await,
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Trouble> {
        let room = self.room.as_ref().ok_or_else(no_room)?.room;
        let (agent, text) = (self.agent, text.into());
        match room.call(|reply| ToRoom::Say(agent, text, reply)).await {
            Ok(Ok(())) => Ok(()), // it has told the client, between what others say
            // Of a room that has failed the agent hears by itself.
            Ok(Err(_)) | Err(CallError::Dead) => Err(no_room()),
            Err(error) => Err(error.into()),
        }
    }

    async fn join<S: Service>(&mut self, room: &str, cx: &Context<S>) -> Result<(), Trouble> {
        let name = Name::new(room)?;
        if let Some(at) = &self.room {
            if *at.folded == *name.folded() {
                let message = format_args!("you are in {} already", at.name);
                return Err(refused("already_in_room", message));
            }
            self.leave(cx).await?;
        }
        let mut dead = None;
        for _ in 0..JOIN_TRIES {
            let asked = name.clone();
            let found = self.directory.call(|reply| ToDirectory::Find(asked, dead, reply)).await?;
            let room = found.map_err(|error| match error {
                NoRoom::TooMany => refused("too_many_rooms", "there are too many rooms"),
                NoRoom::Failed => refused("busy", "the room cannot be made now, try again"),
            })?;
            let (agent, hub, user) = (self.agent, self.hub, self.name.clone());
            let member = Box::new(Member { agent, hub, name: user });
            match room.call(|reply| ToRoom::Join(member, reply)).await {
                Ok(Ok(shown)) => {
                    cx.watch(room);
                    self.room = Some(In { room, name: shown, folded: name.folded().into() });
                    return Ok(());
                }
                Ok(Err(Refused::Full | Refused::Stranger)) => {
                    let message = format_args!("{} is full; you are in no room", name.shown());
                    return Err(refused("room_full", message));
                }
                // The last member left it in this moment.
                Err(CallError::Dead) => dead = Some(room.id()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused("busy", "the room comes and goes, try again"))
    }

    async fn leave<S: Service>(&mut self, cx: &Context<S>) -> Result<(), Trouble> {
        let Some(at) = &self.room else { return Ok(()) };
        let (agent, room) = (self.agent, at.room);
        match room.call(|reply| ToRoom::Leave(agent, reply)).await {
            Ok(()) | Err(CallError::Dead) => {}
            Err(error) => return Err(error.into()), // he is still there, or this is the end
        }
        cx.unwatch(room);
        self.tell(&Event::RoomLeft { room: &at.name }.encode());
        self.room = None;
        Ok(())
    }

    async fn nick(&mut self, name: &str) -> Result<(), Trouble> {
        let name = Name::chosen(name)?;
        let (agent, wanted) = (self.agent, name.clone());
        if !self.names.call(|reply| ToNames::Take(agent, wanted, reply)).await? {
            let message = format_args!("{} is taken", name.shown());
            return Err(refused("name_taken", message));
        }
        let old_name = std::mem::replace(&mut self.name, name.shown().clone());
        if let Some(at) = &self.room {
            let name = name.shown().clone();
            match at.room.call(|reply| ToRoom::Rename(agent, name, reply)).await {
                Ok(()) => return Ok(()), // the room has told everybody
                Err(CallError::Dead) => {}
                // The registry has the one name and the room the other.
                Err(_) => return Err(Trouble::Lost("the room lags; please come again")),
            }
        }
        self.tell(&nick_change(&old_name, name.shown()));
        Ok(())
    }

    async fn who(&mut self, room: Option<&str>) -> Result<(), Trouble> {
        let found = match room {
            None => Some(self.room.as_ref().ok_or_else(no_room)?.room),
            Some(room) => {
                let name = Name::new(room)?;
                self.directory.call(|reply| ToDirectory::Look(name, reply)).await?
            }
        };
        let gone = || refused("no_such_room", "there is no such room");
        match found.ok_or_else(gone)?.call(ToRoom::Who).await {
            Ok(who) => {
                self.tell(&who);
                Ok(())
            }
            Err(CallError::Dead) => Err(gone()),
            Err(error) => Err(error.into()),
        }
    }

    async fn whisper(&mut self, to: &str, text: &str) -> Result<(), Trouble> {
        let name = Name::new(to)?;
        let gone = || refused("no_such_user", format_args!("nobody is called {to}"));
        let found = self.names.call(|reply| ToNames::Find(name, reply)).await?.ok_or_else(gone)?;
        let Moment { time, at } = &Moment::now();
        let whisper = Event::Whisper { user: &self.name, text, time, at }.encode();
        let told = found.hub.call(|reply| ToHub::Tell(found.agent, whisper, reply));
        if !told.await? {
            return Err(gone());
        }
        self.tell(&Event::Whispered { to: &found.name }.encode());
        Ok(())
    }
}

fn no_room() -> Trouble {
    refused("no_room", "you are in no room; try: JOIN lobby")
}

/// Calls, again if there is too much to do: many may come in the same moment.
async fn patient<T, F>(call: impl Fn() -> Call<T, F>) -> Result<T, CallError>
where
    T: Send + 'static,
    F: FnOnce(Reply<T>) -> Result<(), CallError>,
{
    for _ in 1..ENTER_TRIES {
        match call().await {
            Err(CallError::Full | CallError::Busy) => sleep(ENTER_PAUSE).await,
            outcome => return outcome,
        }
    }
    call().await
}

/// Seconds in words, up to the next tenth: who waits so long has not come too soon.
fn in_tenths(wait: Duration) -> String {
    let tenths = wait.as_nanos().div_ceil(100_000_000).max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_tenths_and_is_never_nothing() {
        let told = |ns| in_tenths(Duration::from_nanos(ns));
        assert_eq!([told(0), told(1), told(49_000_000)], ["0.1", "0.1", "0.1"]);
        assert_eq!([told(100_000_000), told(100_000_001)], ["0.1", "0.2"]);
        assert_eq!([told(999_000_000), told(12_340_000_000)], ["1.0", "12.4"]);
    }
}
