//! A session: one client's connection with its framing, and what its service is yet to hear of it.

mod handing;
mod hearing;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::Hub;
use super::disconnect::Disconnect;
use super::id::ClientId;
use super::pace::Pace;
use super::unread::{Cutting, Unread};
use crate::limit::{Refusal, RetryAfter};
use crate::memory::frame::Frame;
use crate::net::connection::{Connection, Departure};
use crate::net::output::Backlog;
use crate::reactor::Alarm;
use crate::wire::Framing;

pub(super) use self::handing::Luggage;

/// What a service hears of a client beside frames. Those come after the first, and before the last.
pub(crate) enum News {
    /// It is the service's from now on.
    Connected,
    Backlog(Backlog),
    /// The last.
    Disconnected(Disconnect),
}

/// Which frames a service was told of.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    /// Whose they are: how often the client had been handed on.
    owner: u32,
    /// The place in the client's stream where they end.
    until: u64,
}

/// Who hears of the end of a client that has left its service.
pub(crate) type Farewell = Box<dyn FnOnce(ClientId, Disconnect)>;

/// Who waits for a connection to be free of its core.
type Packed = Box<dyn FnOnce(Departure)>;

/// One client's connection with its framing.
pub(crate) struct Session {
    pub(crate) connection: Rc<Connection>,
    pub(crate) id: ClientId,
    unread: RefCell<Unread>,
    /// Whose it is. Taken out for the length of a statement.
    hub: Cell<Option<Rc<dyn Hub>>>,
    /// Its place there.
    pub(crate) place: Cell<u32>,
    /// How often it was handed on.
    owner: Cell<u32>,
    marks: Marks,
    /// What most sessions need at their end only. Taken out for the length of a statement.
    rare: Cell<Option<Box<Rare>>>,
    /// What limits the client's rate, if anything does.
    pace: Cell<Option<Box<Pace>>>,
}

/// What has happened to a session, and who was told.
#[derive(Default)]
struct Marks {
    /// The hub was told that something waits.
    told: Cell<bool>,
    /// The service does not know the client yet.
    is_new: Cell<bool>,
    /// Frames are out, to be cut.
    reading: Cell<bool>,
    /// No more comes.
    ended: Cell<bool>,
    /// A frame was whole.
    greeted: Cell<bool>,
    /// It is on its way to another core.
    leaving: Cell<bool>,
    /// Something of `rare` waits to be told.
    has_rare_news: Cell<bool>,
    /// What came before reads are turned on waits: a proxy's header had it come.
    held: Cell<bool>,
}

#[derive(Default)]
struct Rare {
    /// Where the send queue stands, when the service was not told yet.
    backlog: Option<Backlog>,
    /// Why no more comes, when the service was not told yet.
    end: Option<Disconnect>,
    farewell: Option<Farewell>,
    packed: Option<Packed>,
    /// To whom it goes instead.
    redirection: Option<u64>,
}

impl Session {
    /// The session of a fresh connection, reads off.
    pub(crate) fn new(connection: Rc<Connection>, framing: Framing) -> Rc<Session> {
        let reactor = &connection.reactor;
        let id = ClientId::new(reactor.shared.engine, reactor.index, connection.key());
        let unread = Unread::new(framing, reactor.settings.frame_bytes_max);
        let pace = Pace::of(&connection);
        let session = Session::build(connection, id, unread, pace);
        session.watch_handshake();
        session
    }

    fn build(
        connection: Rc<Connection>,
        id: ClientId,
        unread: Unread,
        pace: Option<Box<Pace>>,
    ) -> Rc<Session> {
        let session = Rc::new(Session {
            connection: connection.clone(),
            id,
            unread: RefCell::new(unread),
            hub: Cell::new(None),
            place: Cell::new(0),
            owner: Cell::new(0),
            marks: Marks::default(),
            rare: Cell::new(None),
            pace: Cell::new(pace),
        });
        connection.attach(session.clone());
        session
    }

    /// Gives the client a time to send something whole.
    fn watch_handshake(self: &Rc<Self>) {
        let reactor = &self.connection.reactor;
        let handshake = reactor.settings.handshake;
        if !handshake.is_zero() {
            let late: Weak<Session> = Rc::downgrade(self);
            reactor.set_timer(handshake, Alarm::Hook(late));
        }
    }

    /// How its frames are cut, and those that are sent are put together.
    #[inline]
    pub(crate) fn framing(&self) -> Framing {
        self.unread.borrow().framing()
    }

    /// Turns reads on.
    pub(crate) fn open(self: &Rc<Self>) {
        if !self.marks.ended.get() && !self.marks.leaving.get() && !self.is_full() {
            self.connection.resume();
        }
        if self.marks.held.replace(false) {
            self.announce();
        }
    }

    /// Has what was received behind a proxy's header wait until reads are turned on, with what the
    /// kernel may still bring. Nobody has the client yet.
    pub(crate) fn hold(&self, rest: Frame) {
        self.marks.held.set(true);
        if !rest.is_empty() {
            self.unread.borrow_mut().push(rest);
        }
    }

    /// Whether bytes wait that the service may have.
    #[inline]
    fn has_unread(&self) -> bool {
        self.unread.borrow().bytes() > 0 && !self.marks.held.get()
    }

    /// A look at whose it is.
    #[inline]
    fn with_hub<R>(&self, look: impl FnOnce(Option<&Rc<dyn Hub>>) -> R) -> R {
        let hub = self.hub.take();
        let result = look(hub.as_ref());
        self.hub.set(hub);
        result
    }

    /// The number of the hub that it belongs to.
    pub(crate) fn owner(&self) -> Option<u64> {
        self.with_hub(|hub| hub.map(|hub| hub.number()))
    }

    /// Whether it belongs to the hub of this number.
    pub(crate) fn is_of(&self, hub: u64) -> bool {
        self.owner() == Some(hub)
    }

    /// It belongs to nobody; frames that are out are nobody's.
    fn leave_hub(self: &Rc<Self>) {
        self.owner.set(self.owner.get().wrapping_add(1));
        self.marks.reading.set(false);
        self.marks.told.set(false);
        let hub = self.hub.take();
        if let Some(hub) = hub {
            hub.leave(self);
        }
    }

    fn with_rare<R>(&self, body: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = body(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// As [`Session::with_rare`], when there is any.
    fn if_rare<R>(&self, body: impl FnOnce(&mut Rare) -> Option<R>) -> Option<R> {
        let mut rare = self.rare.take()?;
        let result = body(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// Tells the hub once that something waits.
    fn announce(self: &Rc<Self>) {
        let marks = &self.marks;
        let has_news = marks.is_new.get() || self.has_unread() || marks.has_rare_news.get();
        if !has_news || marks.told.get() || marks.reading.get() {
            return;
        }
        let hub = self.hub.take();
        if let Some(hub) = hub {
            marks.told.set(true);
            self.hub.set(Some(hub.clone()));
            hub.ready(self);
        }
    }

    /// Whether frames are what the service is to hear of next; asked by the hub that was told. If
    /// there is more, it is told again by [`Session::settle`].
    #[inline]
    pub(crate) fn has_batch(&self) -> bool {
        self.marks.told.set(false);
        !self.marks.is_new.get() && !self.marks.reading.get() && self.has_unread()
    }

    /// The frames that have come.
    #[inline]
    pub(super) fn next_batch(&self) -> Batch {
        self.marks.reading.set(true);
        Batch { owner: self.owner.get(), until: self.unread.borrow().received() }
    }

    /// What else the service is to hear next.
    pub(crate) fn next(&self) -> Option<News> {
        if self.marks.is_new.replace(false) {
            return Some(News::Connected);
        }
        if self.marks.reading.get() {
            return None; // its frames are still out: told again when they are not
        }
        if !self.marks.has_rare_news.get() {
            return None;
        }
        self.if_rare(|rare| {
            self.marks.has_rare_news.set(rare.backlog.is_some() && rare.end.is_some());
            let backlog = rare.backlog.take().map(News::Backlog);
            backlog.or_else(|| rare.end.take().map(News::Disconnected))
        })
    }

    /// What the service heard was handled: it is told if there is more.
    #[inline]
    pub(crate) fn settle(self: &Rc<Self>) {
        self.announce();
    }

    /// Whether the service that holds this batch has had its share of the turn.
    #[inline]
    pub(super) fn try_spend(&self) -> bool {
        self.with_hub(|hub| hub.is_none_or(|hub| hub.try_spend()))
    }

    /// The next frame of a batch. The end is noted if the client broke a rule.
    #[inline]
    pub(super) fn cut(&self, batch: Batch) -> Option<Frame> {
        if batch.owner != self.owner.get() || !self.connection.is_open() {
            return None;
        }
        let metrics = &self.connection.reactor.metrics;
        loop {
            let cut = self.unread.borrow_mut().cut(batch.until);
            let (frame, joined) = match cut {
                Ok(Cutting::Frame { frame, joined }) => (frame, joined),
                Ok(Cutting::Receive) => {
                    self.connection.mark_handled();
                    self.catch_up();
                    continue;
                }
                Ok(Cutting::Nothing) => return None,
                Err(error) => {
                    metrics.malformed.add(1);
                    self.refuse(Disconnect::Malformed(error));
                    return None;
                }
            };
            self.marks.greeted.set(true);
            metrics.frames_joined.add(u64::from(joined));
            if let Err(retry) = self.take_pace(1) {
                metrics.too_fast.add(1);
                metrics.frames_undelivered.add(1);
                self.refuse(Disconnect::TooFast(retry));
                return None;
            }
            metrics.frames.add(1);
            return Some(frame);
        }
    }

    /// Takes so many tokens of the client's rate and of its address's; all or none.
    #[inline]
    pub(super) fn take_pace(&self, cost: u32) -> Result<(), RetryAfter> {
        let Some(pace) = self.pace.take() else { return Ok(()) };
        let taken = pace.take(self.connection.reactor.now(), cost);
        self.pace.set(Some(pace));
        taken
    }

    /// Reads nothing of this client any more.
    #[cold]
    fn refuse(&self, why: Disconnect) {
        self.connection.pause();
        self.drop_unread();
        // In place of whatever came first: nobody has heard of that.
        self.marks.ended.set(true);
        self.marks.has_rare_news.set(true);
        self.with_rare(|rare| rare.end = Some(why));
    }

    /// The batch was cut, or dropped; what is left of it counts as undelivered.
    pub(super) fn done_reading(self: &Rc<Self>, batch: Batch) {
        if batch.owner != self.owner.get() {
            return;
        }
        if !self.unread.borrow().is_cut_to(batch.until) {
            self.drop_unread();
        }
        self.marks.reading.set(false);
        self.catch_up();
        self.announce();
    }

    /// Drops what waits, and counts the frames in it.
    fn drop_unread(&self) {
        let dropped = self.unread.borrow_mut().clear();
        self.connection.reactor.metrics.frames_undelivered.add(dropped);
    }

    fn is_full(&self) -> bool {
        let settings = &self.connection.reactor.settings;
        let unread = self.unread.borrow();
        unread.bytes() >= settings.receive_bytes_max
            || unread.receives() >= settings.mailbox_max as usize
    }

    /// Turns reads on again when the service has caught up.
    fn catch_up(&self) {
        if !self.connection.is_paused() || self.marks.ended.get() || self.marks.leaving.get() {
            return;
        }
        let settings = &self.connection.reactor.settings;
        let unread = self.unread.borrow();
        let caught_up = unread.bytes() <= settings.receive_bytes_max / 2
            && unread.receives() <= settings.mailbox_max as usize / 2;
        if caught_up {
            self.connection.resume();
        }
    }

    /// No more will come; the first reason counts.
    pub(crate) fn end(self: &Rc<Self>, why: Disconnect) {
        if !self.marks.ended.replace(true) {
            self.with_rare(|rare| rare.end = Some(why));
            self.marks.has_rare_news.set(true);
            self.announce();
        }
    }

    /// The service has heard the end, or has ended itself: the connection goes, after what is
    /// queued has left.
    pub(crate) fn close(self: &Rc<Self>, why: Disconnect) {
        if let Some(refusal) = why.refusal() {
            self.send_away(refusal);
        }
        self.marks.ended.set(true);
        self.marks.has_rare_news.set(false);
        self.if_rare(|rare| rare.end.take());
        self.drop_unread();
        self.leave_hub();
        self.connection.close();
        self.say_farewell(why);
    }

    /// The last words for a client that is sent away, and the counts that nobody else keeps.
    #[cold]
    pub(super) fn send_away(&self, refusal: Refusal) {
        let metrics = &self.connection.reactor.metrics;
        if self.connection.is_open() {
            metrics.abandoned.add(u64::from(refusal == Refusal::Abandoned));
            metrics.stopped.add(u64::from(refusal == Refusal::Stopping));
        }
        self.connection.last_words(refusal);
    }
}
