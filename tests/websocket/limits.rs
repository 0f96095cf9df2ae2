//! What a peer may send, at the last allowed and the first refused; floods; readers that are slow.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use skyring::http::{Request, Response, Router};
use skyring::prelude::*;
use skyring::websocket::{
    self, Close, Deflate, Handler, Limits, Message, Options, Socket, SocketError, WebSocket,
};
use skyring::wire::websocket::{Deflater, OpCode};

use crate::support::{Raw, run, serve_echo, simulate};

const MAX: usize = 1000;

async fn echo(request: Request) -> Result<Response> {
    let limits = Limits { message_bytes_max: MAX, ..Limits::default() };
    let options = Options::new().limits(limits).deflate(Deflate::forgetful());
    websocket::upgrade(request, &options, serve_echo)
}

fn router() -> Router {
    Router::new().get("/", echo)
}

#[test]
fn the_longest_message_passes_and_the_next_is_closed_with_1009() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.message(OpCode::Binary, &[7; MAX]);
        assert_eq!(raw.frame().await?, (OpCode::Binary, vec![7; MAX]));
        raw.send(false, false, OpCode::Binary, &[7; 600]);
        raw.send(true, false, OpCode::Continuation, &[7; 400]);
        assert_eq!(raw.frame().await?, (OpCode::Binary, vec![7; MAX]));
        raw.message(OpCode::Binary, &[7; MAX + 1]);
        assert_eq!(raw.close_code().await?, 1009);
        let raw = Raw::open("/", "").await?;
        raw.send(false, false, OpCode::Binary, &[7; 600]);
        raw.send(true, false, OpCode::Continuation, &[7; 401]);
        assert_eq!(raw.close_code().await?, 1009);
        Ok(())
    });
    assert_eq!(sim.metrics().websocket_failed, 2);
    sim.stop().expect("a clean end");
}

#[test]
fn a_compressed_message_is_bounded_by_what_it_becomes() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let small = |len| Deflater::new(9, 15, true).deflate(&vec![b'x'; len]);
        let raw = Raw::open("/", OFFER).await?;
        raw.send(true, true, OpCode::Text, &small(MAX));
        let (opcode, payload) = raw.frame().await?;
        assert!(opcode == OpCode::Text && payload.len() < 40);
        raw.send(true, true, OpCode::Text, &small(MAX + 1));
        assert_eq!(raw.close_code().await?, 1009);
        // A bomb: a thousandth of what it becomes.
        let raw = Raw::open("/", OFFER).await?;
        raw.send(true, true, OpCode::Text, &small(900 << 10)[..MAX.min(900)]);
        assert_eq!(raw.close_code().await?, 1009);
        let raw = Raw::open("/", OFFER).await?;
        raw.send(true, true, OpCode::Text, &[0xFF; 20]);
        assert_eq!(raw.close_code().await?, 1007);
        let raw = Raw::open("/", OFFER).await?;
        raw.send(true, true, OpCode::Text, &Deflater::new(6, 15, true).deflate(b"\xFF\xFE"));
        assert_eq!(raw.close_code().await?, 1007, "no UTF-8 once it is decompressed");
        let raw = Raw::open("/", "").await?;
        raw.send(true, true, OpCode::Text, &small(10));
        assert_eq!(raw.close_code().await?, 1002, "nobody agreed on it");
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn sixty_five_thousand_fragments_pass() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.send(false, false, OpCode::Text, b"a");
        for _ in 0..65_534 {
            raw.send(false, false, OpCode::Continuation, b"");
        }
        raw.send(true, false, OpCode::Continuation, b"b");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"ab".to_vec()));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn every_ping_of_a_flood_is_answered_while_its_sender_reads() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        for n in 0..20_000u32 {
            raw.message(OpCode::Ping, &n.to_be_bytes());
        }
        for n in 0..20_000u32 {
            assert_eq!(raw.frame().await?, (OpCode::Pong, n.to_be_bytes().to_vec()));
        }
        Ok(())
    });
    sim.stop().expect("a clean end");
}

thread_local! {
    /// The most that one task has read before the next one had its turn.
    static MOST: Cell<u32> = const { Cell::new(0) };
}

/// Reads all that has come in a second, beside a task that is always ready.
async fn count_between_turns(ws: WebSocket) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    let read = Rc::new(Cell::new(Some(0)));
    let look = read.clone();
    spawn(poll_fn(move |cx| {
        let Some(count) = look.get() else { return Poll::Ready(()) };
        MOST.set(MOST.get().max(count));
        look.set(Some(0));
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    while ws.read().await?.is_some() {
        read.set(read.get().map(|count| count + 1));
    }
    read.set(None);
    Ok(())
}

fn most_between_turns(count: usize, compressed: bool, message: &[u8]) -> u32 {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    MOST.set(0);
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            let options = Options::new().deflate(Deflate::forgetful());
            websocket::upgrade(request, &options, count_between_turns)
        })
    });
    let message = message.to_vec();
    run(&mut sim, async move {
        let raw = Raw::open("/", OFFER).await?;
        for _ in 0..count {
            raw.send(true, compressed, OpCode::Binary, &message);
        }
        raw.message(OpCode::Close, b"\x03\xe8");
        assert_eq!(raw.close_code().await?, 1000);
        Ok(())
    });
    sim.stop().expect("a clean end");
    MOST.get()
}

#[test]
fn a_flood_of_messages_leaves_others_their_turn() {
    assert_eq!(most_between_turns(1000, false, b"x"), 64, "SKYRING_TASK_BUDGET");
    // What is small on its way and large here counts as what it is here.
    let bomb = Deflater::new(9, 15, true).deflate(&vec![0; 512 << 10]);
    let most = most_between_turns(100, true, &bomb);
    assert!((1..=3).contains(&most), "{most}");
}

/// Sends until its client is kicked; notes what it is told.
struct Talker(Rc<RefCell<Vec<String>>>);

impl Handler for Talker {
    async fn message(&mut self, socket: &Socket, _: Message) -> Result<()> {
        for _ in 0..100 {
            socket.send(vec![7; 10_000])?;
        }
        Ok(())
    }

    async fn warning(&mut self, _: &Socket, backlog: Backlog) -> Result<()> {
        self.0.borrow_mut().push(format!("{backlog:?}"));
        Ok(())
    }

    async fn closed(&mut self, _: &Socket, close: Close) {
        self.0.borrow_mut().push(close.to_string());
    }

    async fn error(&mut self, _: &Socket, error: SocketError) {
        self.0.borrow_mut().push(format!("over: {error}"));
    }
}

#[test]
fn a_slow_reader_is_warned_of_and_then_kicked() {
    thread_local! {
        static SEEN: Rc<RefCell<Vec<String>>> = Rc::default();
    }
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            websocket::serve(request, &Options::new(), Talker(SEEN.with(Rc::clone)))
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        for _ in 0..20 {
            raw.message(OpCode::Text, b"go on");
            sleep(Duration::from_millis(100)).await;
        }
        let mut read = 0;
        while let Ok(Some(bytes)) = raw.stream.read().await {
            read += bytes.len();
        }
        assert!(read < 20_000_000, "not all of it was waiting");
        Ok(())
    });
    assert_eq!(sim.metrics().kicked, 1);
    sim.stop().expect("a clean end");
    let seen = SEEN.with(|seen| seen.borrow().clone());
    assert!(seen[0].starts_with("Warning"), "{seen:?}");
}
