//! What a user writes for one WebSocket.

use std::future::ready;
use std::marker::PhantomData;
use std::ops::Deref;

use super::error::SocketError;
use super::message::Message;
use super::socket::WebSocket;
use crate::error::Result;
use crate::http::Request;
use crate::net::output::Backlog;
use crate::service::{Address, Context, Down, Local, Service};
use crate::wire::websocket::Close;

/// Serves one WebSocket, as a service with an address of its own: one thing at a time, in order.
/// [`serve`](super::serve) starts it. `M` is what colleagues send it.
///
/// Write `async fn`; a handler that waits holds up this socket alone, and after
/// `SKYRING_RECEIVE_BYTES_MAX` unread bytes its reads pause. An error closes with 1011 and ends
/// nothing else; so does a panic.
///
/// ```
/// use skyring::prelude::*;
/// use skyring::websocket::{Handler, Message, Socket};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     async fn message(&mut self, socket: &Socket, message: Message) -> Result<()> {
///         Ok(socket.send(message)?)
///     }
/// }
/// ```
pub trait Handler<M: 'static = ()>: 'static {
    /// A client asks for a WebSocket, as the options allow; an error refuses it, a
    /// [`Refusal`](crate::http::Refusal) with its status. Before anything is answered; what has to
    /// wait belongs before [`serve`](super::serve).
    ///
    /// # Errors
    /// It is refused.
    fn handshake(&mut self, request: &Request) -> Result<()> {
        let _ = request;
        Ok(())
    }

    /// The WebSocket is open.
    ///
    /// # Errors
    /// An error closes it.
    fn connected(&mut self, socket: &Socket<M>) -> impl Future<Output = Result<()>> {
        let _ = socket;
        ready(Ok(()))
    }

    /// A message came. Ignored unless written.
    ///
    /// # Errors
    /// An error closes the WebSocket.
    fn message(
        &mut self,
        socket: &Socket<M>,
        message: Message,
    ) -> impl Future<Output = Result<()>> {
        let _ = (socket, message);
        ready(Ok(()))
    }

    /// A colleague sent something. Ignored unless written.
    ///
    /// # Errors
    /// An error closes the WebSocket.
    fn command(&mut self, socket: &Socket<M>, command: M) -> impl Future<Output = Result<()>> {
        let _ = (socket, command);
        ready(Ok(()))
    }

    /// A ping came, and was answered.
    ///
    /// # Errors
    /// An error closes the WebSocket.
    fn ping(&mut self, socket: &Socket<M>, payload: &[u8]) -> impl Future<Output = Result<()>> {
        let _ = (socket, payload);
        ready(Ok(()))
    }

    /// A pong came.
    ///
    /// # Errors
    /// An error closes the WebSocket.
    fn pong(&mut self, socket: &Socket<M>, payload: &[u8]) -> impl Future<Output = Result<()>> {
        let _ = (socket, payload);
        ready(Ok(()))
    }

    /// The client reads too slowly, or has caught up; at `SKYRING_SEND_QUEUE_BYTES_MAX` its
    /// connection is closed whatever this does. One that was busy meanwhile hears the latest only.
    ///
    /// # Errors
    /// An error closes the WebSocket.
    fn warning(
        &mut self,
        socket: &Socket<M>,
        backlog: Backlog,
    ) -> impl Future<Output = Result<()>> {
        let _ = (socket, backlog);
        ready(Ok(()))
    }

    /// A service that this one watches has ended: see [`Socket::cx`].
    ///
    /// # Errors
    /// An error closes the WebSocket.
    fn down(&mut self, socket: &Socket<M>, down: Down) -> impl Future<Output = Result<()>> {
        let _ = (socket, down);
        ready(Ok(()))
    }

    /// It was closed in order: with what the client has said. The last call; nothing can be sent.
    fn closed(&mut self, socket: &Socket<M>, close: Close) -> impl Future<Output = ()> {
        let _ = (socket, close);
        ready(())
    }

    /// It ended otherwise. The last call; nothing can be sent.
    fn error(&mut self, socket: &Socket<M>, error: SocketError) -> impl Future<Output = ()> {
        let _ = (socket, error);
        ready(())
    }
}

/// A [`WebSocket`] as its handler sees it: with the service that this is.
pub struct Socket<M: 'static = ()> {
    ws: WebSocket,
    cx: Context<Commands<M>>,
}

impl<M> Socket<M> {
    pub(super) fn new<S: Service<Message = M>>(ws: WebSocket, cx: &Context<S>) -> Socket<M> {
        Socket { ws, cx: cx.for_messages() }
    }

    /// Where others, on any core, send this handler commands.
    pub fn address(&self) -> Address<M> {
        self.cx.address()
    }

    /// The core-local door to this handler.
    pub fn local(&self) -> Local<M> {
        self.cx.local()
    }

    /// What every service can do: groups, timers, watches, forks, its end.
    pub fn cx(&self) -> &Context<Commands<M>> {
        &self.cx
    }
}

impl<M> Deref for Socket<M> {
    type Target = WebSocket;

    fn deref(&self) -> &WebSocket {
        &self.ws
    }
}

/// A service by its messages alone.
#[doc(hidden)]
pub struct Commands<M>(PhantomData<fn(M)>);

impl<M: 'static> Service for Commands<M> {
    type Message = M;

    fn handle(&mut self, _: M, _: &Context<Self>) -> impl Future<Output = Result<()>> {
        ready(Ok(())) // it is a name; nobody spawns one
    }

    fn kind() -> &'static str {
        "a task of a WebSocket's service"
    }
}
