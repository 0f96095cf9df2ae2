//! A session: the framing, the mailbox and the agent of one connection.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use rustix::io::Errno;

use super::agent::{Agent, Disconnect};
use super::client::Client;

use super::pace::Pace;
use crate::memory::frame::Frame;
use crate::net::connection::{Connection, Receiver};
use crate::net::cutter::{Cut, Cutter};
use crate::net::output::Backlog;
use crate::reactor::kind::Kind;
use crate::reactor::{Alarm, Expire, Reactor, guarded};
use crate::service::local::Local;
use crate::service::mailbox::{Deliver, Mailbox, Undelivered};
use crate::wire::Framing;

/// Output of one turn and client at which its agent waits for the flush, or half of the send cap if
/// that is less.
const FRESH_BYTES_MAX: usize = 256 * 1024;

/// What waits in a session's mailbox, in the order in which it came.
enum Input<M> {
    /// What one receive brought. The agent's own task cuts it, so that a frame is touched once.
    Bytes(Frame),
    Message(M),
    /// The send queue passed a mark; [`Session::backlog`] says where it stands by now.
    Backlog,
    /// The last one.
    Ended(Box<Disconnect>),
}

/// What an agent handles, one at a time.
enum Event<M> {
    Frame(Frame),
    Message(M),
    Backlog(Backlog),
    Ended(Disconnect),
}

struct Session<M> {
    connection: Rc<Connection>,
    mailbox: Mailbox<Input<M>>,
    cutter: RefCell<Cutter>,
    /// The receive that is being cut, and how far it is.
    bytes: RefCell<Option<Frame>>,
    at: Cell<usize>,
    /// Received bytes that wait for the agent; at a mark its client must wait, too.
    unread_bytes: Cell<usize>,
    /// The agent goes on in the next turn when it has queued so much in one.
    fresh_bytes_max: usize,
    /// Where the send queue stands, when the agent was not told yet.
    backlog: Cell<Option<Backlog>>,
    ended: Cell<bool>,
    /// A frame was whole.
    greeted: Cell<bool>,
    /// What limits the client's rate, if anything does.
    pace: Option<Box<Pace>>,
}

/// Starts the agent of a fresh connection and turns its reads on.
pub(super) fn start<A, M>(
    connection: Rc<Connection>,
    framing: Framing,
    make: &impl Fn(&Client, Local<M>) -> A,
) where
    A: Agent<M>,
    M: 'static,
{
    let reactor = connection.reactor.clone();
    let session = Rc::new(Session {
        connection: connection.clone(),
        mailbox: Mailbox::new(&reactor),
        cutter: RefCell::new(Cutter::new(framing, reactor.settings.frame_bytes_max)),
        bytes: RefCell::new(None),
        at: Cell::new(0),
        unread_bytes: Cell::new(0),
        fresh_bytes_max: FRESH_BYTES_MAX.min(reactor.settings.send_queue_bytes_max / 2),
        backlog: Cell::new(None),
        ended: Cell::new(false),
        greeted: Cell::new(false),
        pace: Pace::of(&connection),
    });
    let handshake = reactor.settings.handshake;
    if !handshake.is_zero() {
        let late: Weak<Session<M>> = Rc::downgrade(&session);
        reactor.set_timer(handshake, Alarm::Hook(late));
    }
    let client = Client::new(connection.clone(), framing);
    let door: Weak<Session<M>> = Rc::downgrade(&session);
    let kind = Kind::of(&reactor, type_name::<A>());
    let id = connection.key().to_u64(); // as in the `ClientId`
    let made = reactor.running_during(kind, id, || {
        guarded(&reactor.metrics, "the maker of agents panicked", || {
            make(&client, Local::new(door))
        })
    });
    let Some(agent) = made else {
        return drop(Closing(session));
    };
    let agent = Shield { agent: Some(agent), reactor: reactor.clone() };
    let task = reactor.spawn_boxed(kind, Box::pin(serve(session.clone(), client, agent)));
    session.mailbox.bind(task);
    connection.attach(session);
    connection.resume();
}

/// The life of an agent. A block rather than an `async fn`, which would keep its arguments twice.
fn serve<A, M>(
    session: Rc<Session<M>>,
    client: Client,
    mut agent: Shield<A>,
) -> impl Future<Output = ()>
where
    A: Agent<M>,
    M: 'static,
{
    // Dropped on every way out: the end, a panic, the stop of the engine. Named first in the block,
    // and so dropped before the agent.
    let session = Closing(session);
    async move {
        loop {
            let event = session.0.next().await;
            session.0.connection.reactor.runs_for(client.id().key().to_u64());
            let agent = agent.agent.as_mut().expect("taken when dropped");
            let result = match event {
                Event::Frame(frame) => agent.frame(&client, frame).await,
                Event::Message(message) => agent.message(&client, message).await,
                Event::Backlog(backlog) => agent.backlog(&client, backlog).await,
                Event::Ended(why) => {
                    tracing::debug!(client = %client.id(), %why, "disconnected");
                    return agent.disconnected(&client, why).await;
                }
            };
            if let Err(error) = result {
                tracing::debug!(client = %client.id(), %error, "the agent ended the connection");
                return;
            }
        }
    }
}

/// An agent's state. If dropping it panics while its task unwinds already, the program must live.
struct Shield<A> {
    agent: Option<A>,
    reactor: Rc<Reactor>,
}

impl<A> Drop for Shield<A> {
    fn drop(&mut self) {
        let agent = self.agent.take();
        let metrics = &self.reactor.metrics;
        guarded(metrics, "an agent panicked while it was dropped", || drop(agent));
    }
}

/// Closes the connection when the agent is gone.
struct Closing<M: 'static>(Rc<Session<M>>);

impl<M> Drop for Closing<M> {
    fn drop(&mut self) {
        let session = &self.0;
        session.ended.set(true);
        let left = session.mailbox.close();
        let metrics = &session.connection.reactor.metrics;
        metrics.frames_undelivered.add(session.count_frames(&left));
        // One by one: this may run while the agent's own panic unwinds, where two at once abort.
        for input in left {
            guarded(metrics, "a message panicked while it was dropped", || drop(input));
        }
        session.bytes.take();
        session.connection.close();
    }
}

impl<M: 'static> Session<M> {
    /// The next event of the agent.
    #[inline]
    async fn next(&self) -> Event<M> {
        loop {
            // What a client sent at once may be answered by more than its send queue takes,
            // although it reads: the kernel must have its chance before that counts against it.
            while self.connection.fresh() >= self.fresh_bytes_max {
                self.mailbox.after_flush().await;
            }
            self.mailbox.spend().await;
            if let Some(event) = self.cut() {
                return event;
            }
            match self.mailbox.receive().await {
                Input::Bytes(bytes) => {
                    self.bytes.replace(Some(bytes));
                    self.at.set(0);
                }
                Input::Message(message) => return Event::Message(message),
                Input::Backlog => {
                    if let Some(backlog) = self.backlog.take() {
                        return Event::Backlog(backlog);
                    }
                }
                Input::Ended(why) => return Event::Ended(*why),
            }
        }
    }

    /// The next frame of the receive at hand; the end if the client broke the framing.
    #[inline]
    fn cut(&self) -> Option<Event<M>> {
        let mut current = self.bytes.borrow_mut();
        let bytes = current.as_ref()?;
        let metrics = &self.connection.reactor.metrics;
        let from = self.at.get();
        let mut at = from;
        let cut = self.cutter.borrow_mut().next(bytes, &mut at);
        self.at.set(at);
        self.unread_bytes.set(self.unread_bytes.get() - (at - from));
        let frame = match cut {
            Ok(Cut::Frame(frame)) => frame,
            Ok(Cut::Joined(frame)) => {
                metrics.frames_joined.add(1);
                frame
            }
            Ok(Cut::Empty) => {
                *current = None; // the block goes home
                drop(current);
                self.connection.mark_handled();
                self.catch_up();
                return None;
            }
            Err(error) => {
                metrics.malformed.add(1);
                self.ended.set(true);
                self.connection.pause();
                return Some(Event::Ended(Disconnect::Malformed(error)));
            }
        };
        self.greeted.set(true);
        if let Some(pace) = &self.pace
            && let Err(retry) = pace.take(self.connection.reactor.now())
        {
            metrics.too_fast.add(1);
            metrics.frames_undelivered.add(1);
            self.ended.set(true);
            self.connection.pause();
            return Some(Event::Ended(Disconnect::TooFast(retry)));
        }
        metrics.frames.add(1);
        Some(Event::Frame(frame))
    }

    /// Turns reads on again when the agent has caught up.
    fn catch_up(&self) {
        if !self.connection.is_paused() || self.ended.get() {
            return;
        }
        let settings = &self.connection.reactor.settings;
        let caught_up = self.unread_bytes.get() <= settings.receive_bytes_max / 2
            && self.mailbox.len() <= settings.mailbox_max as usize / 2;
        if caught_up {
            self.connection.resume();
        }
    }

    /// How many frames nobody will handle: those of the receive at hand and of what waits behind.
    fn count_frames(&self, left: &VecDeque<Input<M>>) -> u64 {
        let mut cutter = self.cutter.borrow_mut();
        let mut count = 0;
        let mut at = self.at.get();
        let first = self.bytes.borrow();
        let rest = left.iter().filter_map(|input| match input {
            Input::Bytes(bytes) => Some(bytes),
            _ => None,
        });
        for bytes in first.iter().chain(rest) {
            while let Ok(Cut::Frame(_) | Cut::Joined(_)) = cutter.next(bytes, &mut at) {
                count += 1;
            }
            if at < bytes.len() {
                break; // malformed from here on
            }
            at = 0;
        }
        count
    }

    /// Tells the agent that no more will come; the first reason counts.
    fn end(&self, why: Disconnect) {
        if !self.ended.replace(true) {
            self.mailbox.push_control(Input::Ended(Box::new(why)));
        }
    }
}

/// The time for the first frame is over.
impl<M: 'static> Expire for Session<M> {
    fn expire(self: Rc<Self>) {
        if !self.greeted.get() && !self.ended.get() {
            self.connection.reactor.metrics.silent.add(1);
            self.connection.pause();
            self.end(Disconnect::Silent);
        }
    }
}

impl<M: 'static> Receiver for Session<M> {
    fn is_behind(&self) -> bool {
        // The last frame of a receive is being handled until the agent asks for the next.
        self.unread_bytes.get() > 0 || self.bytes.borrow().is_some()
    }

    #[inline]
    fn received(&self, bytes: Frame) {
        if self.ended.get() {
            return;
        }
        self.unread_bytes.set(self.unread_bytes.get() + bytes.len());
        self.mailbox.push_control(Input::Bytes(bytes));
        let unread_max = self.connection.reactor.settings.receive_bytes_max;
        if self.unread_bytes.get() >= unread_max || self.mailbox.is_full() {
            self.connection.pause();
        }
    }

    fn ended(&self, why: Result<(), Errno>) {
        self.end(match why {
            Ok(()) => Disconnect::Ended,
            Err(error) => Disconnect::Failed(error.into()),
        });
    }

    fn backlog(&self, backlog: Backlog) {
        if self.backlog.replace(Some(backlog)).is_none() && !self.ended.get() {
            self.mailbox.push_control(Input::Backlog);
        }
    }

    fn drain(&self) {
        self.connection.pause();
        self.end(Disconnect::Stopping);
    }

    fn closed(&self) {
        self.end(Disconnect::Closed);
    }
}

impl<M: 'static> Deliver<M> for Session<M> {
    fn deliver(&self, message: M) -> Result<(), Undelivered<M>> {
        if self.ended.get() {
            return Err(Undelivered::Dead(message));
        }
        self.mailbox.push(Input::Message(message)).map(|_| ()).map_err(|undelivered| {
            let full = matches!(undelivered, Undelivered::Full(_));
            match undelivered.into_message() {
                Input::Message(message) if full => Undelivered::Full(message),
                Input::Message(message) => Undelivered::Dead(message),
                _ => unreachable!("a message was pushed"),
            }
        })
    }
}
