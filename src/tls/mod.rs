//! TLS 1.2 and 1.3 for every gate, server and stream.
//!
//! A connection is encrypted or it is not; what is above it does not know. A gate is encrypted by
//! [`GateBuilder::tls`](crate::GateBuilder::tls), an HTTP server by
//! [`Engine::https`](crate::Engine::https), an accepted stream by [`Server::accept`], and
//! [`Client::connect`] opens one. All of them give what they would give without: an agent's
//! [`Client`](crate::Client), a `Request`, a [`TcpStream`](crate::net::TcpStream), in whose place the
//! same bytes are read and written. What was agreed on is told by their `tls` methods.
//!
//! An encrypted echo, and a client that trusts its certificate:
//!
//! ```no_run
//! use skyring::prelude::*;
//! use skyring::tls;
//!
//! struct Echo;
//!
//! impl Agent for Echo {
//!     async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
//!         client.send(frame)
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     let server = tls::Server::from_pem_files("cert.pem", "key.pem")?;
//!     let client = tls::Client::builder().ca("cert.pem").build()?;
//!     Engine::new(Config::from_env()?)
//!         .gate("0.0.0.0:8888", Gate::framed(LengthPrefix::U16).tls(&server).agent(|_| Echo))
//!         .setup(move |core| {
//!             if core.index == 0 {
//!                 let client = client.clone();
//!                 spawn(async move {
//!                     let stream = client.connect("localhost:8888").await?;
//!                     let echo = stream.framed(LengthPrefix::U16);
//!                     echo.write("hello")?;
//!                     println!("{:?}", echo.read().await?);
//!                     Ok::<(), Error>(())
//!                 });
//!             }
//!             Ok(())
//!         })
//!         .run()
//! }
//! ```
//!
//! docs/TLS.md teaches it from the beginning. (Feature `tls`, which is on by default.)
//!
//! - An end of a stream is the peer's word (close_notify). Without it the stream was cut, maybe by
//!   somebody else: reads fail with [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof).
//! - Nothing is heard of a connection before its handshake is done, within `SKYRING_HANDSHAKE` (10 s
//!   if that is off).
//! - Handshakes are rustls' with ring's ciphers; renegotiation, compression and early data are not
//!   spoken.

mod breach;
mod client;
mod error;
mod keys;
mod negotiated;
mod pem;
mod record;
mod seal;
mod server;
mod shake;
mod validity;

#[cfg(test)]
mod tests;

pub use self::client::{Client, ClientBuilder};
pub use self::error::{HandshakeError, SetupError, TlsConnectError};
pub use self::negotiated::{Negotiated, Version};
pub use self::pem::Pem;
pub use self::server::{Server, ServerBuilder};
