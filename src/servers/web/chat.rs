//! The chat's rooms in the browser: a text message a command, an object a text message. All that the
//! chat has to do with WebSockets is on this page; [`chat`](crate::servers::chat) has the rest.
//!
//! ```text
//!   browser ── "MSG hi" ──▶ socket.read ── Heard ──▶ guest, a service ── talker ──▶ room
//!   browser ◀─────────────── socket.send ◀── outlet ◀── hub of this core ◀───────────┘
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::http::{Request, Response};
use crate::prelude::*;
use crate::servers::chat::Limits;
use crate::servers::chat::hub::{Claim, Outlet};
use crate::servers::chat::talker::{Over, Talker};
use crate::service::Down;
use crate::websocket::{self, WebSocket};

/// Commands beside a text: a word, a blank, a name.
const COMMAND_BYTES_MAX: usize = 256;

/// `GET /chat`: enters the chat by WebSocket.
pub(super) async fn enter(request: Request, limits: Limits) -> Result<Response> {
    let mut bounds = websocket::Limits::default();
    bounds.message_bytes_max = limits.text_bytes_max + COMMAND_BYTES_MAX;
    let options = websocket::Options::new().limits(bounds);
    websocket::upgrade(request, &options, async move |socket| serve(socket, limits).await)
}

/// Brings commands to the guest, one after the other, until either has enough.
async fn serve(socket: WebSocket, limits: Limits) -> Result<()> {
    let guest = service::spawn(Guest { limits, socket: socket.clone(), talker: None })?;
    let heard = hear(&socket, guest).await;
    service::stop(guest);
    heard
}

async fn hear(socket: &WebSocket, guest: Address<Heard>) -> Result<()> {
    while let Some(message) = socket.read().await? {
        let Some(text) = message.as_text() else {
            let _ = socket.close(UNSUPPORTED, "Commands are text.").await; // it may be gone
            return Ok(());
        };
        let text = text.into();
        // The next command waits in the kernel until this one has its answer.
        if guest.call(|done| Heard(text, done)).timeout(PATIENCE).await.is_err() {
            return Ok(()); // it has ended, and told why
        }
    }
    Ok(())
}

/// How long a command may take; the talker gives up its own calls well before.
const PATIENCE: Duration = Duration::from_secs(60);
/// RFC 6455, 7.4.1: data of a type that cannot be accepted.
const UNSUPPORTED: u16 = 1003;

/// Somebody in the chat.
struct Guest {
    limits: Limits,
    socket: WebSocket,
    talker: Option<Talker>,
}

/// A command of his browser.
struct Heard(Box<str>, Reply<()>);

impl Service for Guest {
    type Message = Heard;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        let outlet = outlet(self.socket.clone());
        match Talker::enter(self.limits, outlet.clone(), || claim(outlet.clone()), cx).await {
            Ok(talker) => self.talker = Some(talker),
            Err(Over) => self.leave(cx),
        }
        Ok(())
    }

    async fn handle(&mut self, Heard(command, done): Heard, cx: &Context<Self>) -> Result<()> {
        if let Some(talker) = &mut self.talker
            && talker.hear(command.as_bytes(), cx).await == Err(Over)
        {
            self.leave(cx);
        }
        done.send(());
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        if let Some(talker) = &mut self.talker
            && talker.down(&down) == Err(Over)
        {
            self.leave(cx);
        }
        Ok(())
    }
}

impl Guest {
    /// He was told why.
    fn leave(&self, cx: &Context<Self>) {
        let socket = self.socket.clone();
        spawn(async move {
            let _ = socket.close(1001, "The chat has ended for you.").await; // it may be gone
        });
        cx.stop();
    }
}

/// The way to a browser: an object a text message. One that is gone is none of the sender's business.
fn outlet(socket: WebSocket) -> Outlet {
    Rc::new(move |event: &Bytes| {
        let text = std::str::from_utf8(event).expect("events are JSON");
        let _ = socket.send(text);
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
