//! What a user writes for one client.

use std::future::{Future, ready};

use crate::client::{Client, Disconnect};
use crate::error::Result;
use crate::memory::frame::Frame;
use crate::net::output::Backlog;

/// Serves one client, on the core where its connection arrived: one event at a time, in order.
///
/// Write `async fn`; a handler that waits holds up this client alone, and after
/// `SKYRING_RECEIVE_BYTES_MAX` unread bytes its reads pause. `M` are the messages of colleagues
/// ([`GateBuilder::agent_with`](super::GateBuilder::agent_with)).
///
/// An error closes the connection after what is queued has left. A panic does the same, and ends
/// nothing else.
///
/// ```
/// use skyring::prelude::*;
///
/// struct Echo;
/// impl Agent for Echo {
///     async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
///         client.send(frame)
///     }
/// }
/// ```
pub trait Agent<M: 'static = ()>: 'static {
    /// A frame came.
    fn frame(&mut self, client: &Client, frame: Frame) -> impl Future<Output = Result<()>>;

    /// A colleague sent a message. Ignored unless written.
    fn message(&mut self, client: &Client, message: M) -> impl Future<Output = Result<()>> {
        let _ = (client, message);
        ready(Ok(()))
    }

    /// The client reads too slowly, or has caught up. Ignored unless written; at the cap the
    /// connection is closed whatever this does. An agent that was busy meanwhile hears the latest
    /// only.
    fn backlog(&mut self, client: &Client, backlog: Backlog) -> impl Future<Output = Result<()>> {
        let _ = (client, backlog);
        ready(Ok(()))
    }

    /// No more frames will come; the last call. What is sent now still leaves if the client reads.
    fn disconnected(&mut self, client: &Client, why: Disconnect) -> impl Future<Output = ()> {
        let _ = (client, why);
        ready(())
    }
}
