//! The mailbox of one service with all that hangs on it: the control lane, watches and links,
//! timers and forked tasks.

mod faces;
mod next;

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use slab::Slab;

use super::address::ServiceId;
use super::clients::Clients;
use super::error::CallError;
use super::mailbox::{Mailbox, Undelivered};
use super::reason::{Down, Reason};
use super::signal::Signal;
use super::table::{AtEnd, Services};
use crate::client::{ClientId, Disconnect};
use crate::memory::slots::Key;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Reactor, guarded};

/// A mailbox of 2 to this power is warned of; at twice as many again, and so on.
const OVERLOAD_FIRST: u8 = 10;

/// What may come before the next message: the control lane and the clients, while they hold
/// something, and the end, asked for by the service itself or come already.
const CONTROL: u8 = 1;
const CLIENTS: u8 = 2;
const STOPPING: u8 = 4;
const CLOSED: u8 = 8;

/// What a service's type says, for a mailbox that knows only its messages.
pub(super) struct Traits<M> {
    pub(super) name: fn() -> &'static str,
    pub(super) undelivered: fn(Undelivered<M>),
}

/// The mailbox of one service.
pub(super) struct Port<M: 'static> {
    pub(super) id: ServiceId,
    traits: &'static Traits<M>,
    mailbox: Mailbox<M>,
    /// What most services never need. Taken out for the length of a statement; a cell, because a
    /// service is small and a borrow's count is not.
    extra: Cell<Option<Box<Extra<M>>>>,
    clients: Cell<Option<Box<Clients>>>,
    /// What may come before the next message, in one word for the way of one.
    lanes: Cell<u8>,
    /// The last event was a client's.
    client_was_last: Cell<bool>,
    /// What the service waits for beside comes before the next message; it has something.
    own_is_next: Cell<bool>,
    own_found: Cell<bool>,
    /// 2 to this power messages may wait before the next warning.
    warn_at: Cell<u8>,
    supervised: Cell<bool>,
    started: Cell<bool>,
}

/// What a service hears besides messages.
pub(super) enum News {
    Down(Box<Down>),
    /// A client that was forwarded is gone.
    Gone(Box<(ClientId, Disconnect)>),
    /// End now, in order.
    Exit(Reason),
}

/// The control lane's events.
pub(super) enum Control<M> {
    /// Of a timer or a forked task.
    Message(M),
    /// Of a timer that comes again: the message is made when it is handled.
    Tick(Rc<dyn Tick<M>>),
    Down(Box<Down>),
    Gone(Box<(ClientId, Disconnect)>),
    Exit(Reason),
}

/// Makes a message each time.
pub(super) trait Tick<M> {
    fn make(&self) -> Option<M>;
}

pub(super) struct Extra<M> {
    control: VecDeque<Control<M>>,
    /// Who waits for the start.
    starting: Vec<Box<dyn FnOnce()>>,
    /// Who hears of the end.
    watchers: BTreeSet<ServiceId>,
    /// Whose end is heard of here.
    watched: BTreeSet<ServiceId>,
    links: BTreeSet<ServiceId>,
    pub(super) timers: Slab<TimerKey>,
    pub(super) forks: Slab<Key>,
    /// What else must know of the end: names and groups.
    at_end: Slab<AtEnd>,
}

impl<M> Default for Extra<M> {
    fn default() -> Extra<M> {
        Extra {
            control: VecDeque::new(),
            starting: Vec::new(),
            watchers: BTreeSet::new(),
            watched: BTreeSet::new(),
            links: BTreeSet::new(),
            timers: Slab::new(),
            forks: Slab::new(),
            at_end: Slab::new(),
        }
    }
}

impl<M: 'static> Port<M> {
    pub(super) fn new(reactor: &Rc<Reactor>, id: ServiceId, traits: &'static Traits<M>) -> Port<M> {
        Port {
            id,
            traits,
            mailbox: Mailbox::new(reactor),
            extra: Cell::new(None),
            clients: Cell::new(None),
            lanes: Cell::new(0),
            client_was_last: Cell::new(false),
            own_is_next: Cell::new(true),
            own_found: Cell::new(false),
            warn_at: Cell::new(OVERLOAD_FIRST),
            supervised: Cell::new(false),
            started: Cell::new(false),
        }
    }

    pub(super) fn bind(&self, task: Key) {
        self.mailbox.bind(task);
    }

    #[inline]
    pub(super) fn reactor(&self) -> &Rc<Reactor> {
        self.mailbox.reactor()
    }

    /// The name of the service's type.
    pub(super) fn name(&self) -> &'static str {
        (self.traits.name)()
    }

    /// Messages that wait, those of the control lane not counted.
    pub(super) fn len(&self) -> usize {
        self.mailbox.len()
    }

    /// Takes nothing any more, and closes the connections of its clients: what is dropped from here
    /// on says nothing to them.
    pub(super) fn shut(&self) {
        self.mark(CLOSED);
        self.mailbox.shut();
        if let Some(mut clients) = self.clients.take() {
            clients.take_all().iter().for_each(|session| session.close(Disconnect::Abandoned));
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// Gives a message that nobody will handle to the service's type.
    fn undelivered(&self, undelivered: Undelivered<M>) {
        let reactor = self.reactor();
        let reason = CallError::reason(&undelivered);
        Services::of(reactor).give_up(reason, || {
            guarded(&reactor.metrics, "the handling of an undelivered message panicked", || {
                (self.traits.undelivered)(undelivered);
            });
        });
    }

    /// The service has started: tells those who wait for that.
    pub(super) fn mark_started(&self) {
        self.started.set(true);
        if self.has_extra() {
            let starting = self.with_extra(|extra| std::mem::take(&mut extra.starting));
            starting.into_iter().for_each(|told| told());
        }
    }

    /// Puts a message in the mailbox.
    #[inline(always)] // as who calls it
    pub(super) fn deliver(&self, message: M) -> Result<(), Undelivered<M>> {
        let len = self.mailbox.push(message)?;
        if len >> self.warn_at.get() > 0 {
            self.warn(len);
        }
        Ok(())
    }

    #[cold]
    fn warn(&self, len: u32) {
        // First: who keeps the log may be the very service, and send it this event.
        self.warn_at.set((self.warn_at.get() + 1).min(31));
        tracing::warn!(service = self.name(), id = %self.id, waiting = len, "a mailbox is long");
    }

    /// Everything was handled.
    #[inline]
    fn rest(&self) {
        if self.warn_at.replace(OVERLOAD_FIRST) != OVERLOAD_FIRST {
            tracing::info!(service = self.name(), id = %self.id, "a mailbox that was long is empty");
        }
        self.mailbox.rest();
    }

    /// Puts an event on the control lane; none when the service has ended.
    pub(super) fn push_control(&self, event: Control<M>) {
        if self.mailbox.is_closed() {
            return guarded(&self.reactor().metrics, "a message panicked", || drop(event))
                .unwrap_or(());
        }
        self.with_extra(|extra| extra.control.push_back(event));
        self.mark(CONTROL);
        self.mailbox.schedule();
    }

    /// Runs `body` with what most services never need. No user's code may run in it.
    pub(super) fn with_extra<R>(&self, body: impl FnOnce(&mut Extra<M>) -> R) -> R {
        let mut extra = self.extra.take().unwrap_or_default();
        let result = body(&mut extra);
        self.extra.set(Some(extra));
        result
    }

    fn has_extra(&self) -> bool {
        let extra = self.extra.take();
        let is_some = extra.is_some();
        self.extra.set(extra);
        is_some
    }

    /// Runs `body` with the clients. No user's code may run in it.
    fn with_clients<R>(&self, body: impl FnOnce(&mut Clients) -> R) -> R {
        let mut clients = self.clients.take().unwrap_or_default();
        let result = body(&mut clients);
        self.clients.set(Some(clients));
        result
    }

    /// How many clients belong to this service.
    pub(super) fn clients(&self) -> usize {
        self.with_clients(|clients| clients.len())
    }

    fn mark(&self, lane: u8) {
        self.lanes.set(self.lanes.get() | lane);
    }

    fn unmark(&self, lane: u8) {
        self.lanes.set(self.lanes.get() & !lane);
    }

    /// Forgets a watch. Whether there was one.
    pub(super) fn unwatch(&self, target: ServiceId) -> bool {
        self.with_extra(|extra| extra.watched.remove(&target))
    }

    /// Notes a link. Whether it is new, and `other` is to be told.
    pub(super) fn link(&self, other: ServiceId) -> bool {
        other != self.id && self.with_extra(|extra| extra.links.insert(other))
    }

    /// Forgets a link. Whether there was one.
    pub(super) fn unlink(&self, other: ServiceId) -> bool {
        self.with_extra(|extra| extra.links.remove(&other))
    }

    /// The service has ended, and its state is gone: nothing finds it any more, and what waited for
    /// it is given back. Returns who is to be told what.
    pub(super) fn close(&self, reason: &Reason) -> Vec<(ServiceId, Signal)> {
        let reactor = self.reactor();
        Services::of(reactor).leave(reactor, self.id);
        self.mark(CLOSED);
        let messages = self.mailbox.close();
        let extra = self.extra.take();
        for message in messages {
            self.give_back(message);
        }
        let Some(extra) = extra else { return Vec::new() };
        let Extra { control, starting, watchers, watched, links, timers, forks, at_end } = *extra;
        at_end.into_iter().for_each(|(_, told)| told(self.id));
        for (_, timer) in timers {
            // It may hold a message.
            guarded(&reactor.metrics, "a timer panicked", || reactor.cancel_timer(timer));
        }
        forks.into_iter().for_each(|(_, task)| reactor.kill(task));
        Services::of(reactor).give_up(CallError::Dead, || drop(starting));
        for event in control {
            match event {
                Control::Message(message) => self.give_back(message),
                event => Services::of(reactor).give_up(CallError::Dead, || {
                    guarded(&reactor.metrics, "a timer panicked", || drop(event));
                }),
            }
        }
        let down = |watcher| {
            let down = Down { service: self.id, name: self.name(), reason: reason.clone() };
            (watcher, Signal::Down(down.into()))
        };
        let orderly = reason.is_orderly();
        let broken = |other| (other, Signal::Broken { by: self.id, orderly });
        let unwatch = |target| (target, Signal::Unwatch(self.id));
        let news = watchers.into_iter().map(down).chain(links.into_iter().map(broken));
        news.chain(watched.into_iter().map(unwatch)).collect()
    }

    fn give_back(&self, message: M) {
        self.reactor().metrics.messages_undelivered.add(1);
        self.undelivered(Undelivered::Dead(message));
    }

    /// A message that its sender cannot be given back is lost: counted, said, and given to the
    /// service's type.
    #[cold]
    pub(super) fn lose(&self, undelivered: Undelivered<M>) {
        say_lost(self.reactor(), self.id, &undelivered);
        self.undelivered(undelivered);
    }
}

/// Counts a message that is lost, and says so: at the first, the second, the fourth...
pub(super) fn say_lost<M>(reactor: &Reactor, to: ServiceId, undelivered: &Undelivered<M>) {
    let lost = &reactor.metrics.messages_undelivered;
    lost.add(1);
    if lost.value().is_power_of_two() {
        let (core, lost) = (reactor.index, lost.value());
        tracing::warn!(core, lost, service = %to, reason = %undelivered, "messages were lost");
    }
}
