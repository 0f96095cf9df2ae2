//! Messages that are begun, and hardly go on.

use std::cell::Cell;
use std::time::Duration;

use skyring::http::Router;
use skyring::limit::Now;
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::websocket::{self, Handler, Limits, Message, Options, Socket, SocketError};
use skyring::wire::websocket::{FrameHead, OpCode, ProtocolError};

use crate::support::{Raw, run, serve_echo, simulate};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// 10 s for a message, and a second for each 100 bytes of it.
fn limits() -> Limits {
    Limits {
        message_time: Duration::from_secs(10),
        rate_bytes_min: 100,
        ping_interval: Duration::ZERO,
        ..Limits::default()
    }
}

thread_local! {
    static TOO_SLOW: Cell<u32> = const { Cell::new(0) };
    /// When the reader was told of the last one.
    static TOLD: Cell<Now> = const { Cell::new(Now::START) };
}

fn router() -> Router {
    TOO_SLOW.set(0);
    Router::new().get("/", async |request| {
        websocket::upgrade(request, &Options::new().limits(limits()), async |ws| {
            let ended = serve_echo(ws).await;
            let slow = |error: &Error| error.to_string() == ProtocolError::TooSlow.sentence();
            TOO_SLOW.set(TOO_SLOW.get() + u32::from(ended.as_ref().is_err_and(slow)));
            TOLD.set(skyring::now());
            ended
        })
    })
}

/// How many seconds after `before` the server closes with 1008.
async fn refused_after(raw: &Raw, before: Now) -> Result<u64> {
    assert_eq!(raw.close_code().await?, 1008);
    Ok(TOLD.get().since(before).as_secs())
}

fn ends(sim: Simulation, slow: u64) {
    assert_eq!((sim.metrics().websocket_slow, sim.metrics().websocket_failed), (slow, 0));
    sim.stop().expect("a clean end");
}

#[test]
fn a_message_that_ends_in_time_passes_and_a_second_later_it_is_refused() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        for _ in 0..3 {
            let raw = Raw::open("/", "").await?;
            for _ in 0..3 {
                raw.send(false, false, OpCode::Text, b"a");
                sleep(Duration::from_millis(9_990)).await;
                raw.send(true, false, OpCode::Continuation, b"b");
                assert_eq!(raw.frame().await?, (OpCode::Text, b"ab".to_vec()), "each has its own");
            }
            let before = skyring::now();
            raw.send(false, false, OpCode::Text, b"a");
            assert_eq!(refused_after(&raw, before).await?, 10);
        }
        Ok(())
    });
    assert_eq!(TOO_SLOW.get(), 3, "and the reader is told");
    ends(sim, 3);
}

#[test]
fn bytes_buy_time_by_the_rate() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.send(false, false, OpCode::Binary, &[7; 100]);
        for _ in 0..300 {
            sleep(SECOND).await;
            raw.send(false, false, OpCode::Continuation, &[7; 100]);
        }
        raw.send(true, false, OpCode::Continuation, &[7; 100]);
        assert_eq!(raw.frame().await?, (OpCode::Binary, vec![7; 30_200]));
        // Half of it: in 18 s 900 bytes are to come, which buy no more than 8 s.
        let before = skyring::now();
        raw.send(false, false, OpCode::Binary, b"");
        for _ in 0..30 {
            sleep(SECOND).await;
            raw.send(false, false, OpCode::Continuation, &[7; 50]);
        }
        let seconds = refused_after(&raw, before).await?;
        assert!((18..=19).contains(&seconds), "{seconds}");
        Ok(())
    });
    ends(sim, 1);
}

#[test]
fn nothing_that_is_sent_between_buys_time() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        // Empty fragments, and pings.
        let raw = Raw::open("/", "").await?;
        let before = skyring::now();
        raw.send(false, false, OpCode::Text, b"");
        for _ in 0..15 {
            sleep(SECOND).await;
            raw.send(false, false, OpCode::Continuation, b"");
            raw.message(OpCode::Ping, &[7; 125]);
        }
        assert_eq!(refused_after(&raw, before).await?, 10);
        // A frame whose payload comes byte by byte; one whose head does.
        let head = FrameHead {
            fin: true,
            rsv1: false,
            opcode: OpCode::Text,
            mask: Some([0; 4]),
            len: 70_000,
        };
        let mut bytes = [0; FrameHead::BYTES_MAX];
        let encoded = head.encode(&mut bytes);
        for at_once in [encoded, 1] {
            let raw = Raw::open("/", "").await?;
            let before = skyring::now();
            raw.stream.write(&bytes[..at_once])?;
            for at in 0..15 {
                sleep(SECOND).await;
                let _ = raw.stream.write(&[*bytes[..encoded].get(at_once + at).unwrap_or(&b'x')]);
            }
            assert_eq!(refused_after(&raw, before).await?, 10);
        }
        Ok(())
    });
    ends(sim, 3);
}

#[test]
fn a_ping_that_does_not_end_is_refused_too() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        let before = skyring::now();
        raw.stream.write(b"\x89\x84\0\0\0\0abc")?;
        assert_eq!(refused_after(&raw, before).await?, 10);
        Ok(())
    });
    ends(sim, 1);
}

#[test]
fn a_peer_that_is_idle_between_messages_is_not_slow() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        for _ in 0..3 {
            raw.message(OpCode::Text, b"hello");
            assert_eq!(raw.frame().await?, (OpCode::Text, b"hello".to_vec()));
            sleep(HOUR).await;
        }
        Ok(())
    });
    ends(sim, 0);
}

#[test]
fn a_peer_is_not_slow_while_the_server_is_busy() {
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            websocket::upgrade(request, &Options::new().limits(limits()), async |ws| {
                let begun = ws.read().within(SECOND).await;
                assert!(begun.is_err(), "half of it");
                sleep(HOUR).await;
                serve_echo(ws).await
            })
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.send(false, false, OpCode::Text, b"a");
        sleep(Duration::from_secs(20)).await;
        raw.send(false, false, OpCode::Continuation, b"b");
        sleep(HOUR - Duration::from_secs(15)).await;
        raw.send(true, false, OpCode::Continuation, b"c");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"abc".to_vec()));
        Ok(())
    });
    ends(sim, 0);
}

#[test]
fn a_peer_is_not_slow_whose_bytes_are_there_and_nobody_polls_the_read() {
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            websocket::upgrade(request, &Options::new().limits(limits()), async |ws| {
                let mut read = Box::pin(ws.read());
                assert!((&mut read).within(SECOND).await.is_err(), "half of it");
                sleep(HOUR).await;
                ws.send(read.await?.ok_or("a message")?)?;
                Ok(())
            })
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.send(false, false, OpCode::Text, b"a");
        sleep(Duration::from_secs(5)).await;
        raw.send(true, false, OpCode::Continuation, b"b");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"ab".to_vec()));
        Ok(())
    });
    ends(sim, 0);
}

/// Takes an hour for each message, and for the first command.
struct Slow;

impl Handler for Slow {
    async fn message(&mut self, socket: &Socket, message: Message) -> Result<()> {
        sleep(HOUR).await;
        Ok(socket.send(message)?)
    }

    async fn error(&mut self, _: &Socket, error: SocketError) {
        assert!(matches!(error, SocketError::Protocol(ProtocolError::TooSlow)), "{error}");
        TOO_SLOW.set(TOO_SLOW.get() + 1);
        TOLD.set(skyring::now());
    }
}

#[test]
fn a_handler_may_be_busy_and_is_told_of_a_slow_peer() {
    let mut sim = simulate(1, || {
        TOO_SLOW.set(0);
        Router::new().get("/", async |request| {
            websocket::serve(request, &Options::new().limits(limits()), Slow)
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.message(OpCode::Text, b"first");
        raw.send(false, false, OpCode::Text, b"sec");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"first".to_vec()));
        raw.send(true, false, OpCode::Continuation, b"ond");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"second".to_vec()));
        let before = skyring::now();
        raw.send(false, false, OpCode::Text, b"never");
        assert_eq!(refused_after(&raw, before).await?, 10);
        Ok(())
    });
    assert_eq!(TOO_SLOW.get(), 1);
    ends(sim, 1);
}

#[test]
fn without_a_rate_a_message_may_take_for_ever_and_pings_go_on() {
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            let limits = Limits { rate_bytes_min: 0, ..Limits::default() };
            websocket::upgrade(request, &Options::new().limits(limits), serve_echo)
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.send(false, false, OpCode::Text, b"a");
        for _ in 0..100 {
            assert_eq!(raw.frame().await?, (OpCode::Ping, Vec::new()));
            raw.message(OpCode::Pong, b"");
        }
        raw.send(true, false, OpCode::Continuation, b"b");
        assert_eq!(raw.frame().await?, (OpCode::Text, b"ab".to_vec()));
        Ok(())
    });
    ends(sim, 0);
}
