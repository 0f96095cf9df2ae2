//! A handler as a service.
//!
//! ```text
//!   the socket: messages, pings, its end ─▶ poll_own ─▶ own ─▶ Handler::message, ping ...
//!   colleagues: address.send            ─▶ mailbox  ─▶ handle ─▶ Handler::command
//! ```
//! Both in turn, one at a time, in one task.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{self, Poll, Waker};

use super::error::SocketError;
use super::handler::{Handler, Socket};
use super::options::Options;
use super::socket::{Event, WebSocket};
use super::upgrade::{accept, read};
use crate::error::Result;
use crate::http::{Request, Response};
use crate::net::output::Backlog;
use crate::service::{self, Context, Down, Reason, Service};
use crate::wire::websocket::Close;

/// Goes on with this request as a WebSocket, by a service that `handler` becomes. What is no
/// handshake is answered as it should be, as [`upgrade`](super::upgrade) does.
///
/// Here the guests of a room: what one says all of them hear, on whatever core they are. A message
/// is encoded once on each.
///
/// ```
/// use skyring::http::Router;
/// use skyring::prelude::*;
/// use skyring::service::{Group, Shared};
/// use skyring::websocket::{self, Handler, Message, Options, Prepared, Socket};
///
/// struct Guest(Group<Prepared>);
///
/// impl Handler<Shared<Prepared>> for Guest {
///     async fn connected(&mut self, socket: &Socket<Shared<Prepared>>) -> Result<()> {
///         socket.cx().join(self.0, |said| said);
///         Ok(())
///     }
///
///     async fn message(&mut self, _: &Socket<Shared<Prepared>>, message: Message) -> Result<()> {
///         let _ = self.0.broadcast(Prepared::new(message)); // a room that lags loses it
///         Ok(())
///     }
///
///     async fn command(
///         &mut self,
///         socket: &Socket<Shared<Prepared>>,
///         said: Shared<Prepared>,
///     ) -> Result<()> {
///         Ok(socket.send(&*said)?)
///     }
/// }
///
/// fn router(room: Group<Prepared>) -> Router {
///     Router::new().get("/room", async move |request| {
///         websocket::serve(request, &Options::new(), Guest(room))
///     })
/// }
/// # let _ = router;
/// ```
///
/// # Errors
/// What [`Handler::handshake`] says, and a subprotocol of `options` that cannot be sent.
pub fn serve<H: Handler<M>, M: 'static>(
    request: Request,
    options: &Options,
    mut handler: H,
) -> Result<Response> {
    // A handler hears of nobody whom the options refuse: a page of another origin, say.
    if read(&request, options).is_ok() {
        handler.handshake(&request)?;
    }
    accept(request, options, move |ws: WebSocket| {
        let served = Served {
            handler,
            socket: None,
            found: None,
            backlog: Rc::default(),
            is_over: false,
            hears: PhantomData,
            ws,
        };
        if let Err(error) = service::spawn(served) {
            tracing::warn!(%error, "a WebSocket gets no service"); // and was told so
        }
        None
    })
}

struct Served<H, M: 'static> {
    handler: H,
    ws: WebSocket,
    socket: Option<Socket<M>>,
    /// What `poll_own` has found.
    found: Option<Found>,
    backlog: Rc<BacklogCell>,
    /// The handler has had its last call.
    is_over: bool,
    hears: PhantomData<fn(M)>,
}

enum Found {
    Event(Result<Option<Event>, SocketError>),
    Backlog(Backlog),
}

/// Where the send queue stands, when the handler was not told yet.
#[derive(Default)]
struct BacklogCell {
    latest: Cell<Option<Backlog>>,
    waker: Cell<Option<Waker>>,
}

impl BacklogCell {
    fn put(&self, backlog: Backlog) {
        self.latest.set(Some(backlog));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait(&self, task: &task::Context<'_>) {
        let waker = self.waker.take().filter(|waker| waker.will_wake(task.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| task.waker().clone())));
    }
}

impl<H: Handler<M>, M: 'static> Served<H, M> {
    /// The handler, which is about to be called, and its socket.
    fn parts(&mut self) -> (&mut H, &Socket<M>) {
        self.ws.0.end_wait();
        let socket = self.socket.as_ref().expect("made at the start");
        (&mut self.handler, socket)
    }

    /// A handler that fails ends its WebSocket, as it may; the log need not hear of each.
    fn end_on_error(&self, result: Result<()>, cx: &Context<Self>) {
        if let Err(error) = result {
            tracing::debug!(peer = ?self.ws.peer(), %error, "a handler ended its WebSocket");
            self.ws.begin_close(1011, "the server failed");
            cx.stop();
        }
    }

    /// Nothing more comes.
    async fn over(&mut self, why: Result<(), SocketError>, cx: &Context<Self>) {
        self.is_over = true;
        let close = self.ws.closed_with();
        let (handler, socket) = self.parts();
        match why {
            Ok(()) => {
                let none = Close { code: Close::NONE, reason: "".into() };
                handler.closed(socket, close.unwrap_or(none)).await;
            }
            Err(error) => handler.error(socket, error).await,
        }
        cx.stop();
    }
}

impl<H: Handler<M>, M: 'static> Service for Served<H, M> {
    type Message = M;

    const OWNS: bool = true;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        let backlog = self.backlog.clone();
        self.ws.stream().on_backlog(move |state| backlog.put(state));
        self.socket = Some(Socket::new(self.ws.clone(), cx));
        let (handler, socket) = self.parts();
        let connected = handler.connected(socket).await;
        self.end_on_error(connected, cx);
        Ok(())
    }

    async fn handle(&mut self, command: M, cx: &Context<Self>) -> Result<()> {
        let (handler, socket) = self.parts();
        let handled = handler.command(socket, command).await;
        self.end_on_error(handled, cx);
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        let (handler, socket) = self.parts();
        let handled = handler.down(socket, down).await;
        self.end_on_error(handled, cx);
        Ok(())
    }

    fn poll_own(&mut self, task: &mut task::Context<'_>) -> bool {
        if self.is_over {
            return false;
        }
        self.found = match self.ws.0.poll_event(task) {
            Poll::Ready(event) => Some(Found::Event(event)),
            Poll::Pending => self.backlog.latest.take().map(Found::Backlog),
        };
        if self.found.is_none() {
            self.backlog.wait(task);
        }
        self.found.is_some()
    }

    async fn own(&mut self, cx: &Context<Self>) -> Result<()> {
        let found = self.found.take();
        let (handler, socket) = self.parts();
        let handled = match found {
            None => Ok(()),
            Some(Found::Event(Ok(Some(Event::Message(message))))) => {
                handler.message(socket, message).await
            }
            Some(Found::Event(Ok(Some(Event::Ping(payload))))) => {
                handler.ping(socket, &payload).await
            }
            Some(Found::Event(Ok(Some(Event::Pong(payload))))) => {
                handler.pong(socket, &payload).await
            }
            Some(Found::Backlog(backlog)) => handler.warning(socket, backlog).await,
            Some(Found::Event(Ok(None))) => {
                self.over(Ok(()), cx).await;
                Ok(())
            }
            Some(Found::Event(Err(error))) => {
                self.over(Err(error), cx).await;
                Ok(())
            }
        };
        self.end_on_error(handled, cx);
        Ok(())
    }

    async fn stopped(&mut self, _: &Reason, _: &Context<Self>) {
        let code = if self.ws.0.reactor.is_stopping() { 1001 } else { 1000 };
        self.ws.begin_close(code, "");
    }

    fn kind() -> &'static str {
        std::any::type_name::<H>()
    }
}

/// The connection ends with the service, whoever keeps a handle.
impl<H, M: 'static> Drop for Served<H, M> {
    fn drop(&mut self) {
        let (code, reason) = match &self.socket {
            Some(_) => (1011, "the server failed"),
            None if self.ws.0.reactor.is_stopping() => (1001, "the server stops"),
            None => (1013, "too many are here"), // it has never run
        };
        self.ws.begin_close(code, reason);
        self.ws.0.end();
    }
}
