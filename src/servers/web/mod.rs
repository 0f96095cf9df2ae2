//! A page, an API, an echo and a chat on one port: HTTP and WebSocket, with TLS or without.
//!
//! | path | what |
//! |---|---|
//! | `/` | the page: it shows all of the others |
//! | `POST /api/data` | the tutorial's API: `{"numbers":[1,2,3]}` |
//! | `/ws` | WebSocket: whatever is sent comes back |
//! | `/chat` | WebSocket: the rooms of [`chat`](super::chat), in the browser |
//! | `/live` | what the cores count, an event a second |
//! | `/files/` | the files of a folder, if there is one |

mod chat;
mod counters;
mod data;
mod page;

use std::path::PathBuf;

use super::chat::Limits;
use crate::http::{Refusal, Request, Response, Router};
use crate::prelude::*;
use crate::{Core, tls, websocket};

/// How the server is set up.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// A folder whose files are served below `/files/`.
    pub root: Option<PathBuf>,
    /// Of the chat.
    pub chat: Limits,
    /// Tells the log of each request.
    pub log_access: bool,
}

/// The routes of one core. Made in a set-up hook, as [`Engine::http`] does.
pub fn router(core: &Core, options: &Options) -> Router {
    counters::count(core.index);
    let (core, limits) = (core.index, options.chat);
    let router = Router::new()
        .get("/", page::page)
        .get("/page.css", page::style)
        .get("/page.js", page::script)
        .post("/api/data", data::data)
        .get("/ws", echo)
        .get("/chat", async move |request| chat::enter(request, limits))
        .get("/live", async move |_| live(core).await)
        .gzip(1024);
    let router = match options.log_access {
        true => router.log_access(),
        false => router,
    };
    match &options.root {
        Some(root) => router.files("/files", root),
        None => router,
    }
}

/// The server on `listen`, not yet started; with TLS if there is one.
pub fn engine(config: Config, listen: &str, tls: Option<&tls::Server>, options: Options) -> Engine {
    let engine = Engine::new(config);
    match tls {
        Some(tls) => engine.https(listen, tls, move |core| router(core, &options)),
        None => engine.http(listen, move |core| router(core, &options)),
    }
}

/// Sends back what comes.
async fn echo(request: Request) -> Result<Response> {
    websocket::upgrade(request, &websocket::Options::new(), async |socket| {
        while let Some(message) = socket.read().await? {
            socket.send(message)?;
        }
        Ok(())
    })
}

/// What the cores count, as server-sent events, until the peer has enough.
async fn live(core: usize) -> Result<Response> {
    use counters::ToBoard;
    let board = counters::board(core).await?;
    let busy = |_| Refusal::new(503, "There are no figures now.");
    let first = board.call(ToBoard::Now).await.map_err(busy)?;
    let events = Response::stream("text/event-stream", async move |out| {
        out.write(first).await?;
        loop {
            // Without an answer the server stops, or lost the board: the page comes again.
            let Ok(next) = board.call(ToBoard::Next).await else { return Ok(()) };
            out.write(next).await?;
        }
    });
    // What stands between must neither keep them nor hold them back (nginx).
    Ok(events.header("cache-control", "no-store")?.header("x-accel-buffering", "no")?)
}
