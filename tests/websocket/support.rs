//! A server that echoes, and what drives it.

use skyring::http::{Request, Response, Router};
use skyring::prelude::*;
use skyring::websocket::{self, Deflate, Limits, Options, WebSocket};

/// As large as the largest message of the Autobahn suite.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

pub(crate) async fn serve_echo(ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.read().await? {
        ws.send(message)?;
    }
    Ok(())
}

/// Everything is compressed, the shortest messages too.
pub(crate) fn deflate() -> Deflate {
    Deflate { bytes_min: 0, ..Deflate::default() }
}

pub(crate) fn options() -> Options {
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    Options::new().limits(limits).deflate(deflate())
}

async fn echo(request: Request) -> Result<Response> {
    websocket::upgrade(request, &options(), serve_echo)
}

pub(crate) fn router() -> Router {
    Router::new().get("/", echo).get("/ws", echo)
}
