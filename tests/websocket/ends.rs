//! How a WebSocket ends: in order, by silence, by half, by two tasks at once.

use std::time::Duration;

use skyring::http::{Request, Response, Router};
use skyring::net::TcpListener;
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::websocket::{self, Limits, Options, SocketError};
use skyring::wire::websocket::{OpCode, accept_key};

use crate::support::{Raw, router, run, serve_echo, simulate};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_silent_peer_is_pinged_and_given_up() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        let before = skyring::now();
        assert_eq!(raw.frame().await?, (OpCode::Ping, Vec::new()));
        assert_eq!(skyring::now().since(before).as_secs(), 30);
        assert!(raw.frame().await.is_err(), "reset");
        assert_eq!(skyring::now().since(before).as_secs(), 60);
        Ok(())
    });
    assert_eq!(sim.metrics().websocket_silent, 1);
    sim.stop().expect("a clean end");
}

#[test]
fn a_peer_that_answers_stays_and_whatever_comes_is_an_answer() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        for n in 0..100 {
            assert_eq!(raw.frame().await?, (OpCode::Ping, Vec::new()));
            let answer = if n % 2 == 0 { OpCode::Pong } else { OpCode::Text };
            raw.message(answer, b"");
            if answer == OpCode::Text {
                assert_eq!(raw.frame().await?, (OpCode::Text, Vec::new()));
            }
        }
        let ws = websocket::connect("ws://127.0.0.1/").await?;
        let waits = ws.read().within(HOUR).await;
        assert!(waits.is_err() && ws.is_open(), "both keep each other alive");
        ws.send("still here")?;
        assert!(ws.read().await?.is_some());
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn a_peer_that_waits_for_a_busy_server_is_not_given_up() {
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            websocket::upgrade(request, &Options::new(), async |ws| {
                sleep(HOUR).await;
                serve_echo(ws).await
            })
        })
    });
    run(&mut sim, async {
        let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
        let ws = websocket::connect("ws://127.0.0.1/").limits(limits).await?;
        ws.send("hello")?;
        assert!(ws.read().await?.is_some());
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn a_close_that_is_not_answered_ends_in_a_reset() {
    let mut sim = simulate(1, || {
        Router::new().get("/", async |request| {
            websocket::upgrade(request, &Options::new(), async |ws| {
                let closed = ws.close(4000, "go").await;
                assert!(matches!(closed, Err(SocketError::NotClosed)), "{closed:?}");
                Ok(())
            })
        })
    });
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        let before = skyring::now();
        assert_eq!(raw.close_code().await?, 4000);
        raw.message(OpCode::Text, b"dropped");
        assert!(raw.frame().await.is_err());
        assert_eq!(skyring::now().since(before).as_secs(), 5);
        Ok(())
    });
    assert_eq!(sim.metrics().websocket_silent, 1);
    sim.stop().expect("a clean end");
}

/// A server that answers the handshake of one client, and then does as `then` does.
fn stubborn(then: fn(skyring::net::TcpStream)) -> Simulation {
    let mut sim = Simulation::new(1);
    let engine = Engine::new(Config::new().cores(1)).setup(move |_| {
        let listener = TcpListener::bind("127.0.0.1:80")?;
        spawn(async move {
            let stream = listener.accept().await?;
            let head = stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("a request")?;
            let head = String::from_utf8_lossy(&head).into_owned();
            let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
            let accept = accept_key(key.ok_or("a key")?);
            stream.write(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            ))?;
            then(stream);
            Ok::<(), Error>(())
        });
        Ok(())
    });
    sim.start(engine).expect("it starts");
    sim
}

#[test]
fn a_client_ends_a_connection_that_its_server_leaves_open() {
    let mut sim = stubborn(|stream| {
        spawn(async move {
            let _ = stream.write(b"\x88\x02\x03\xe8");
            sleep(HOUR).await;
            drop(stream);
        });
    });
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1").await?;
        let before = skyring::now();
        assert!(ws.read().await?.is_none());
        assert_eq!(skyring::now().since(before).as_secs(), 5);
        assert_eq!(ws.closed_with().map(|close| close.code), Some(1000));
        Ok(())
    });
}

#[test]
fn nothing_counts_behind_a_servers_close() {
    let mut sim = stubborn(|stream| {
        spawn(async move {
            let _ = stream.write(b"\x88\x02\x03\xe8\xff\xffno frame\x81\x01x");
            sleep(Duration::from_secs(1)).await;
            let _ = stream.write(b"\xff\xffnor this");
        });
    });
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1").await?;
        assert!(ws.read().await?.is_none());
        assert_eq!(ws.closed_with().map(|close| close.code), Some(1000));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn a_client_refuses_masks_of_its_server_and_says_so() {
    let mut sim = stubborn(|stream| {
        spawn(async move {
            let _ = stream.write(b"\x81\x81\0\0\0\0x");
            let told = stream.read_to_end(100).await.expect("a Close, then the end");
            assert!(told[0] == 0x88 && told[1] & 0x80 != 0, "{told:?}");
        });
    });
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1").await?;
        let error = ws.read().await.expect_err("masked");
        assert!(error.to_string().contains("masked"), "{error}");
        assert!(ws.read().await.is_err() && !ws.is_open());
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn an_end_without_a_close_is_an_error_and_half_an_end_too() {
    let mut sim = stubborn(drop);
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1").await?;
        assert!(matches!(ws.read().await, Err(SocketError::Ended)));
        assert!(ws.send("more").is_err());
        Ok(())
    });
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let raw = Raw::open("/", "").await?;
        raw.message(OpCode::Text, b"last words");
        raw.stream.finish();
        assert_eq!(raw.frame().await?, (OpCode::Text, b"last words".to_vec()));
        assert!(raw.stream.read_to_end(1000).await.is_ok(), "the server ends, too");
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn one_task_reads_while_another_writes_and_a_second_reader_is_refused() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1/").await?;
        let reader = ws.clone();
        let reading = spawn(async move {
            let mut count = 0;
            while let Some(message) = reader.read().await? {
                assert_eq!(message.as_text(), Some(count.to_string().as_str()));
                count += 1;
            }
            Ok::<usize, SocketError>(count)
        });
        sleep(Duration::from_millis(1)).await;
        assert!(matches!(ws.read().await, Err(SocketError::Busy)));
        for n in 0..1000 {
            ws.send(n.to_string())?;
        }
        // An echo of all of them comes before the Close is answered.
        ws.close(1000, "").await?;
        assert_eq!(reading.await??, 1000);
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn a_read_that_is_dropped_loses_nothing() {
    let mut sim = simulate(1, router);
    run(&mut sim, async {
        let ws = websocket::connect("ws://127.0.0.1/").await?;
        let large = "x".repeat(300_000);
        for n in 0..20 {
            ws.send(format!("{n}"))?;
            ws.send(&large)?;
        }
        let mut read = 0;
        while read < 40 {
            let Ok(message) = ws.read().within(Duration::from_micros(100)).await else { continue };
            let message = message?.ok_or("it has closed")?;
            let expected = if read % 2 == 0 { format!("{}", read / 2) } else { large.clone() };
            assert!(message.as_text() == Some(&expected), "message {read}");
            read += 1;
        }
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn what_is_no_handshake_is_answered_as_it_should_be() {
    async fn chat(request: Request) -> Result<Response> {
        let options = Options::new().protocol("v1").protocol("v2").origin("https://a.example");
        websocket::upgrade(request, &options, serve_echo)
    }
    let mut sim = simulate(1, || Router::new().get("/", chat));
    run(&mut sim, async {
        const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        const ASKS: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        let ask = async |fields: String| -> Result<String> {
            let stream = skyring::net::TcpStream::connect("127.0.0.1:80").await?;
            stream.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))?;
            let head = stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("no answer")?;
            Ok(String::from_utf8_lossy(&head).into_owned())
        };
        let plain = ask(String::new()).await?;
        assert!(plain.starts_with("HTTP/1.1 426 ") && plain.contains("upgrade: websocket"));
        assert!(plain.contains("connection: upgrade"), "RFC 9110, 7.8: {plain}");
        let old = ask(format!("{ASKS}{KEY}Sec-WebSocket-Version: 8\r\n")).await?;
        assert!(old.starts_with("HTTP/1.1 426 ") && old.contains("sec-websocket-version: 13"));
        let version = "Sec-WebSocket-Version: 13\r\n";
        let keyless = ask(format!("{ASKS}{version}")).await?;
        assert!(keyless.starts_with("HTTP/1.1 400 "), "{keyless}");
        let foreign = ask(format!("{ASKS}{version}{KEY}Origin: https://b.example\r\n")).await?;
        assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
        let body = ask(format!("{ASKS}{version}{KEY}Content-Length: 5\r\n")).await?;
        assert!(body.starts_with("HTTP/1.1 400 "), "{body}");
        let chunked = ask(format!("{ASKS}{version}{KEY}Transfer-Encoding: chunked\r\n\r\n0\r\n"));
        let chunked = chunked.await?;
        assert!(chunked.starts_with("HTTP/1.1 400 "), "{chunked}");
        let good = ask(format!(
            "{ASKS}{version}{KEY}Origin: https://A.example\r\nSec-WebSocket-Protocol: v3, v2, v1\r\n"
        ));
        let good = good.await?;
        assert!(good.starts_with("HTTP/1.1 101 "), "{good}");
        assert!(good.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{good}");
        assert!(good.contains("sec-websocket-protocol: v2"), "{good}");
        let ws = websocket::connect("ws://127.0.0.1").protocol("v1").await?;
        assert_eq!(ws.protocol(), Some("v1"));
        Ok(())
    });
    sim.stop().expect("a clean end");
}
