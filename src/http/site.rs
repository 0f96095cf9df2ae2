//! What the connections of a core serve: the router, and the date.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::limits::Limits;
use super::router::Router;
use crate::clock::Now;
use crate::reactor::Reactor;
use crate::wire::http::write_date;

/// What is served on one core.
pub(super) struct Site {
    pub(super) router: Router,
    pub(super) limits: Rc<Limits>,
    /// What a connection writes in a poll.
    pub(super) buffer: RefCell<Vec<u8>>,
    date: Cell<[u8; 29]>,
    /// Until when the date is right.
    date_until: Cell<Now>,
}

impl Site {
    pub(super) fn new(router: Router) -> Site {
        Site {
            limits: Rc::new(router.limits),
            router,
            buffer: RefCell::default(),
            date: Cell::new(write_date(0)),
            date_until: Cell::new(Now::START),
        }
    }

    /// The date of this second. The clock of the wall is read once a second.
    #[inline]
    pub(super) fn date(&self, reactor: &Reactor) -> [u8; 29] {
        if reactor.now() >= self.date_until.get() {
            self.read_clock(reactor);
        }
        self.date.get()
    }

    #[cold]
    fn read_clock(&self, reactor: &Reactor) {
        let time = reactor.driver(|driver| driver.unix_time());
        let into_second = Duration::from_nanos(time.subsec_nanos().into());
        self.date.set(write_date(time.as_secs()));
        self.date_until.set(reactor.now() + (Duration::from_secs(1) - into_second));
    }
}
