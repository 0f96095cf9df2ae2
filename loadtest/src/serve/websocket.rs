//! skyring's WebSocket server as a child of the load tool: an echo, and a room where what one says
//! goes to all.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use skyring::http::{Response, Router};
use skyring::websocket::{self, Limits, Message, Options, Prepared, WebSocket};
use skyring::{Engine, Handle};
use slab::Slab;

use super::skyring::start;
use crate::error::Result;
use crate::framing::PAYLOAD_BYTES_MAX;
use crate::protocol::websocket::{BROADCAST, ECHO, ENCODINGS};

/// The running engine, for the handler that tells what it counts.
type Known = Arc<OnceLock<Handle>>;

/// Serves until a signal ends the process.
pub(super) fn run(listen: SocketAddr, set: &[String]) -> Result<ExitCode> {
    let known = Known::default();
    let (listen, told) = (listen.to_string(), known.clone());
    let make = |config| Engine::new(config).http(&*listen, move |_core| router(told.clone()));
    let handle = start(set, "websocket", make)?;
    known.get_or_init(|| handle);
    loop {
        std::thread::park();
    }
}

fn router(known: Known) -> Router {
    let limits = Limits { message_bytes_max: PAYLOAD_BYTES_MAX, ..Limits::default() };
    let (options, room) = (Options::new().limits(limits), Room::default());
    let echo = options.clone();
    Router::new()
        .get(ECHO, async move |request| {
            websocket::upgrade(request, &echo, async |ws| {
                while let Some(message) = ws.read().await? {
                    ws.send(message)?;
                }
                Ok(())
            })
        })
        .get(BROADCAST, async move |request| {
            let room = room.clone();
            websocket::upgrade(request, &options, async move |ws| room.serve(ws).await)
        })
        .get(ENCODINGS, async move |_request| {
            let known = known.clone();
            // A core must not wait for itself.
            let count = skyring::blocking(move || {
                known.get().map_or(0, |handle| handle.metrics().websocket_encodings)
            });
            Ok(Response::text(count.await?.to_string()))
        })
}

/// All sockets of a core.
#[derive(Clone, Default)]
struct Room(Rc<RefCell<Slab<WebSocket>>>);

/// A place in a room, until it is dropped.
struct Place(Room, usize);

impl Drop for Place {
    fn drop(&mut self) {
        let gone = self.0.0.borrow_mut().remove(self.1);
        drop(gone); // outside of the borrow
    }
}

impl Room {
    async fn serve(&self, ws: WebSocket) -> skyring::Result<()> {
        let _place = Place(self.clone(), self.0.borrow_mut().insert(ws.clone()));
        while let Some(message) = ws.read().await? {
            self.say(message);
        }
        Ok(())
    }

    fn say(&self, message: Message) {
        let message = Prepared::new(message);
        for (_, guest) in self.0.borrow().iter() {
            // One that is gone, or lags by its cap, is noticed by who reads it.
            let _ = guest.send(&message);
        }
    }
}
