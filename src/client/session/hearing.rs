//! What a session hears: of its connection, and of the clock.

use std::rc::Rc;

use super::Session;
use crate::client::disconnect::Disconnect;
use crate::memory::frame::Frame;
use crate::net::connection::{Departure, Fault, Receiver};
use crate::net::output::Backlog;
use crate::reactor::Expire;

/// The time for the first frame is over.
impl Expire for Session {
    fn expire(self: Rc<Self>) {
        if !self.marks.greeted.get() && !self.marks.ended.get() {
            self.connection.reactor.metrics.silent.add(1);
            self.connection.pause();
            self.end(Disconnect::Silent);
        }
    }
}

impl Receiver for Session {
    fn is_behind(&self) -> bool {
        self.unread.borrow().bytes() > 0 || self.marks.reading.get()
    }

    #[inline]
    fn received(self: Rc<Self>, bytes: Frame) {
        if self.marks.ended.get() {
            return;
        }
        self.unread.borrow_mut().push(bytes);
        if self.is_full() {
            self.connection.pause();
        }
        self.announce();
    }

    fn ended(self: Rc<Self>, why: Result<(), Fault>) {
        self.end(match why {
            Ok(()) => Disconnect::Ended,
            Err(error) => Disconnect::Failed(error.into()),
        });
    }

    fn backlog(self: Rc<Self>, backlog: Backlog) {
        if !self.marks.ended.get() {
            self.with_rare(|rare| rare.backlog = Some(backlog));
            self.marks.has_rare_news.set(true);
            self.announce();
        }
    }

    fn drain(self: Rc<Self>) {
        self.connection.pause();
        self.end(Disconnect::Stopping);
    }

    fn departed(self: Rc<Self>, departure: Departure) {
        let packed = self.if_rare(|rare| rare.packed.take());
        packed.expect("it leaves once")(departure);
    }

    fn closed(self: Rc<Self>) {
        self.end(Disconnect::Closed);
        if self.marks.leaving.get() {
            // On its way: whose it was knows it no longer, and whose it was to be does not yet.
            let (packed, why) = self.with_rare(|rare| (rare.packed.take(), rare.end.take()));
            drop(packed);
            self.say_farewell(why.unwrap_or(Disconnect::Closed));
        }
    }
}
