//! skyring's WebSocket server as a child of the load tool: an echo, and a room where what one says
//! goes to all.

use std::net::SocketAddr;
use std::process::ExitCode;

use skyring::Engine;
use skyring::http::Router;
use skyring::websocket::{self, Limits, Options};

use super::skyring::serve;
use crate::error::Result;
use crate::framing::PAYLOAD_BYTES_MAX;
use crate::protocol::websocket::ECHO;

pub(super) fn run(listen: SocketAddr, set: &[String]) -> Result<ExitCode> {
    let listen = listen.to_string();
    serve(set, "websocket", |config| Engine::new(config).http(&*listen, |_core| router()))
}

fn router() -> Router {
    let limits = Limits { message_bytes_max: PAYLOAD_BYTES_MAX, ..Limits::default() };
    let options = Options::new().limits(limits);
    Router::new().get(ECHO, async move |request| {
        websocket::upgrade(request, &options, async |ws| {
            while let Some(message) = ws.read().await? {
                ws.send(message)?;
            }
            Ok(())
        })
    })
}
