//! The connections of a client: leased to requests, kept between them, bounded.
//!
//! ```text
//!   lease ─▶ kept one of the origin that is quiet ─▶ Grant::Kept
//!         ─▶ a place: of the origin, and in all   ─▶ Grant::Place ─▶ connect ─▶ Lease
//!         ─▶ the place of what was idle longest elsewhere
//!         ─▶ or the queue: the next that comes free is granted in order
//!   Lease ─▶ release: kept, for whoever waits first     ─▶ or dropped: ended, its place is free
//! ```
//! A [`Place`] counts as long as it lives, whoever has it, so that nothing has to be counted down.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::mem;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::connect::Connector;
use super::error::ClientError;
use super::limits::ClientLimits;
use super::link::Link;
use crate::clock::Now;

/// The connections of a client.
pub(super) struct Pool {
    pub(super) limits: ClientLimits,
    pub(super) connector: Connector,
    origins: RefCell<HashMap<Rc<str>, Origin>>,
    /// Places that are taken, of all origins.
    live: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Entry>>>,
    /// Somebody grants, further down the stack.
    granting: Cell<bool>,
    /// Something came free meanwhile.
    again: Cell<bool>,
    /// Who hears of kept connections that end, once it runs.
    keeper: RefCell<Option<Waker>>,
    has_keeper: Cell<bool>,
    /// The keeper has a timer.
    pub(super) watches: Cell<bool>,
    /// Nothing is kept any more.
    closing: Cell<bool>,
}

#[derive(Default)]
struct Origin {
    live: usize,
    /// The one that was used last comes last.
    kept: Vec<Kept>,
}

/// A connection between two requests.
pub(super) struct Kept {
    link: Rc<Link>,
    place: Place,
    since: Now,
}

/// The right to have one connection to an origin.
pub(super) struct Place {
    pool: Weak<Pool>,
    origin: Rc<str>,
}

/// What a request gets.
pub(super) enum Grant {
    Kept(Lease),
    /// It has to connect.
    Place(Place),
}

/// A connection that a request has.
pub(super) struct Lease {
    link: Rc<Link>,
    /// Taken when it is kept.
    place: Option<Place>,
}

/// A request that waits.
struct Entry {
    origin: Rc<str>,
    fresh: bool,
    grant: RefCell<Option<Grant>>,
    waker: RefCell<Option<Waker>>,
}

impl Pool {
    pub(super) fn new(limits: ClientLimits, connector: Connector) -> Rc<Pool> {
        Rc::new(Pool {
            limits,
            connector,
            origins: RefCell::default(),
            live: Cell::new(0),
            waiting: RefCell::default(),
            granting: Cell::new(false),
            again: Cell::new(false),
            keeper: RefCell::default(),
            has_keeper: Cell::new(false),
            watches: Cell::new(false),
            closing: Cell::new(false),
        })
    }

    /// A connection to `origin`, or the place for one; `fresh`: none that was used before.
    pub(super) async fn lease(
        self: &Rc<Pool>,
        origin: Rc<str>,
        fresh: bool,
    ) -> Result<Grant, ClientError> {
        let is_first = !self.waiting.borrow().iter().any(|entry| entry.origin == origin);
        if is_first && let Some(grant) = self.try_grant(&origin, fresh) {
            return Ok(grant);
        }
        let waiting = self.waiting.borrow().len();
        if waiting >= self.limits.waiting_max {
            return Err(ClientError::Busy { waiting });
        }
        let entry =
            Rc::new(Entry { origin, fresh, grant: RefCell::default(), waker: RefCell::default() });
        self.waiting.borrow_mut().push_back(entry.clone());
        let waiting = Waiting { pool: self, entry };
        Ok(poll_fn(|cx| waiting.entry.poll(cx)).await)
    }

    fn try_grant(self: &Rc<Pool>, origin: &Rc<str>, fresh: bool) -> Option<Grant> {
        loop {
            if !fresh && let Some(kept) = self.pop_kept(origin) {
                let is_quiet = kept.link.is_quiet(&Context::from_waker(Waker::noop()));
                if is_quiet && self.now_is_before(kept.since) {
                    let Kept { link, place, .. } = kept;
                    return Some(Grant::Kept(Lease { link, place: Some(place) }));
                }
                drop(kept); // outside of the borrow: its place comes free
                continue;
            }
            if let Some(place) = self.try_place(origin) {
                return Some(Grant::Place(place));
            }
            // A kept connection gives way to one that is needed.
            let given_up = self.oldest(origin)?;
            drop(given_up);
        }
    }

    fn pop_kept(&self, origin: &Rc<str>) -> Option<Kept> {
        self.origins.borrow_mut().get_mut(origin)?.kept.pop()
    }

    /// Whether what was kept at `since` may still be used.
    fn now_is_before(&self, since: Now) -> bool {
        crate::reactor::now() < since + self.limits.idle_time
    }

    fn try_place(self: &Rc<Pool>, origin: &Rc<str>) -> Option<Place> {
        if self.live.get() >= self.limits.connections_max {
            return None;
        }
        let mut origins = self.origins.borrow_mut();
        let entry = origins.entry(origin.clone()).or_default();
        if entry.live >= self.limits.connections_per_origin_max {
            return None;
        }
        entry.live += 1;
        self.live.set(self.live.get() + 1);
        Some(Place { pool: Rc::downgrade(self), origin: origin.clone() })
    }

    /// The kept connection whose place `origin` could use, idle longest.
    fn oldest(&self, origin: &Rc<str>) -> Option<Kept> {
        let mut origins = self.origins.borrow_mut();
        let is_full = origins
            .get(origin)
            .is_some_and(|entry| entry.live >= self.limits.connections_per_origin_max);
        if is_full {
            let entry = origins.get_mut(origin)?;
            return (!entry.kept.is_empty()).then(|| entry.kept.remove(0));
        }
        let of = |entry: &Origin| entry.kept.first().map(|kept| kept.since);
        let (_, entry) = origins
            .iter_mut()
            .filter(|(_, entry)| !entry.kept.is_empty())
            .min_by_key(|(_, entry)| of(entry))?;
        Some(entry.kept.remove(0))
    }

    /// Keeps a connection whose request is over, for the next one.
    fn keep(self: &Rc<Pool>, link: Rc<Link>, place: Place, now: Now) {
        let keeper = self.keeper.borrow().clone();
        let waker = keeper.as_ref().unwrap_or(Waker::noop());
        if self.closing.get() || !link.is_quiet(&Context::from_waker(waker)) {
            return; // it closes in order
        }
        let origin = place.origin.clone();
        let kept = Kept { link, place, since: now };
        if let Some(entry) = self.origins.borrow_mut().get_mut(&origin) {
            entry.kept.push(kept);
        }
        self.grant();
        if let Some(keeper) = keeper.filter(|_| !self.watches.get()) {
            keeper.wake();
        }
    }

    /// Gives what is free to those who wait, in order.
    fn grant(self: &Rc<Pool>) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        if self.granting.replace(true) {
            return self.again.set(true);
        }
        loop {
            self.again.set(false);
            let waiting: Vec<Rc<Entry>> = self.waiting.borrow().iter().cloned().collect();
            let mut full: Option<Rc<str>> = None;
            for entry in waiting {
                if full.as_ref() == Some(&entry.origin) {
                    continue; // those before it have found nothing
                }
                match self.try_grant(&entry.origin, entry.fresh) {
                    Some(grant) => self.hand(&entry, grant),
                    None => full = Some(entry.origin.clone()),
                }
            }
            if !self.again.get() {
                break;
            }
        }
        self.granting.set(false);
    }

    fn hand(&self, entry: &Rc<Entry>, grant: Grant) {
        self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, entry));
        *entry.grant.borrow_mut() = Some(grant);
        let waker = entry.waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }

    // --- for the keeper

    /// Whether a keeper has to be started, asked once.
    pub(super) fn needs_keeper(&self) -> bool {
        !self.has_keeper.replace(true)
    }

    pub(super) fn set_keeper(&self, waker: &Waker) {
        let mut keeper = self.keeper.borrow_mut();
        if !keeper.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *keeper = Some(waker.clone());
        }
    }

    /// Drops kept connections that were ended or idle for too long. When the next will be too old.
    pub(super) fn sweep(&self, now: Now, cx: &Context<'_>) -> Option<Now> {
        let mut ended = Vec::new();
        let mut next: Option<Now> = None;
        for entry in self.origins.borrow_mut().values_mut() {
            for kept in mem::take(&mut entry.kept) {
                let until = kept.since + self.limits.idle_time;
                if now >= until || !kept.link.is_quiet(cx) {
                    ended.push(kept);
                } else {
                    next = Some(next.map_or(until, |next| next.min(until)));
                    entry.kept.push(kept);
                }
            }
        }
        drop(ended); // outside of the borrow
        next
    }

    /// The engine stops: nothing is kept from now on.
    pub(super) fn close(&self) {
        self.closing.set(true);
        let mut kept = Vec::new();
        let mut origins = self.origins.borrow_mut();
        origins.values_mut().for_each(|entry| kept.append(&mut entry.kept));
        drop(origins);
        drop(kept); // outside of the borrow
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let keeper = self.keeper.borrow_mut().take();
        keeper.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        pool.live.set(pool.live.get() - 1);
        {
            let mut origins = pool.origins.borrow_mut();
            if let Some(entry) = origins.get_mut(&self.origin) {
                entry.live -= 1;
                if entry.live == 0 {
                    origins.remove(&self.origin);
                }
            }
        }
        pool.grant();
    }
}

impl Place {
    /// Here the connection is.
    pub(super) fn fill(self, link: Rc<Link>) -> Lease {
        Lease { link, place: Some(self) }
    }
}

impl Lease {
    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// The answer is at its end: the connection is kept if it may be. Else it closes, in order if
    /// the request is at its end, too.
    pub(super) fn release(mut self, now: Now) {
        if !self.link.is_written() {
            return;
        }
        let Some(place) = self.place.take() else { return };
        if self.link.may_be_kept()
            && let Some(pool) = place.pool.upgrade()
        {
            pool.keep(self.link.clone(), place, now);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.link.end();
            drop(place);
        }
    }
}

impl Entry {
    fn poll(&self, cx: &Context<'_>) -> Poll<Grant> {
        if let Some(grant) = self.grant.borrow_mut().take() {
            return Poll::Ready(grant);
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A place in the queue, given back when the wait is given up.
struct Waiting<'a> {
    pool: &'a Rc<Pool>,
    entry: Rc<Entry>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.entry));
        let grant = self.entry.grant.borrow_mut().take();
        drop(grant); // outside of the borrow: the next one gets it
    }
}
