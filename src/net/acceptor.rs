//! A listening socket of one core: one accept armed, connections that wait for their owner.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;

use super::connection::Connection;
use crate::driver::operation::{
    Descriptor, Event, FileMark, ListenOptions, Operation, SocketAddress,
};
use crate::driver::token::{Kind, Token};
use crate::error::{Error, Result};
use crate::limit::quota::{Permit, Refused};
use crate::memory::slots::Key;
use crate::reactor::shared::Shared;
use crate::reactor::{Alarm, Count, Expire, Reactor, Resident};

/// After an accept failed for want of something (descriptors, memory) the next try waits this long:
/// the peers wait in the backlog meanwhile, and the core does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is done with an accepted connection, reads off.
pub(crate) type OnAccept = Rc<dyn Fn(Rc<Connection>)>;

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
    /// Connections that wait for [`Acceptor::accept`], at most `SKYRING_BACKLOG`.
    queue: RefCell<VecDeque<Rc<Connection>>>,
    /// Tasks in [`Acceptor::accept`]; all look when a connection comes.
    waiting: RefCell<Vec<Waker>>,
    on_accept: Option<OnAccept>,
}

impl Acceptor {
    /// Opens a listener on this core and accepts. `shared`: other cores have theirs on the same
    /// address.
    pub(crate) fn open(
        reactor: &Rc<Reactor>,
        address: &SocketAddress,
        shared: bool,
        on_accept: Option<OnAccept>,
    ) -> Result<Rc<Acceptor>> {
        let options = ListenOptions { backlog: reactor.settings.backlog, shared };
        let opened = reactor.driver(|driver| {
            let socket = driver.listen(address, options)?;
            Ok((socket, driver.local_address(socket)?))
        });
        let (socket, address) = opened
            .map_err(|source: io::Error| Error::Listen { address: address.to_string(), source })?;
        let file = reactor.driver(|driver| driver.file_mark(&address));
        let this = Acceptor::adopt(reactor, socket, address, on_accept);
        this.file.set(file);
        Ok(this)
    }

    /// Accepts on a socket that listens already.
    pub(crate) fn adopt(
        reactor: &Rc<Reactor>,
        socket: Descriptor,
        address: SocketAddress,
        on_accept: Option<OnAccept>,
    ) -> Rc<Acceptor> {
        let this = Rc::new(Acceptor {
            reactor: reactor.clone(),
            socket,
            address: address.clone(),
            file: Cell::new(None),
            key: OnceCell::new(),
            armed: Cell::new(false),
            closing: Cell::new(false),
            queue: RefCell::new(VecDeque::new()),
            waiting: RefCell::new(Vec::new()),
            on_accept,
        });
        this.key.set(reactor.settle(this.clone())).expect("set here only");
        reactor.shared.listening.add(address);
        this.arm();
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
            Ok(socket) => self.admit(socket),
            Err(Errno::CANCELED) => {}
            // The peer was gone before we looked (accept(2)).
            Err(Errno::CONNABORTED | Errno::PROTO | Errno::INTR | Errno::AGAIN) => {}
            Err(error) => {
                self.reactor.metrics.accept_errors.add(1);
                tracing::warn!(address = %self.address, %error, "accept failed; trying again soon");
                let this: Weak<Self> = Rc::downgrade(self);
                self.reactor.set_timer(ACCEPT_PAUSE, Alarm::Hook(this));
            }
        }
    }

    fn admit(self: &Rc<Self>, socket: Descriptor) {
        if self.closing.get() {
            return self.reactor.close(socket);
        }
        // Refused before anything is allocated for the connection.
        let Some(permit) = self.check(socket) else { return self.reactor.close(socket) };
        self.reactor.metrics.accepted.add(1);
        if self.reactor.settings.nodelay && self.address.inet().is_some() {
            // Fails only when the peer is gone already, which the first receive tells.
            let _ = self.reactor.driver(|driver| driver.set_nodelay(socket, true));
        }
        let connection = Connection::new(&self.reactor, socket, Some(permit));
        if let Some(on_accept) = &self.on_accept {
            return on_accept(connection);
        }
        self.queue.borrow_mut().push_back(connection);
        let waker = self.waiting.take();
        waker.into_iter().for_each(Waker::wake);
        let full = self.queue.borrow().len() >= self.reactor.settings.backlog as usize;
        if full && self.armed.get() {
            self.reactor.cancel(Token { kind: Kind::Accept, key: self.key() });
        }
    }

    /// Whether the connection may stay: its place, if so.
    fn check(&self, socket: Descriptor) -> Option<Permit> {
        let Shared { quota, bans, .. } = &*self.reactor.shared;
        let peer = match quota.asks_address() || !bans.is_empty() {
            true => self.peer_address(socket),
            false => None,
        };
        let metrics = &self.reactor.metrics;
        if let Some(ban) = peer.and_then(|peer| bans.find(peer, self.reactor.now())) {
            self.report(&metrics.banned, peer, &format_args!("{} is banned", ban.network));
            return None;
        }
        let refused = match quota.admit(peer) {
            Ok(permit) => return Some(permit),
            Err(refused) => refused,
        };
        let count = match refused {
            Refused::Full => &metrics.refused,
            Refused::PerIp => &metrics.refused_per_ip,
        };
        self.report(count, peer, &refused);
        None
    }

    /// The internet address at the other end; `None` for a Unix socket, and for a peer that is gone.
    fn peer_address(&self, socket: Descriptor) -> Option<IpAddr> {
        let address = self.reactor.driver(|driver| driver.peer_address(socket));
        Some(address.ok()?.inet()?.ip())
    }

    /// Counts a connection that was refused. The log hears of the first, the second, the fourth, and
    /// so on: who floods us with connections must not flood the log, too.
    fn report(&self, count: &Count, peer: Option<IpAddr>, why: &dyn Display) {
        count.add(1);
        let so_far = count.value();
        if so_far.is_power_of_two() {
            let (address, peer) = (&self.address, peer.map(tracing::field::display));
            tracing::warn!(%address, peer, %why, so_far, "connection refused");
        }
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
