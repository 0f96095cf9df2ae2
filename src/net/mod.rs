//! Sockets: listeners, streams and datagrams, usable in any task of a core.
//!
//! Who comes from Skynet finds its `socket` here:
//!
//! | Skynet | here |
//! |---|---|
//! | `socket.listen`, `socket.start` | [`TcpListener::bind`], [`TcpListener::accept`]; a stream is parked until its first read |
//! | `socket.open` | [`TcpStream::connect`] |
//! | `socket.read(fd)`, `read(fd, n)`, `readall`, `readline`, `block` | [`read`](Stream::read), [`read_exact`](Stream::read_exact), [`read_to_end`](Stream::read_to_end), [`read_until`](Stream::read_until), [`readable`](Stream::readable) |
//! | `socket.write`, `socket.lwrite` | [`write`](Stream::write), [`write_low`](Stream::write_low) |
//! | `socket.warning` | [`on_backlog`](Stream::on_backlog) |
//! | `netpack`, a `stream_reader` of one's own | [`framed`](TcpStream::framed): [`Framed::read`], [`Framed::write`] |
//! | `socket.close`, `socket.shutdown` | [`close`](Stream::close), [`shutdown`](Stream::shutdown) |
//! | `socket.udp`, `socket.sendto` | [`UdpSocket::bind`], [`UdpSocket::send_to`] |
//!
//! A server, a client, and a read with a timeout:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use skyring::net::{TcpListener, TcpStream};
//! use skyring::prelude::*;
//!
//! fn main() -> Result<()> {
//!     Engine::new(Config::from_env()?)
//!         .setup(|core| {
//!             // Each core has its own listener on the same port.
//!             let listener = TcpListener::bind("0.0.0.0:8888")?;
//!             spawn(async move {
//!                 while let Ok(stream) = listener.accept().await {
//!                     spawn(serve(stream));
//!                 }
//!             });
//!             if core.index == 0 {
//!                 spawn(greet());
//!             }
//!             Ok(())
//!         })
//!         .run()
//! }
//!
//! /// New connection handler.
//! async fn serve(stream: TcpStream) -> Result<()> {
//!     if let Some(peer) = stream.peer() {
//!         println!("New connection from: {peer}");
//!     }
//!     while let Some(data) = stream.read().await? {
//!         stream.write(data)?; // echo back
//!     }
//!     Ok(stream.close().await?)
//! }
//!
//! /// TCP client connection.
//! async fn greet() -> Result<()> {
//!     let stream = TcpStream::connect("127.0.0.1:8888").await?;
//!     stream.write("Hello, Server!\n")?;
//!     // Dropping the read at the end of its time loses no byte of it.
//!     match stream.read().within(Duration::from_secs(5)).await {
//!         Ok(response) => println!("Server response: {:?}", response?),
//!         Err(elapsed) => println!("{elapsed}"),
//!     }
//!     Ok(stream.close().await?)
//! }
//! ```

pub(crate) mod acceptor;
mod connect;
pub(crate) mod connection;
pub(crate) mod cutter;
mod datagram;
mod error;
pub(crate) mod handshake;
mod inlet;
mod listener;
pub(crate) mod output;
pub(crate) mod porter;
mod preamble;
mod resolve;
mod stream;

pub use self::datagram::UdpSocket;
pub use self::error::{
    AcceptError, ConnectError, FlushError, ReadError, ReadFrameError, ReceiveError, SendToError,
    Tried,
};
pub use self::listener::{TcpListener, UnixListener};
pub use self::resolve::Endpoint;
pub use self::stream::{Framed, Stream, TcpStream, Traffic, UnixStream};
