//! Sockets: listeners, streams and datagrams, usable in any task of a core.

pub(crate) mod acceptor;
mod connect;
pub(crate) mod connection;
mod datagram;
mod error;
mod inlet;
mod listener;
pub(crate) mod output;
mod resolve;
mod stream;

pub use self::datagram::UdpSocket;
pub use self::error::{
    AcceptError, ConnectError, FlushError, ReadError, ReceiveError, SendToError, Tried,
};
pub use self::listener::{TcpListener, UnixListener};
pub use self::resolve::Endpoint;
pub use self::stream::{Stream, TcpStream, Traffic, UnixStream};
