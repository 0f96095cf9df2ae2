//! Connecting: every address in turn, within one timeout, and a socket that is never lost.
//!
//! ```text
//!   future ──polls──▶ Attempt ◀── the reactor's resident until the last completion
//!      └──dropped──▶ cancel; a connect that succeeds after all is closed
//! ```

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;

use super::connection::Connection;
use super::error::{ConnectError, Tried};
use super::resolve::Endpoint;
use super::stream::{TcpStream, UnixStream};
use crate::clock::Now;
use crate::driver::operation::{Descriptor, Event, Operation, Protocol, SocketAddress};
use crate::driver::token::{Kind, Token};
use crate::memory::slots::Key;
use crate::reactor::{Reactor, Resident, sleep, within};

/// A Unix listener with a full backlog is asked again after this long: its connect does not wait.
const UNIX_PAUSE: Duration = Duration::from_millis(5);

impl TcpStream {
    /// Connects to a host and port, as `"example.org:80"` or `("example.org", 80)`. A name is
    /// resolved off the reactor, and each of its addresses is tried in turn, with an equal share of
    /// the time that is left of `SKYRING_CONNECT_TIMEOUT`.
    ///
    /// Dropping the future cancels; nothing of the connection stays.
    ///
    /// # Errors
    /// [`ConnectError`], which lists what was tried and why it failed.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    ///
    /// ```no_run
    /// # async fn example() -> skyring::Result<()> {
    /// use std::time::Duration;
    /// use skyring::Within;
    /// use skyring::net::TcpStream;
    ///
    /// let stream = TcpStream::connect("example.org:7").await?;
    /// stream.write("Hello, Server!\n")?;
    /// match stream.read().within(Duration::from_secs(5)).await {
    ///     Ok(response) => println!("{:?}", response?),
    ///     Err(elapsed) => println!("no answer: {elapsed}"), // nothing is lost: read again
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(to: impl Into<Endpoint>) -> Result<TcpStream, ConnectError> {
        let endpoint = to.into();
        let target = endpoint.to_string();
        let reactor = Reactor::current();
        let limit = reactor.settings.connect_timeout;
        let deadline = reactor.now() + limit;
        let Ok(resolved) = within(limit, endpoint.resolve()).await else {
            return Err(ConnectError::TimedOut { target, limit, tried: Vec::new() });
        };
        let addresses = resolved?;
        let mut tried = Vec::new();
        for (index, &address) in addresses.iter().enumerate() {
            let left = deadline.since(reactor.now()) / (addresses.len() - index) as u32;
            let address = SocketAddress::Inet(address);
            match try_one(&reactor, &address, left).await {
                Ok(connection) => {
                    if reactor.settings.nodelay {
                        // Fails only when the peer is gone already, which the first read tells.
                        let _ = connection.set_nodelay(true);
                    }
                    return Ok(TcpStream::connected(connection));
                }
                Err(error) => tried.push(Tried { address, error }),
            }
        }
        Err(failed(&reactor, target, tried, deadline))
    }
}

impl UnixStream {
    /// Connects to the Unix socket at `path`, within `SKYRING_CONNECT_TIMEOUT`.
    ///
    /// Dropping the future cancels; nothing of the connection stays.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub async fn connect(path: impl AsRef<Path>) -> Result<UnixStream, ConnectError> {
        let address = SocketAddress::Unix(path.as_ref().into());
        let reactor = Reactor::current();
        let deadline = reactor.now() + reactor.settings.connect_timeout;
        let error = loop {
            let left = deadline.since(reactor.now());
            match try_one(&reactor, &address, left).await {
                Ok(connection) => return Ok(UnixStream::connected(connection)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => {
                    sleep(UNIX_PAUSE).await;
                }
                Err(error) => break error,
            }
        };
        let target = address.to_string();
        Err(failed(&reactor, target, vec![Tried { address, error }], deadline))
    }
}

/// Why no address of `target` took the connection.
fn failed(reactor: &Reactor, target: String, tried: Vec<Tried>, deadline: Now) -> ConnectError {
    if reactor.is_stopping() {
        ConnectError::Stopping
    } else if reactor.now() >= deadline {
        let limit = reactor.settings.connect_timeout;
        ConnectError::TimedOut { target, limit, tried }
    } else {
        ConnectError::Failed { target, tried }
    }
}

async fn try_one(
    reactor: &Rc<Reactor>,
    to: &SocketAddress,
    limit: Duration,
) -> io::Result<Rc<Connection>> {
    if reactor.is_stopping() {
        return Err(Errno::CANCELED.into());
    }
    let attempt = Attempt::start(reactor, to)?;
    let connected = within(limit, attempt).await;
    let socket = connected.unwrap_or(Err(Errno::TIMEDOUT))?;
    reactor.metrics.connected.add(1);
    Ok(Connection::new(reactor, socket, None))
}

/// A socket until it is connected.
struct Attempt {
    reactor: Rc<Reactor>,
    socket: Descriptor,
    key: OnceCell<Key>,
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy)]
enum State {
    Connecting,
    /// Nobody waits any more.
    Abandoned,
    Done(Result<(), Errno>),
    /// The socket is closed, or its future's owner has it.
    Gone,
}

impl Attempt {
    fn start(reactor: &Rc<Reactor>, to: &SocketAddress) -> io::Result<Attempting> {
        let socket = reactor.driver(|driver| driver.open(to, Protocol::Stream))?;
        let this = Rc::new(Attempt {
            reactor: reactor.clone(),
            socket,
            key: OnceCell::new(),
            state: Cell::new(State::Connecting),
            waker: RefCell::default(),
        });
        let key = reactor.settle(this.clone());
        this.key.set(key).expect("set here only");
        reactor.submit(key, Operation::Connect(socket, to.clone()));
        Ok(Attempting(this))
    }

    fn key(&self) -> Key {
        *self.key.get().expect("set when it was made")
    }

    fn cancel(&self) {
        self.reactor.cancel(Token { kind: Kind::Connect, key: self.key() });
    }

    fn close(&self) {
        self.state.set(State::Gone);
        self.reactor.close(self.socket);
    }
}

impl Resident for Attempt {
    fn complete(self: Rc<Self>, event: Event, _more: bool) {
        let Event::Connected(result) = event else { unreachable!("it connects: {event:?}") };
        self.reactor.leave(self.key());
        if let State::Abandoned = self.state.get() {
            return self.close();
        }
        self.state.set(State::Done(result));
        let waker = self.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn drain(self: Rc<Self>) {
        self.cancel();
    }

    fn abort(self: Rc<Self>) {
        self.cancel();
    }
}

/// The future of an attempt; dropping it cancels.
struct Attempting(Rc<Attempt>);

impl Future for Attempting {
    type Output = Result<Descriptor, Errno>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let attempt = &self.0;
        let State::Done(result) = attempt.state.get() else {
            attempt.waker.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        };
        match result {
            Ok(()) => attempt.state.set(State::Gone),
            Err(_) => attempt.close(),
        }
        Poll::Ready(result.map(|()| attempt.socket))
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        match self.0.state.get() {
            State::Connecting => {
                self.0.state.set(State::Abandoned);
                self.0.cancel();
            }
            State::Done(_) => self.0.close(),
            State::Abandoned | State::Gone => {}
        }
    }
}
