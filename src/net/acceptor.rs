//! A listening socket of one core: one accept armed, connections that wait for their owner.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;

use super::connection::Connection;
use super::porter::{self, Porter};
use super::preamble;
use crate::clock::Now;
use crate::driver::operation::{
    Descriptor, Event, FileMark, ListenOptions, Operation, SocketAddress,
};
use crate::driver::token::{Kind, Token};
use crate::error::{Error, Result};
use crate::limit::Refusal;
use crate::limit::quota::Permit;
use crate::memory::slots::Key;
use crate::reactor::shared::Shared;
use crate::reactor::{Alarm, Expire, Reactor, Resident};

/// After an accept failed for want of something (descriptors, memory) the next try waits this long:
/// the peers wait in the backlog meanwhile, and the core does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A shortage that comes back sooner is the same one: where every connection that ends makes room for
/// one, accepts fail and succeed in turn.
const SHORTAGE_GAP: Duration = Duration::from_secs(10);

/// A listening socket of one core.
pub(crate) struct Acceptor {
    reactor: Rc<Reactor>,
    socket: Descriptor,
    address: SocketAddress,
    /// The file that it made, if it is a Unix socket: removed when it closes.
    file: Cell<Option<FileMark>>,
    key: OnceCell<Key>,
    armed: Cell<bool>,
    closing: Cell<bool>,
    shortage: Cell<Shortage>,
    /// Connections that wait for [`Acceptor::accept`], at most `SKYRING_BACKLOG`.
    queue: RefCell<VecDeque<Rc<Connection>>>,
    /// Tasks in [`Acceptor::accept`]; all look when a connection comes.
    waiting: RefCell<Vec<Waker>>,
    /// Who takes the connections, if [`Acceptor::accept`] does not.
    porter: Option<Rc<Porter>>,
}

impl Acceptor {
    /// Opens a listener on this core and accepts. `shared`: other cores have theirs on the same
    /// address.
    pub(crate) fn open(
        reactor: &Rc<Reactor>,
        address: &SocketAddress,
        shared: bool,
        porter: Option<Rc<Porter>>,
    ) -> Result<Rc<Acceptor>> {
        let options = ListenOptions { backlog: reactor.settings.backlog, shared };
        let opened = reactor.driver(|driver| {
            let socket = driver.listen(address, options)?;
            Ok((socket, driver.local_address(socket)?))
        });
        let (socket, address) = opened
            .map_err(|source: io::Error| Error::Listen { address: address.to_string(), source })?;
        let file = reactor.driver(|driver| driver.file_mark(&address));
        Ok(Acceptor::settle(reactor, socket, address, file, porter))
    }

    /// Accepts on a socket that listens already.
    pub(crate) fn adopt(
        reactor: &Rc<Reactor>,
        socket: Descriptor,
        address: SocketAddress,
        porter: Option<Rc<Porter>>,
    ) -> Rc<Acceptor> {
        Acceptor::settle(reactor, socket, address, None, porter)
    }

    fn settle(
        reactor: &Rc<Reactor>,
        socket: Descriptor,
        address: SocketAddress,
        file: Option<FileMark>,
        porter: Option<Rc<Porter>>,
    ) -> Rc<Acceptor> {
        let this = Rc::new(Acceptor {
            reactor: reactor.clone(),
            socket,
            address: address.clone(),
            file: Cell::new(file),
            key: OnceCell::new(),
            armed: Cell::new(false),
            closing: Cell::new(false),
            shortage: Cell::default(),
            queue: RefCell::new(VecDeque::new()),
            waiting: RefCell::new(Vec::new()),
            porter,
        });
        this.key.set(reactor.settle(this.clone())).expect("set here only");
        reactor.shared.listening.add(address);
        if reactor.is_stopping() {
            this.close(); // whoever stops has been told already
        } else {
            this.arm();
        }
        this
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &SocketAddress {
        &self.address
    }

    /// Its descriptor, for other cores to duplicate.
    pub(crate) fn socket(&self) -> Descriptor {
        self.socket
    }

    /// The next connection; `None` when the listener is closed.
    pub(crate) async fn accept(&self) -> Option<Rc<Connection>> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &Context<'_>) -> Poll<Option<Rc<Connection>>> {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            let Some(next) = next else { break };
            self.arm();
            // It may have gone while it waited: idle for too long, or the engine stops.
            if next.is_open() {
                return Poll::Ready(Some(next));
            }
        }
        if self.closing.get() {
            return Poll::Ready(None);
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn arm(&self) {
        let full = self.queue.borrow().len() >= self.reactor.settings.backlog as usize;
        if !self.armed.get() && !self.closing.get() && !full {
            self.armed.set(true);
            self.reactor.submit(self.key(), Operation::Accept(self.socket));
        }
    }

    fn key(&self) -> Key {
        *self.key.get().expect("set when it was made")
    }

    fn on_accepted(self: &Rc<Self>, result: Result<Descriptor, Errno>) {
        match result {
            Ok(socket) => {
                self.tell_end_of_shortage();
                self.admit(socket);
            }
            Err(Errno::CANCELED) => {}
            // The peer was gone before we looked (accept(2)).
            Err(Errno::CONNABORTED | Errno::PROTO | Errno::INTR | Errno::AGAIN) => {}
            Err(error) => {
                self.reactor.metrics.accept_errors.add(1);
                self.tell_shortage(error);
                let this: Weak<Self> = Rc::downgrade(self);
                self.reactor.set_timer(ACCEPT_PAUSE, Alarm::Hook(this));
            }
        }
    }

    fn tell_shortage(&self, error: Errno) {
        let mut shortage = self.shortage.get();
        if let Some(times) = shortage.failed(self.reactor.now()) {
            let address = tracing::field::display(&self.address);
            tracing::warn!(address, %error, times, "accept failed; trying again soon");
        }
        self.shortage.set(shortage);
    }

    #[inline]
    fn tell_end_of_shortage(&self) {
        if self.shortage.get().told {
            let mut shortage = self.shortage.get();
            shortage.told = false;
            self.shortage.set(shortage);
            tracing::info!(address = %self.address, times = shortage.times, "accepting again");
        }
    }

    fn admit(self: &Rc<Self>, socket: Descriptor) {
        if self.closing.get() {
            return self.reactor.close(socket);
        }
        let asks = self.asks_peer() && self.address.inet().is_some();
        let address = if asks { self.peer_address(socket) } else { None };
        if asks && address.is_none() {
            // It was reset, and its address is not told any more. Its bytes could be read: they are
            // of somebody who may be banned.
            return self.reactor.close(socket);
        }
        let peer = address.as_ref().and_then(SocketAddress::inet).map(|peer| peer.ip());
        let is_proxy = self.porter.as_ref().is_some_and(|porter| porter.is_proxy(peer));
        // Refused before anything is allocated for the connection.
        let permit = match self.check(peer, is_proxy) {
            Ok(permit) => permit,
            Err(refusal) => return self.turn_away(socket, peer, refusal),
        };
        self.reactor.metrics.accepted.add(1);
        if self.reactor.settings.nodelay && self.address.inet().is_some() {
            // Fails only when the peer is gone already, which the first receive tells.
            let _ = self.reactor.driver(|driver| driver.set_nodelay(socket, true));
        }
        let connection = Connection::new(&self.reactor, socket, Some(permit));
        if !is_proxy && let Some(address) = address {
            connection.set_peer(address); // it may not be told any more when it is asked for
        }
        match &self.porter {
            Some(porter) if is_proxy => return preamble::read(connection, porter.clone()),
            Some(porter) => return porter.hand_on(connection, None),
            None => {}
        }
        self.queue.borrow_mut().push_back(connection);
        let waker = self.waiting.take();
        waker.into_iter().for_each(Waker::wake);
        let full = self.queue.borrow().len() >= self.reactor.settings.backlog as usize;
        if full && self.armed.get() {
            self.reactor.cancel(Token { kind: Kind::Accept, key: self.key() });
        }
    }

    /// Whether anything depends on who is at the other end.
    fn asks_peer(&self) -> bool {
        let Shared { quota, bans, rates, .. } = &*self.reactor.shared;
        let asks_proxy = self.porter.as_ref().is_some_and(|porter| porter.asks_peer());
        quota.asks_address() || !bans.is_empty() || !rates.is_unlimited() || asks_proxy
    }

    /// Whether the connection may stay: its place, if so. One of a proxy counts for nobody and at no
    /// gate before it says whose it is.
    fn check(&self, peer: Option<IpAddr>, is_proxy: bool) -> Result<Permit, Refusal> {
        let Shared { quota, bans, .. } = &*self.reactor.shared;
        if peer.is_some_and(|peer| bans.find(peer, self.reactor.now()).is_some()) {
            return Err(Refusal::Banned);
        }
        let mut permit = quota.admit(None)?;
        if is_proxy {
            return Ok(permit);
        }
        if let Some(porter) = &self.porter {
            permit.occupy(porter.places().take().ok_or(Refusal::GateFull)?);
        }
        // The last, since it is remembered: that may take memory.
        peer.map_or(Ok(()), |peer| permit.count_for(peer))?;
        Ok(permit)
    }

    /// Closes a socket that nothing was allocated for: after a word, if there is one.
    fn turn_away(&self, socket: Descriptor, peer: Option<IpAddr>, refusal: Refusal) {
        porter::report(&self.reactor, refusal, peer);
        let words = self.porter.as_ref().and_then(|porter| porter.words());
        let words = words.map_or(&b""[..], |words| words.at_door(refusal));
        if !words.is_empty() {
            let told = self.reactor.driver(|driver| driver.dismiss(socket, words));
            self.reactor.metrics.refusals_told.add(u64::from(told));
        } else if refusal == Refusal::GateFull {
            // A gate resets whom it tells nothing, as it does when its service is down.
            let _ = self.reactor.driver(|driver| driver.set_abortive(socket));
        }
        self.reactor.close(socket);
    }

    /// Who is at the other end; `None` for one that is gone.
    fn peer_address(&self, socket: Descriptor) -> Option<SocketAddress> {
        self.reactor.driver(|driver| driver.peer_address(socket)).ok()
    }

    /// Accepts no more; connections that nobody took are closed.
    pub(crate) fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        if let Some(file) = self.file.take() {
            self.reactor.driver(|driver| driver.remove_file(&self.address, file));
        }
        self.reactor.shared.listening.remove(&self.address);
        let left = std::mem::take(&mut *self.queue.borrow_mut());
        left.iter().for_each(|connection| connection.close());
        let waker = self.waiting.take();
        waker.into_iter().for_each(Waker::wake);
        if self.armed.get() {
            self.reactor.cancel(Token { kind: Kind::Accept, key: self.key() });
        } else {
            self.finish();
        }
    }

    fn finish(&self) {
        self.reactor.close(self.socket);
        self.reactor.leave(self.key());
    }
}

impl Resident for Acceptor {
    fn complete(self: Rc<Self>, event: Event, more: bool) {
        let Event::Accepted(result) = event else { unreachable!("an acceptor accepts: {event:?}") };
        if !more {
            self.armed.set(false);
        }
        let failed = matches!(&result, Err(error) if is_shortage(*error));
        self.on_accepted(result);
        if self.closing.get() {
            if !more {
                self.finish();
            }
        } else if !failed {
            self.arm();
        }
    }

    fn drain(self: Rc<Self>) {
        self.close();
    }

    fn abort(self: Rc<Self>) {
        self.close();
    }
}

/// A time in which accepts fail for want of something. The log hears of the first failure, the second,
/// the fourth, and so on, and of an accept that succeeds after that.
#[derive(Clone, Copy, Default)]
struct Shortage {
    times: u32,
    last: Now,
    /// The log has heard of it, and of no success since.
    told: bool,
}

impl Shortage {
    /// An accept has failed: how many have in this shortage, if the log is to hear of it.
    fn failed(&mut self, now: Now) -> Option<u32> {
        if now.since(self.last) >= SHORTAGE_GAP {
            self.times = 0;
        }
        self.last = now;
        self.times = self.times.saturating_add(1);
        let is_told = self.times.is_power_of_two();
        self.told |= is_told;
        is_told.then_some(self.times)
    }
}

/// An accept on a socket that does not listen would fail, and be tried again, for ever.
pub(crate) fn check_listens(socket: &OwnedFd) -> io::Result<()> {
    if rustix::net::sockopt::socket_acceptconn(socket)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"))
}

/// Whether an accept failed for want of something that may come back.
fn is_shortage(error: Errno) -> bool {
    !matches!(
        error,
        Errno::CANCELED | Errno::CONNABORTED | Errno::PROTO | Errno::INTR | Errno::AGAIN
    )
}

impl Expire for Acceptor {
    fn expire(self: Rc<Self>) {
        self.arm();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_of_ever_less_and_a_new_one_from_the_first() {
        let mut shortage = Shortage::default();
        let mut now = Now::START + Duration::from_secs(100);
        let mut told = Vec::new();
        for n in 0..1000 {
            now = now + ACCEPT_PAUSE;
            told.extend(shortage.failed(now));
            if n % 2 == 0 {
                shortage.told = false; // one was accepted between
            }
        }
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        let soon = now + (SHORTAGE_GAP - Duration::from_nanos(1));
        assert_eq!(shortage.failed(soon), None, "the same");
        assert_eq!(shortage.failed(soon + SHORTAGE_GAP), Some(1), "another");
        assert!(shortage.told);
    }
}
