//! The live figures: each core tells what it has counted once a second, one service adds it up, and
//! every page that is open hears the sum.
//!
//! ```text
//!   core 0: board ── Told ──▶ sum ── broadcast, encoded once ──▶ board ──▶ pages of core 0
//!   core 1: board ── Told ──▶  │                           └──▶ board ──▶ pages of core 1
//!                              one in the engine
//! ```

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::prelude::*;
use crate::service::{Group, Shared};

/// How often.
const PERIOD: Duration = Duration::from_secs(1);
const SUM: &str = "web.counters";
const BOARD: &str = "web.board";

/// What one core has counted, or all of them.
#[derive(Clone, Copy, Default, Serialize)]
struct Figures {
    cores: u64,
    /// Since the engine has started.
    up_ms: u64,
    /// Of all cores together.
    busy_ms: u64,
    connections: u64,
    services: u64,
    requests: u64,
    messages: u64,
}

impl Figures {
    fn of_this_core() -> Figures {
        let metrics = crate::core_metrics();
        Figures {
            cores: 1,
            up_ms: metrics.up_ns / 1_000_000,
            busy_ms: metrics.busy_ns / 1_000_000,
            connections: (metrics.accepted + metrics.connected + metrics.clients_taken)
                .saturating_sub(metrics.closed + metrics.clients_sent),
            services: metrics.services,
            requests: metrics.http_requests,
            messages: metrics.websocket_messages,
        }
    }

    fn add(&mut self, other: &Figures) {
        self.cores += other.cores;
        self.up_ms = self.up_ms.max(other.up_ms);
        self.busy_ms += other.busy_ms;
        self.connections += other.connections;
        self.services += other.services;
        self.requests += other.requests;
        self.messages += other.messages;
    }
}

/// Adds up what the cores tell. One in the engine.
struct Sum {
    cores: Vec<Figures>,
    boards: Group<Bytes>,
}

enum ToSum {
    /// Where the sum is told.
    Boards(Reply<Group<Bytes>>),
    /// What a core has counted.
    Told(usize, Figures),
}

impl Service for Sum {
    type Message = ToSum;

    async fn handle(&mut self, message: ToSum, cx: &Context<Self>) -> Result<()> {
        match message {
            ToSum::Boards(reply) => reply.send(self.boards),
            ToSum::Told(core, figures) => {
                if self.cores.len() <= core {
                    self.cores.resize(core + 1, Figures::default());
                }
                self.cores[core] = figures;
                // The others have told theirs a moment before, or will in a moment.
                if core == cx.id().core() {
                    let mut sum = Figures::default();
                    self.cores.iter().for_each(|figures| sum.add(figures));
                    let _ = self.boards.broadcast(event(&sum)?); // the next come in a second
                }
            }
        }
        Ok(())
    }
}

/// One event of the stream (HTML, 9.2: server-sent events).
fn event(figures: &Figures) -> Result<Bytes> {
    let json = serde_json::to_string(figures).map_err(|error| Error::from(error.to_string()))?;
    Ok(format!("data: {json}\n\n").into())
}

/// What the pages of a core see.
struct Board {
    core: usize,
    sum: Address<ToSum>,
    latest: Option<Shared<Bytes>>,
    /// Pages that wait for the next figures.
    waiting: Vec<Reply<Bytes>>,
    stops: bool,
}

/// What a board is sent.
pub(super) enum ToBoard {
    /// The figures as they are now, if there are any; else the next.
    Now(Reply<Bytes>),
    /// The next figures.
    Next(Reply<Bytes>),
    Tick,
    Sum(Shared<Bytes>),
    /// The engine stops: pages wait in vain.
    Stop,
}

impl Service for Board {
    type Message = ToBoard;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        cx.join(self.sum.call(ToSum::Boards).await?, ToBoard::Sum);
        cx.link(self.sum); // without it there is nothing to tell: the next page makes both anew
        cx.every(PERIOD, || ToBoard::Tick);
        let board = cx.address();
        spawn(async move {
            stopping().await;
            let _ = board.send(ToBoard::Stop); // it may have ended
        });
        Ok(())
    }

    async fn handle(&mut self, message: ToBoard, _: &Context<Self>) -> Result<()> {
        match message {
            ToBoard::Now(reply) => match &self.latest {
                Some(latest) => reply.send((**latest).clone()),
                None => self.wait(reply),
            },
            ToBoard::Next(reply) => self.wait(reply),
            ToBoard::Stop => {
                self.stops = true;
                self.waiting.clear();
            }
            ToBoard::Tick => {
                // One that is full has heard of us a moment ago.
                let _ = self.sum.send(ToSum::Told(self.core, Figures::of_this_core()));
            }
            ToBoard::Sum(event) => {
                let waiting = self.waiting.drain(..);
                waiting.for_each(|reply| reply.send((*event).clone()));
                self.latest = Some(event);
            }
        }
        Ok(())
    }
}

impl Board {
    fn wait(&mut self, reply: Reply<Bytes>) {
        if !self.stops {
            self.waiting.push(reply);
        }
    }
}

/// Begins to tell what this core counts, page or no page: the sum is that of all cores.
pub(super) fn count(core: usize) {
    spawn(async move {
        if let Err(error) = board(core).await {
            tracing::error!(core, %error, "what this core counts is not told");
        }
    });
}

/// The board of this core.
///
/// # Errors
/// The engine stops, or has no room for a service.
pub(super) async fn board(core: usize) -> Result<Address<ToBoard>> {
    if let Some(board) = service::find_local(BOARD) {
        return Ok(board);
    }
    let make = || Sum { cores: Vec::new(), boards: Group::new() };
    let sum = service::unique(SUM, make).await?;
    // Another page may have made one meanwhile.
    if let Some(board) = service::find_local(BOARD) {
        return Ok(board);
    }
    let board = Board { core, sum, latest: None, waiting: Vec::new(), stops: false };
    let board = service::spawn(board)?;
    service::bind_local(BOARD, board)?;
    Ok(board)
}
