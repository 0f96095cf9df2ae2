//! A session: the framing, the mailbox and the agent of one connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use rustix::io::Errno;

use super::agent::{Agent, Disconnect};
use super::client::Client;
use super::cutter::{Cut, Cutter};
use crate::memory::frame::Frame;
use crate::net::connection::{Connection, Receiver};
use crate::net::output::Backlog;
use crate::reactor::{Reactor, guarded};
use crate::service::mailbox::{Deliver, Local, Mailbox, Undelivered};
use crate::wire::{FrameError, Framing};

/// Output of one turn and client at which its agent waits for the flush, or half of the send cap if
/// that is less.
const FRESH_BYTES_MAX: usize = 256 * 1024;

/// What an agent handles, one at a time.
enum Event<M> {
    Frame(Frame),
    Message(M),
    /// How the output stands lies in the session; one at most.
    Backlog,
    /// The last one.
    Ended(Box<Disconnect>),
}

struct Session<M> {
    connection: Rc<Connection>,
    cutter: RefCell<Cutter>,
    mailbox: Mailbox<Event<M>>,
    /// Received bytes that wait for room in the mailbox, the front one cut up to `front_at`.
    uncut: RefCell<VecDeque<Frame>>,
    front_at: Cell<usize>,
    /// The agent goes on in the next turn when it has queued so much in one.
    fresh_bytes_max: usize,
    /// Payload bytes in the mailbox.
    unread_bytes: Cell<usize>,
    /// What the event of it in the mailbox is to tell: an agent that waits for long hears where its
    /// output stands by then, and not how it came to that.
    backlog: Cell<Option<Backlog>>,
    /// Why no more will come, once that is known; told when everything before is in the mailbox.
    ending: RefCell<Option<Box<Disconnect>>>,
    ended: Cell<bool>,
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
        cutter: RefCell::new(Cutter::new(framing, reactor.settings.frame_bytes_max)),
        mailbox: Mailbox::new(&reactor),
        uncut: RefCell::new(VecDeque::new()),
        front_at: Cell::new(0),
        fresh_bytes_max: FRESH_BYTES_MAX.min(reactor.settings.send_queue_bytes_max / 2),
        unread_bytes: Cell::new(0),
        backlog: Cell::new(None),
        ending: RefCell::new(None),
        ended: Cell::new(false),
        connection: connection.clone(),
    });
    let client = Client::new(connection.clone(), framing);
    let door: Weak<Session<M>> = Rc::downgrade(&session);
    let made = guarded(&reactor.metrics, "the maker of agents panicked", || {
        make(&client, Local::new(door))
    });
    let Some(agent) = made else {
        return drop(Closing(session));
    };
    let agent = Shield { agent: Some(agent), reactor: reactor.clone() };
    let task = reactor.spawn_boxed(Box::pin(serve(session.clone(), client, agent)));
    session.mailbox.bind(task);
    connection.attach(session);
    connection.resume();
}

/// The life of an agent.
async fn serve<A, M>(session: Rc<Session<M>>, client: Client, mut agent: Shield<A>)
where
    A: Agent<M>,
    M: 'static,
{
    // Dropped on every way out: the end, a panic, the stop of the engine.
    let session = Closing(session);
    let agent = agent.agent.as_mut().expect("taken when dropped");
    loop {
        let result = match session.0.next().await {
            Event::Frame(frame) => agent.frame(&client, frame).await,
            Event::Message(message) => agent.message(&client, message).await,
            Event::Backlog => {
                let backlog = session.0.backlog.take().expect("noted before its event");
                agent.backlog(&client, backlog).await
            }
            Event::Ended(why) => {
                tracing::debug!(client = %client.id(), %why, "disconnected");
                return agent.disconnected(&client, *why).await;
            }
        };
        if let Err(error) = result {
            tracing::debug!(client = %client.id(), %error, "the agent ended the connection");
            return;
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
        let frames = left.iter().filter(|event| matches!(event, Event::Frame(_))).count();
        let metrics = &session.connection.reactor.metrics;
        metrics.frames_undelivered.add(frames as u64);
        // One by one: this may run while the agent's own panic unwinds, where two at once abort.
        for event in left {
            guarded(metrics, "a message panicked while it was dropped", || drop(event));
        }
        drop(std::mem::take(&mut *session.uncut.borrow_mut()));
        session.connection.close();
    }
}

impl<M: 'static> Session<M> {
    /// The next event of the agent. Turns reads on again when it has caught up.
    #[inline]
    async fn next(&self) -> Event<M> {
        // What a client sent at once may be answered by more than its send queue takes, although
        // it reads: the kernel must have had its chance before that counts against it.
        while self.connection.fresh() >= self.fresh_bytes_max {
            self.mailbox.after_flush().await;
        }
        let event = self.mailbox.receive().await;
        if let Event::Frame(frame) = &event {
            self.unread_bytes.set(self.unread_bytes.get() - frame.len());
        }
        if self.connection.is_paused() {
            self.catch_up();
        }
        event
    }

    /// Whether the agent lags so far that its client must wait.
    #[inline]
    fn lags(&self) -> bool {
        self.mailbox.is_full()
            || self.unread_bytes.get() >= self.connection.reactor.settings.receive_bytes_max
    }

    fn catch_up(&self) {
        let settings = &self.connection.reactor.settings;
        let caught_up = self.unread_bytes.get() <= settings.receive_bytes_max / 2
            && self.mailbox.len() <= settings.mailbox_max as usize / 2;
        if caught_up && self.cut_waiting() && !self.ended.get() {
            self.connection.resume();
        }
    }

    /// Cuts the bytes that wait. Whether all of them are in the mailbox now.
    fn cut_waiting(&self) -> bool {
        loop {
            let Some(bytes) = self.uncut.borrow().front().cloned() else { break };
            let mut at = self.front_at.get();
            let done = self.cut(&bytes, &mut at);
            self.front_at.set(at);
            if !done {
                return false;
            }
            self.front_at.set(0);
            self.uncut.borrow_mut().pop_front();
        }
        self.tell_end();
        true
    }

    /// Puts the frames of `bytes` in the mailbox, from `at` on. Whether it came to the end; if not,
    /// the agent lags.
    #[inline]
    fn cut(&self, bytes: &Frame, at: &mut usize) -> bool {
        let reactor = &self.connection.reactor;
        let unread_max = reactor.settings.receive_bytes_max;
        let mut unread = self.unread_bytes.get();
        let mut room = self.mailbox.room();
        let mut cutter = self.cutter.borrow_mut();
        let mut frames = 0;
        let end = loop {
            if room == 0 || unread >= unread_max {
                break *at == bytes.len();
            }
            let frame = match cutter.next(bytes, at) {
                Ok(Cut::Frame(frame)) => frame,
                Ok(Cut::Joined(frame)) => {
                    reactor.metrics.frames_joined.add(1);
                    frame
                }
                Ok(Cut::Empty) => break true,
                Err(error) => {
                    self.on_malformed(error);
                    *at = bytes.len();
                    break true;
                }
            };
            frames += 1;
            room -= 1;
            unread += frame.len();
            self.mailbox.push_control(Event::Frame(frame)); // there is room
        };
        reactor.metrics.frames.add(frames);
        self.unread_bytes.set(unread);
        end
    }

    fn on_malformed(&self, error: FrameError) {
        self.connection.reactor.metrics.malformed.add(1);
        self.connection.pause();
        self.uncut.borrow_mut().truncate(1);
        self.end(Disconnect::Malformed(error));
    }

    /// Notes why no more will come; the first reason counts.
    fn end(&self, why: Disconnect) {
        self.ending.borrow_mut().get_or_insert_with(|| Box::new(why));
    }

    /// Tells the agent the end, when everything before it is in the mailbox.
    fn tell_end(&self) {
        let why = self.ending.borrow_mut().take();
        if let Some(why) = why
            && !self.ended.replace(true)
        {
            self.mailbox.push_control(Event::Ended(why));
        }
    }
}

impl<M: 'static> Receiver for Session<M> {
    #[inline]
    fn received(&self, bytes: Frame) {
        if self.ended.get() {
            return;
        }
        let mut at = 0;
        if self.uncut.borrow().is_empty() && self.cut(&bytes, &mut at) {
            if self.lags() {
                self.connection.pause();
            }
            return self.tell_end();
        }
        if self.uncut.borrow().is_empty() {
            self.front_at.set(at);
        }
        self.uncut.borrow_mut().push_back(bytes);
        self.connection.pause();
    }

    fn ended(&self, why: Result<(), Errno>) {
        self.end(match why {
            Ok(()) => Disconnect::Ended,
            Err(error) => Disconnect::Failed(error.into()),
        });
        if self.uncut.borrow().is_empty() {
            self.tell_end();
        }
    }

    fn backlog(&self, backlog: Backlog) {
        if !self.ended.get() && self.backlog.replace(Some(backlog)).is_none() {
            self.mailbox.push_control(Event::Backlog);
        }
    }

    fn drain(&self) {
        self.connection.pause();
        self.end(Disconnect::Stopping);
        if self.uncut.borrow().is_empty() {
            self.tell_end();
        }
    }

    fn closed(&self) {
        self.end(Disconnect::Closed);
        // What was not cut yet goes: the agent cannot answer it.
        self.uncut.borrow_mut().clear();
        self.tell_end();
    }
}

impl<M: 'static> Deliver<M> for Session<M> {
    fn deliver(&self, message: M) -> Result<(), Undelivered<M>> {
        if self.ended.get() {
            return Err(Undelivered::Dead(message));
        }
        self.mailbox.push(Event::Message(message)).map_err(|undelivered| {
            let full = matches!(undelivered, Undelivered::Full(_));
            match undelivered.into_message() {
                Event::Message(message) if full => Undelivered::Full(message),
                Event::Message(message) => Undelivered::Dead(message),
                _ => unreachable!("a message was pushed"),
            }
        })
    }
}
