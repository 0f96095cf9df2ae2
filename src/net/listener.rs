//! Listeners that hand out parked connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use super::acceptor::{Acceptor, check_listens};
use super::connection::Connection;
use super::error::AcceptError;
use super::resolve::Endpoint;
use super::stream::{TcpStream, UnixStream};
use crate::driver::operation::{Descriptor, SocketAddress};
use crate::error::{Error, Result};
use crate::reactor::Reactor;

/// What [`TcpListener`] and [`UnixListener`] have in common. Closes when dropped.
struct Door(Rc<Acceptor>);

impl Door {
    fn open(address: &SocketAddress) -> Result<Door> {
        let reactor = Reactor::current();
        let shared = reactor.settings.cores.len() > 1;
        let _alone = reactor.shared.listening.bind_alone();
        if shared && address.inet().is_some() && !reactor.shared.listening.contains(address) {
            // SO_REUSEPORT alone would share the port with another process in silence.
            let probed = reactor.driver(|driver| driver.probe_free(address));
            probed.map_err(|source| Error::Listen { address: address.to_string(), source })?;
        }
        Acceptor::open(&reactor, address, shared, None).map(Door)
    }

    /// `is_inet`: what kind of address the socket must have.
    fn adopt(socket: OwnedFd, is_inet: bool) -> Result<Door> {
        const ACTION: &str = "use the given listener";
        let reactor = Reactor::current();
        check_listens(&socket).map_err(|source| Error::Kernel { action: ACTION, source })?;
        let socket = Descriptor(socket.into_raw_fd());
        let address = reactor.driver(|driver| driver.local_address(socket));
        let address = address.and_then(|address| match address.inet().is_some() == is_inet {
            true => Ok(address),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "another kind of address")),
        });
        match address {
            Ok(address) => Ok(Door(Acceptor::adopt(&reactor, socket, address, None))),
            Err(source) => {
                reactor.close(socket);
                Err(Error::Kernel { action: ACTION, source })
            }
        }
    }

    async fn accept(&self) -> Result<Rc<Connection>, AcceptError> {
        self.0.accept().await.ok_or(AcceptError::Closed)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.address())
    }
}

/// Accepts TCP connections on one core. Closes when dropped, and when the engine stops.
///
/// Bind it in a set-up hook, or in any task. When the engine has several cores, each may bind the
/// same address, and the kernel spreads the connections over them (`SO_REUSEPORT`). Connections
/// count against `SKYRING_CONNECTIONS_MAX` and `SKYRING_CONNECTIONS_PER_IP_MAX`; those over the
/// limit are closed before `accept` sees them.
///
/// ```no_run
/// use skyring::net::{TcpListener, TcpStream};
/// use skyring::{Config, Engine, Result};
///
/// fn main() -> Result<()> {
///     Engine::new(Config::from_env()?)
///         .setup(|_core| {
///             let listener = TcpListener::bind("0.0.0.0:8888")?;
///             skyring::spawn(async move {
///                 while let Ok(stream) = listener.accept().await {
///                     println!("New connection from: {:?}", stream.peer());
///                     skyring::spawn(echo(stream));
///                 }
///             });
///             Ok(())
///         })
///         .run()
/// }
///
/// async fn echo(stream: TcpStream) -> Result<()> {
///     while let Some(data) = stream.read().await? {
///         stream.write(data)?;
///     }
///     Ok(stream.close().await?)
/// }
/// ```
#[derive(Debug)]
pub struct TcpListener(Door);

impl TcpListener {
    /// Listens on an IP address and a port, as `"0.0.0.0:8888"` or a [`SocketAddr`]. Port 0 takes
    /// a free one, another one on each core that asks.
    ///
    /// # Errors
    /// [`Error::Listen`] when the kernel refuses, or another process listens there; and for a name
    /// in place of an IP address.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn bind(address: impl Into<Endpoint>) -> Result<TcpListener> {
        let address = address.into().literal()?;
        Door::open(&SocketAddress::Inet(address)).map(TcpListener)
    }

    /// Accepts on a socket that listens already, as one inherited from a service manager.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the socket does not listen, or on another kind of address.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn from_std(listener: std::net::TcpListener) -> Result<TcpListener> {
        Door::adopt(listener.into(), true).map(TcpListener)
    }

    /// The next connection. It is parked: nothing is received until its first read.
    ///
    /// # Errors
    /// [`AcceptError::Closed`] when the engine stops. What goes wrong with one connection, or for
    /// want of descriptors, is counted and does not end the listener.
    pub async fn accept(&self) -> Result<TcpStream, AcceptError> {
        self.0.accept().await.map(TcpStream::accepted)
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.0.0.address().inet().expect("bound to an internet address")
    }
}

/// Accepts connections on a Unix socket. Closes when dropped, and when the engine stops; the file
/// that it made goes with it.
///
/// ```no_run
/// # fn hook() -> skyring::Result<()> {
/// use skyring::net::UnixListener;
///
/// let listener = UnixListener::bind("/run/example.sock")?;
/// skyring::spawn(async move {
///     while let Ok(stream) = listener.accept().await {
///         let _ = stream.write("Hello!\n");
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixListener(Door);

impl UnixListener {
    /// Listens on a path. The file of a listener that is gone is replaced; where somebody listens,
    /// or a file is no socket, this fails.
    ///
    /// One core binds a path; others connect to it as any process does.
    ///
    /// # Errors
    /// [`Error::Listen`].
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn bind(path: impl AsRef<Path>) -> Result<UnixListener> {
        Door::open(&SocketAddress::Unix(path.as_ref().into())).map(UnixListener)
    }

    /// Accepts on a socket that listens already. Its file stays when it closes.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the socket does not listen, or on another kind of address.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> Result<UnixListener> {
        Door::adopt(listener.into(), false).map(UnixListener)
    }

    /// The next connection. It is parked: nothing is received until its first read.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn accept(&self) -> Result<UnixStream, AcceptError> {
        self.0.accept().await.map(UnixStream::accepted)
    }

    /// Where it listens.
    pub fn local(&self) -> &SocketAddress {
        self.0.0.address()
    }
}
