//! WebSocket, servers and clients (RFC 6455).
//!
//! An echo on a route of an HTTP server:
//!
//! ```no_run
//! use skyring::http::Router;
//! use skyring::prelude::*;
//! use skyring::websocket::{self, Options};
//!
//! fn main() -> Result<()> {
//!     Engine::new(Config::from_env()?)
//!         .http("0.0.0.0:8080", |_core| {
//!             Router::new().get("/ws", async |request| {
//!                 websocket::upgrade(request, &Options::new(), async |ws| {
//!                     while let Some(message) = ws.read().await? {
//!                         ws.send(message)?; // never suspends, and copies nothing
//!                     }
//!                     Ok(())
//!                 })
//!             })
//!         })
//!         .run()
//! }
//! ```
//!
//! docs/WEBSOCKET.md teaches it from the beginning. (Feature `websocket`, which is on by default.)
//!
//! ```text
//!   request ─▶ upgrade() ─▶ 101 ─▶ WebSocket: a task with a stream, and nothing of HTTP
//!   receive ─▶ unmasked where it lies ─▶ Message, a Frame ─▶ send() ─▶ the same bytes
//! ```
//! A message that came in one piece is not copied. Peers are bounded by [`Limits`].

mod connect;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod handler;
mod input;
mod keepalive;
mod limits;
mod masks;
mod message;
mod options;
mod outgoing;
mod patience;
mod prepared;
mod sending;
mod serve;
mod socket;
mod upgrade;
mod url;
mod watch;
mod writer;

pub use self::connect::{Connect, connect};
#[cfg(feature = "deflate")]
pub use self::deflate::Deflate;
pub use self::error::{OpenError, SocketError};
pub use self::handler::{Handler, Socket};
pub use self::limits::Limits;
pub use self::message::{Message, Text};
pub use self::options::Options;
pub use self::outgoing::Outgoing;
pub use self::prepared::Prepared;
pub use self::serve::serve;
pub use self::socket::WebSocket;
pub use self::upgrade::upgrade;
pub use self::writer::Writer;
pub use crate::wire::websocket::{Close, ProtocolError};
