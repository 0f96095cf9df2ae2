//! The registry: a service that has the table of all sessions of one server.
//!
//! It is asked once a login and once a connection, never for a request, so that one is enough; and
//! one decides who has a session when two connections want it at once from two cores.

use std::collections::HashMap;

use super::message::{Ending, Opening, Resumption, ToRegistry, ToSeat, ToSession};
use crate::error::Result;
use crate::login::{Code, Ended, Name, Sessions};
use crate::reactor::{now, random_bytes};
use crate::service::{Address, Context, Down, Service, ServiceId, Timer, kill, stop};

pub(super) struct Registry {
    table: Sessions<Address<ToSeat>>,
    /// The services of the sessions, by subid.
    sessions: HashMap<u64, Address<ToSession>>,
    /// Which session a watched service is, or is the connection of.
    watched: HashMap<ServiceId, Watched>,
    timer: Option<Timer>,
}

enum Watched {
    Session(u64),
    Seat(u64, Address<ToSeat>),
}

impl Registry {
    pub(super) fn new(table: Sessions<Address<ToSeat>>) -> Registry {
        Registry { table, sessions: HashMap::new(), watched: HashMap::new(), timer: None }
    }

    fn open(&mut self, opening: Opening, cx: &Context<Self>) -> Result<Name, Code> {
        let Opening { user, secret, session } = opening;
        let subid = u64::from_ne_bytes(random_bytes());
        let (name, replaced) = self.table.open(&user, secret, subid, now())?;
        for ended in replaced {
            self.end(ended, Ending::Replaced, cx);
        }
        let subid = name.subid();
        self.sessions.insert(subid, session);
        self.watched.insert(session.id(), Watched::Session(subid));
        cx.watch(session);
        if session.send(ToSession::Begin(Box::new(name.clone()))).is_err() {
            kill(session); // it was never one; `down` tidies up
            return Err(Code::Busy);
        }
        self.set_timer(cx);
        Ok(name)
    }

    fn resume(&mut self, frame: &[u8], seat: Address<ToSeat>, cx: &Context<Self>) -> Resumption {
        let resumed = self.table.resume(frame, seat, now());
        let session = resumed.outcome.ok().and_then(|attached| {
            if let Some(before) = attached.before {
                self.close(before, cx);
            }
            let subid = attached.name.subid();
            self.watched.insert(seat.id(), Watched::Seat(subid, seat));
            cx.watch(seat);
            self.sessions.get(&subid).map(|session| (*session, attached.index))
        });
        Resumption { answer: resumed.answer, session }
    }

    /// A connection has its session no more.
    fn close(&mut self, seat: Address<ToSeat>, cx: &Context<Self>) {
        self.watched.remove(&seat.id());
        cx.unwatch(seat);
        stop(seat);
    }

    /// A session is over: its service is told, and closes the connection after its last frames.
    fn end(&mut self, ended: Ended<Address<ToSeat>>, why: Ending, cx: &Context<Self>) {
        tracing::debug!(session = %ended.name, %why, "a session has ended");
        if let Some(seat) = ended.connection {
            self.watched.remove(&seat.id());
            cx.unwatch(seat);
        }
        let Some(session) = self.sessions.remove(&ended.name.subid()) else { return };
        self.watched.remove(&session.id());
        cx.unwatch(session);
        if session.send(ToSession::End(why)).is_err() {
            stop(session); // full: it hears less exactly why
        }
    }

    fn expire(&mut self, cx: &Context<Self>) {
        while let Some(ended) = self.table.expire(now()) {
            self.end(ended, Ending::Expired, cx);
        }
        self.timer = None;
        self.set_timer(cx);
    }

    /// One timer, for the session that ends next.
    fn set_timer(&mut self, cx: &Context<Self>) {
        if self.timer.is_none()
            && let Some(until) = self.table.next_expiry()
        {
            self.timer = Some(cx.after(until.since(now()), ToRegistry::Tick));
        }
    }
}

impl Service for Registry {
    type Message = ToRegistry;

    async fn handle(&mut self, message: ToRegistry, cx: &Context<Self>) -> Result<()> {
        match message {
            ToRegistry::Open(opening, reply) => reply.send(self.open(*opening, cx)),
            ToRegistry::Resume(frame, seat, reply) => reply.send(self.resume(&frame, seat, cx)),
            ToRegistry::Tick => self.expire(cx),
            ToRegistry::Count(reply) => reply.send(self.table.len()),
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        match self.watched.remove(&down.service) {
            Some(Watched::Seat(subid, seat)) => {
                self.table.lost(subid, seat, now());
                self.set_timer(cx);
            }
            Some(Watched::Session(subid)) => {
                self.sessions.remove(&subid);
                let ended = self.table.end(subid);
                if let Some(seat) = ended.and_then(|ended| ended.connection) {
                    self.close(seat, cx);
                }
            }
            None => {}
        }
        Ok(())
    }
}
