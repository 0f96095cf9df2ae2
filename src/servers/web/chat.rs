//! The chat's rooms in the browser: a text message a command, an object a text message. All that the
//! chat has to do with WebSockets is on this page; [`chat`](crate::servers::chat) has the rest.
//!
//! ```text
//!   browser ── "MSG hi" ──▶ message ──▶ talker ──▶ room
//!   browser ◀── outlet ◀── hub of this core ◀────────┘   the object's bytes are shared
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use crate::http::{Request, Response};
use crate::prelude::*;
use crate::servers::chat::Limits;
use crate::servers::chat::hub::{Claim, Outlet};
use crate::servers::chat::talker::{Over, Talker};
use crate::service::Down;
use crate::websocket::{self, Handler, Message, Options, Outgoing, Socket, WebSocket};

/// What a command has beside its text: a word, a blank, a name.
const COMMAND_BYTES_MAX: usize = 256;
/// Bytes of what a page counts as one character. A text of so many characters as it may have bytes
/// is told to be too long; only what is longer still ends its connection.
const CHARACTER_BYTES_MAX: usize = 3;
/// A message of a kind that is not served here (RFC 6455, 7.4.1).
const UNSUPPORTED: u16 = 1003;
/// The server has no more for this client (RFC 6455, 7.4.1).
const GOING_AWAY: u16 = 1001;

/// `GET /chat`: enters the chat.
pub(super) fn enter(request: Request, limits: Limits) -> Result<Response> {
    let message_bytes_max = limits.text_bytes_max * CHARACTER_BYTES_MAX + COMMAND_BYTES_MAX;
    let bounds = websocket::Limits { message_bytes_max, ..websocket::Limits::default() };
    let guest = Guest { limits, talker: None };
    websocket::serve(request, &Options::new().limits(bounds), guest)
}

/// Somebody in the chat.
struct Guest {
    limits: Limits,
    talker: Option<Talker>,
}

impl Handler for Guest {
    async fn connected(&mut self, socket: &Socket) -> Result<()> {
        let outlet = outlet(WebSocket::clone(socket));
        let claim = || claim(outlet.clone());
        match Talker::enter(self.limits, outlet.clone(), claim, socket.cx()).await {
            Ok(talker) => self.talker = Some(talker),
            Err(Over) => socket.begin_close(GOING_AWAY, ""), // and was told why
        }
        Ok(())
    }

    async fn message(&mut self, socket: &Socket, message: Message) -> Result<()> {
        let Message::Text(command) = message else {
            socket.begin_close(UNSUPPORTED, "Commands are text.");
            return Ok(());
        };
        if let Some(talker) = &mut self.talker
            && talker.hear(command.as_bytes(), socket.cx()).await == Err(Over)
        {
            socket.begin_close(GOING_AWAY, "");
        }
        Ok(())
    }

    async fn down(&mut self, socket: &Socket, down: Down) -> Result<()> {
        if let Some(talker) = &mut self.talker
            && talker.down(&down) == Err(Over)
        {
            socket.begin_close(GOING_AWAY, "");
        }
        Ok(())
    }
}

/// The way to a browser. One that is gone is none of the sender's business.
fn outlet(socket: WebSocket) -> Outlet {
    Rc::new(move |event: &Bytes| {
        let _ = socket.send(Outgoing::text(event.clone()));
    })
}

thread_local! {
    /// Outlets on their way to the hub of their core: an outlet cannot be sent, its number can.
    static OUTLETS: RefCell<HashMap<u64, Outlet>> = RefCell::default();
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

fn claim(outlet: Outlet) -> Claim {
    let number = NEXT.replace(NEXT.get() + 1);
    OUTLETS.with_borrow_mut(|outlets| outlets.insert(number, outlet));
    let claimed = Claimed(number);
    Box::new(move || claimed.take())
}

/// An outlet that is to be claimed. It goes with this, claimed or not.
struct Claimed(u64);

impl Claimed {
    fn take(&self) -> Option<Outlet> {
        OUTLETS.with_borrow_mut(|outlets| outlets.remove(&self.0))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let outlet = self.take();
        drop(outlet); // outside of the borrow
    }
}
