//! The service of one session: which requests are new, the user's state, where replies go.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Inner;
use super::message::{Ending, ToRegistry, ToSeat, ToSession};
use super::user::{Session, User};
use crate::error::Result;
use crate::login::{
    Asked, Code, Misuse, REPLY_BYTES_MAX, REQUEST_HEAD_BYTES, Window, reply_frame, request_number,
};
use crate::reactor::{sleep, within};
use crate::service::{Address, Context, Down, Reason, Reply, Service, stop};

/// Bytes of requests that wait, above which the connection does not send more.
const WAITING_BYTES: usize = 64 * 1024;

/// How long a service that was made for a session may be none.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// How often a service that stops looks whether the user's state is back.
const LOOK: Duration = Duration::from_millis(10);

/// A session, on the core where there was least to do when it began.
pub(super) struct SessionService<U: User> {
    server: Arc<Inner<U>>,
    registry: Address<ToRegistry>,
    window: Window,
    /// The connection that has the session.
    seat: Option<Address<ToSeat>>,
    /// The connection waits until few requests do.
    pace: Option<Reply<()>>,
    begun: Option<Begun<U>>,
    /// What the user's state has not handled yet.
    work: VecDeque<Work>,
    /// Bytes of the requests among them.
    waiting_bytes: usize,
    /// The user's state handles something.
    busy: bool,
    /// No more is taken; the last work is its end.
    ending: bool,
}

struct Begun<U> {
    session: Rc<Session>,
    user: Rc<Cell<Place<U>>>,
}

/// Where the user's state is.
#[derive(Default)]
enum Place<U> {
    Here(U),
    /// In the task that handles something.
    #[default]
    Busy,
    /// It has heard its end.
    Gone,
}

enum Work {
    Request(u32, Bytes),
    Connected,
    Lost,
    End(Ending),
}

impl<U: User> SessionService<U> {
    pub(super) fn new(server: Arc<Inner<U>>, registry: Address<ToRegistry>) -> SessionService<U> {
        SessionService {
            window: Window::new(server.replies_bytes_max),
            server,
            registry,
            seat: None,
            pace: None,
            begun: None,
            work: VecDeque::new(),
            waiting_bytes: 0,
            busy: false,
            ending: false,
        }
    }

    fn attach(&mut self, index: u32, seat: Address<ToSeat>, cx: &Context<Self>) {
        if self.ending || !self.window.attach(index) {
            return stop(seat); // a newer connection has the session
        }
        if let Some(before) = self.seat.replace(seat) {
            cx.unwatch(before);
            stop(before);
        }
        self.pace = None; // that of the connection before
        cx.watch(seat);
        self.hear(Work::Connected);
    }

    fn request(&mut self, index: u32, frame: Bytes) -> Result<(), Misuse> {
        if self.ending || index != self.window.index() {
            return Ok(()); // of a connection that is being closed
        }
        let number = request_number(&frame).ok_or(Misuse::Gap)?;
        match self.window.request(number, index)? {
            Asked::New => {
                self.waiting_bytes += frame.len();
                self.work.push_back(Work::Request(number, frame));
            }
            Asked::Answered(reply) | Asked::Forgotten(reply) => self.send(reply),
            Asked::Pending => {}
        }
        Ok(())
    }

    /// The user's state hears where the session is; the latest only, if it was busy meanwhile.
    fn hear(&mut self, news: Work) {
        if !self.ending {
            self.work.retain(|work| matches!(work, Work::Request(..)));
            self.work.push_back(news);
        }
    }

    /// Sends a frame to the client, if there is a connection. One that does not take it is closed:
    /// the client comes back and asks again.
    fn send(&mut self, frame: Bytes) {
        if let Some(seat) = self.seat
            && seat.send(ToSeat::Frame(frame)).is_err()
        {
            stop(seat);
        }
    }

    /// No more connections and requests; those that wait are dropped.
    fn end(&mut self, why: Ending) {
        if std::mem::replace(&mut self.ending, true) {
            return;
        }
        if why != Ending::LoggedOut {
            self.work.retain(|work| !matches!(work, Work::Request(..)));
        }
        self.work.push_back(Work::End(why));
    }

    /// Has the user's state handle the next that waits.
    fn go_on(&mut self, cx: &Context<Self>) {
        let Some(begun) = self.begun.as_ref().filter(|_| !self.busy) else { return };
        let Some(work) = self.work.pop_front() else { return };
        self.busy = true;
        let (session, slot, time) =
            (begun.session.clone(), begun.user.clone(), self.server.request_time);
        if let Work::Request(_, frame) = &work {
            self.waiting_bytes -= frame.len();
        }
        if self.waiting_bytes <= WAITING_BYTES
            && let Some(pace) = self.pace.take()
        {
            pace.send(());
        }
        let last = matches!(work, Work::End(_));
        cx.fork(async move {
            let Place::Here(mut user) = slot.take() else {
                unreachable!("it handles one thing at a time, and none after its end")
            };
            let reply = match work {
                Work::Request(number, frame) => {
                    let request = frame.slice(REQUEST_HEAD_BYTES..);
                    let handled = within(time, user.request(request, &session)).await;
                    Some((number, answer(number, handled, &session)))
                }
                Work::Connected => {
                    let _ = within(time, user.connected(&session)).await;
                    None
                }
                Work::Lost => {
                    let _ = within(time, user.lost(&session)).await;
                    None
                }
                Work::End(why) => {
                    let _ = within(time, user.ended(why, &session)).await;
                    None
                }
            };
            slot.set(if last { Place::Gone } else { Place::Here(user) });
            ToSession::Done(reply)
        });
    }

    fn done(&mut self, reply: Option<(u32, Bytes)>, cx: &Context<Self>) {
        self.busy = false;
        if let Some((number, frame)) = reply
            && self.window.reply(number, frame.clone())
        {
            self.send(frame);
        }
        let has_ended = self.ending && self.work.is_empty();
        if has_ended {
            if let Some(seat) = self.seat.take() {
                cx.unwatch(seat);
                if seat.send(ToSeat::Close).is_err() {
                    stop(seat);
                }
            }
            cx.stop();
        }
    }

    fn begin(&mut self, name: crate::login::Name, cx: &Context<Self>) {
        let session = Session::new(name, cx.address());
        let user = (self.server.make)(&session);
        let user = Rc::new(Cell::new(Place::Here(user)));
        self.begun = Some(Begun { session: Rc::new(session), user });
    }
}

/// The frame of what a handler came to.
fn answer<E>(number: u32, handled: Result<Result<Bytes>, E>, session: &Session) -> Bytes {
    let why = match handled {
        Ok(Ok(reply)) if reply.len() <= REPLY_BYTES_MAX => {
            return reply_frame(number, Code::Ok, &reply);
        }
        Ok(Ok(reply)) => format!("its reply has {} bytes", reply.len()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    tracing::warn!(session = %session.name(), number, %why, "a request failed");
    reply_frame(number, Code::Failed, b"")
}

impl<U: User> Service for SessionService<U> {
    type Message = ToSession;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        cx.watch(self.registry);
        cx.after(BEGIN_WITHIN, ToSession::Unused);
        Ok(())
    }

    async fn handle(&mut self, message: ToSession, cx: &Context<Self>) -> Result<()> {
        match message {
            ToSession::Begin(name) => self.begin(*name, cx),
            ToSession::Attach(index, seat) => self.attach(index, seat, cx),
            ToSession::Request(index, frame) => {
                if let Err(misuse) = self.request(index, frame) {
                    tracing::debug!(session = ?self.window, %misuse, "a client is kicked");
                    self.seat.into_iter().for_each(stop);
                }
            }
            ToSession::Pace(index, reply) if index == self.window.index() => {
                if self.waiting_bytes <= WAITING_BYTES {
                    reply.send(());
                } else {
                    self.pace = Some(reply);
                }
            }
            ToSession::Pace(..) => {} // dropped: its connection is being closed
            ToSession::Done(reply) => self.done(reply, cx),
            ToSession::Push(frame) => self.send(frame),
            ToSession::End(why) => self.end(why),
            ToSession::Unused if self.begun.is_none() => cx.stop(),
            ToSession::Unused => {}
        }
        self.go_on(cx);
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        if down.service == self.registry.id() {
            self.end(Ending::Stopping); // nobody could find the session any more
        } else if self.seat.is_some_and(|seat| seat.id() == down.service) {
            self.seat = None;
            self.pace = None;
            self.hear(Work::Lost);
        }
        self.go_on(cx);
        Ok(())
    }

    async fn stopped(&mut self, _why: &Reason, _cx: &Context<Self>) {
        let Some(Begun { session, user }) = &self.begun else { return };
        // What is being handled is handled to its end, which brings the user's state back.
        let mut left = self.server.request_time;
        loop {
            match user.take() {
                Place::Here(mut user) => {
                    let _ = within(left, user.ended(Ending::Stopping, session)).await;
                    return;
                }
                Place::Busy if !left.is_zero() => {
                    let step = left.min(LOOK);
                    sleep(step).await;
                    left -= step;
                }
                Place::Busy | Place::Gone => return,
            }
        }
    }
}

impl<U: User> Drop for SessionService<U> {
    fn drop(&mut self) {
        self.seat.into_iter().for_each(stop);
    }
}
