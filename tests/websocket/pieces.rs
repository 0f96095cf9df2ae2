//! Messages that are sent piece by piece.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::time::Duration;

use skyring::http::Router;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::websocket::{self, Deflate, Limits, Options, SocketError, WebSocket};
use skyring::wire::websocket::OpCode;

use crate::support::{Raw, router, run, serve_echo, simulate};

type Serving = Pin<Box<dyn Future<Output = Result<()>>>>;

/// One whose sockets are served by `serve`.
fn served(serve: fn(WebSocket) -> Serving) -> Simulation {
    let mut sim = Simulation::new(1);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", move |_| {
        Router::new().get("/", async move |request| {
            let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
            websocket::upgrade(request, &Options::new().limits(limits), async move |ws| {
                serve(ws).await
            })
        })
    });
    sim.start(engine).expect("it starts");
    sim
}

#[test]
fn each_piece_is_a_fragment_and_control_frames_go_between() {
    let mut sim = served(|ws| {
        Box::pin(async move {
            let mut text = ws.begin_text()?;
            text.write("caf\u{e9}".as_bytes().split_at(4).0).await?; // amid a character
            ws.ping(b"between")?;
            text.write("").await?;
            text.write("caf\u{e9}".as_bytes().split_at(4).1).await?;
            text.finish()?;
            ws.begin_binary()?.finish()?;
            serve_echo(ws).await
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        let mut frames = Vec::new();
        for _ in 0..5 {
            let (head, payload) = raw.fragment().await?;
            frames.push((head.fin, head.opcode, payload));
        }
        let expected = [
            (false, OpCode::Text, b"caf\xC3".to_vec()),
            (true, OpCode::Ping, b"between".to_vec()),
            (false, OpCode::Continuation, b"\xA9".to_vec()),
            (true, OpCode::Continuation, Vec::new()),
            (true, OpCode::Binary, Vec::new()),
        ];
        assert_eq!(frames, expected);
        raw.message(OpCode::Text, b"as ever");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"as ever".to_vec()));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn other_messages_are_refused_until_it_is_finished() {
    let mut sim = served(|ws| {
        Box::pin(async move {
            let mut text = ws.begin_text()?;
            text.write("a").await?;
            assert_eq!(ws.send("other"), Err(skyring::SendError::Busy));
            assert_eq!(ws.begin_binary().err(), Some(skyring::SendError::Busy));
            assert!(ws.send(&websocket::Prepared::new("for all")).is_err());
            text.finish()?;
            drop(ws.begin_text()?); // nothing of it was sent
            Ok(ws.send("other")?)
        })
    });
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1/").await?;
        for text in ["a", "other"] {
            assert_eq!(ws.read().await?.ok_or("a message")?.as_text(), Some(text));
        }
        assert!(ws.read().await?.is_none());
        assert_eq!(ws.closed_with().map(|close| close.code), Some(1000));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn a_message_that_is_dropped_unfinished_fails_the_socket_in_words() {
    let mut sim = served(|ws| {
        Box::pin(async move {
            let mut text = ws.begin_text()?;
            text.write("a part").await?;
            drop(text);
            assert_eq!(ws.send("more"), Err(skyring::SendError::Closed));
            assert!(ws.begin_text().is_err());
            Ok(())
        })
    });
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1/").await?;
        assert!(ws.read().await?.is_none(), "no part of it");
        let close = ws.closed_with().ok_or("a Close")?;
        assert_eq!((close.code, &*close.reason), (1011, "a message was given up"));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn a_close_ends_what_is_written() {
    let mut sim = served(|ws| {
        Box::pin(async move {
            let mut text = ws.begin_text()?;
            text.write("a part").await?;
            ws.begin_close(4000, "enough");
            assert_eq!(text.write("more").await, Err(skyring::SendError::Closed));
            assert_eq!(text.finish(), Err(skyring::SendError::Closed));
            Ok(())
        })
    });
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1/").await?;
        assert!(ws.read().await?.is_none());
        assert_eq!(ws.closed_with().map(|close| close.code), Some(4000));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

const PIECE: usize = 50_000;
const PIECES: usize = 400;

thread_local! {
    static QUEUED_MOST: Cell<usize> = const { Cell::new(0) };
    static ENDED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Writes 20 MB.
fn write_long() -> Simulation {
    QUEUED_MOST.set(0);
    ENDED.take();
    served(|ws| {
        Box::pin(async move {
            let mut bytes = ws.begin_binary()?;
            for n in 0..PIECES {
                if let Err(error) = bytes.write(vec![n as u8; PIECE]).await {
                    drop(bytes);
                    let read = ws.read().await;
                    assert!(matches!(read, Err(SocketError::Lagging)), "{read:?}");
                    ENDED.replace(Some(format!("{error} after {n}")));
                    return Err(error.into());
                }
                QUEUED_MOST.set(QUEUED_MOST.get().max(ws.stream().queued()));
            }
            Ok(bytes.finish()?)
        })
    })
}

#[test]
fn a_writer_waits_for_a_slow_reader_and_little_is_queued() {
    let mut sim = write_long();
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        for n in 0..PIECES {
            if n % 100 == 0 {
                sleep(Duration::from_secs(25)).await; // below the time of a write
            }
            let (head, payload) = raw.fragment().await?;
            assert!(!head.fin && payload == vec![n as u8; PIECE]);
        }
        assert!(raw.fragment().await?.0.fin);
        Ok(())
    });
    assert!(QUEUED_MOST.get() <= 256 * 1024, "{}", QUEUED_MOST.get());
    assert_eq!((sim.metrics().kicked, sim.metrics().websocket_silent), (0, 0));
    sim.stop().expect("a clean end");
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut sim = write_long();
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        sleep(Duration::from_secs(40)).await;
        assert!(ENDED.with_borrow(Option::is_some), "30 s");
        while let Ok(Some(_)) = raw.stream.read().await {}
        Ok(())
    });
    assert_eq!(sim.metrics().websocket_silent, 1);
    sim.stop().expect("a clean end");
}

/// Has texts and bytes answered in pieces; and sends some so, which are echoed.
async fn converse(deflate: Option<Deflate>) -> Result<()> {
    for path in ["pieces", "ws"] {
        let mut connect = websocket::connect(format!("ws://127.0.0.1/{path}"));
        if let Some(deflate) = deflate {
            connect = connect.deflate(deflate);
        }
        let ws = connect.await?;
        for count in [0, 1, 3, 2000, 1, 0, 8_000] {
            let text = "word after word ".repeat(count);
            let mut writer = ws.begin_text()?;
            for piece in text.as_bytes().chunks(7777) {
                writer.write(piece).await?;
            }
            writer.finish()?;
            ws.send(text.as_bytes())?;
            assert!(ws.read().await?.ok_or("a text")?.as_text() == Some(&*text));
            assert!(ws.read().await?.ok_or("bytes")?[..] == *text.as_bytes());
        }
        ws.close(1000, "done").await?;
    }
    Ok(())
}

#[test]
fn both_sides_write_in_pieces_compressed_or_not_in_any_weather() {
    for seed in 0..12 {
        let faults = if seed < 3 { Faults::default() } else { Faults::bad_weather() };
        let mut sim = Simulation::new(seed).weather(faults);
        sim.start(Engine::new(Config::new().cores(1)).http("127.0.0.1:80", |_| router()))
            .expect("it starts");
        let deflate = [None, Some(Deflate::default()), Some(Deflate::forgetful())];
        run(&mut sim, converse(deflate[seed as usize % 3]));
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_message_in_pieces_is_compressed_as_one() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let raw = Raw::open("/pieces", offer).await?;
        let text = "word ".repeat(3);
        raw.message(OpCode::Text, text.as_bytes());
        let mut rsv = Vec::new();
        loop {
            let (head, _) = raw.fragment().await?;
            rsv.push(head.rsv1);
            if head.fin {
                break;
            }
        }
        assert_eq!(rsv, [true, false, false, false], "RFC 7692, 6.1");
        Ok(())
    });
    sim.stop().expect("a clean end");
}
