//! Storms of clients that keep their connections: random cuts, pauses, aborts, slow and half bodies, on
//! the simulated kernel by seed, and on real sockets. Every answer is the one to its own request, and
//! nothing is left behind.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use skyring::net::{ReadError, TcpStream};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::common::{self, Server, config, deadline, eventually};
use crate::support::{Peer, limits, router};

/// A request with a mark of its own, and the text that answers it.
fn marked(kind: u64, mark: &str) -> (String, String) {
    match kind % 4 {
        0 => {
            (format!("GET /rooms/{mark}/users/x HTTP/1.1\r\nHost: a\r\n\r\n"), format!("{mark} x"))
        }
        1 => {
            let head = "POST /echo HTTP/1.1\r\nHost: a\r\n";
            (format!("{head}Content-Length: {}\r\n\r\n{mark}", mark.len()), mark.to_owned())
        }
        2 => {
            let (first, second) = mark.split_at(mark.len() / 2);
            let chunks =
                format!("{:x}\r\n{first}\r\n{:x};x\r\n{second}\r\n", first.len(), second.len());
            let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            (format!("{head}{chunks}0\r\n\r\n"), mark.to_owned())
        }
        _ => {
            let head = "POST /unread HTTP/1.1\r\nHost: a\r\n";
            (format!("{head}Content-Length: {}\r\n\r\n{mark}", mark.len()), "unread".to_owned())
        }
    }
}

fn chance(of: u64) -> bool {
    skyring::random().is_multiple_of(of)
}

async fn pause(millis_max: u64) {
    sleep(Duration::from_millis(skyring::random() % (millis_max + 1))).await;
}

/// The body of the next answer; `None` when the connection is gone.
async fn answer(stream: &TcpStream) -> Option<String> {
    let head = stream.read_until(b"\r\n\r\n", 8192).await.ok()??;
    let head = String::from_utf8_lossy(&head).into_owned();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let body = stream.read_exact(len.parse().ok()?).await.ok()?;
    let text = String::from_utf8_lossy(&body).into_owned();
    // Who was too slow, or not understood, is told so; that is no other's answer.
    (&head[9..12] == "200").then_some(text)
}

/// One client with one connection: how many of its requests were answered.
async fn client(number: u64, seed: u64) -> Result<u32, Box<dyn std::error::Error>> {
    let Ok(stream) = TcpStream::connect("127.0.0.1:80").await else { return Ok(0) };
    let mut answered = 0;
    for round in 0..skyring::random() % 12 {
        let mut wire = String::new();
        let mut expected = Vec::new();
        for place in 0..=skyring::random() % 6 {
            let mark = format!("{seed}-{number}-{round}-{place}");
            let (request, text) = marked(skyring::random(), &mark);
            wire += &request;
            expected.push(text);
        }
        let is_cut = chance(10);
        let end = if is_cut { skyring::random() as usize % wire.len() } else { wire.len() };
        let step = 1 + skyring::random() as usize % 200;
        for part in wire.as_bytes()[..end].chunks(step) {
            if stream.write(part).is_err() {
                return Ok(answered);
            }
            if chance(6) {
                pause(5).await;
            }
        }
        match skyring::random() % 12 {
            0 => {
                stream.shutdown(); // a reset, with answers on their way
                return Ok(answered);
            }
            1 => return Ok(answered), // gone without a word
            2 => stream.finish(),
            3 if is_cut => pause(200).await, // half a request, which nobody finishes in time
            _ => {}
        }
        for text in expected {
            match answer(&stream).within(Duration::from_secs(1)).await {
                Ok(Some(found)) => {
                    assert_eq!(found, text, "another's answer, seed {seed}");
                    answered += 1;
                }
                Ok(None) | Err(_) => return Ok(answered),
            }
        }
        match stream.readable().within(Duration::ZERO).await {
            Ok(Ok(true)) => panic!("an answer that nobody has asked for, seed {seed}"),
            Ok(Ok(false) | Err(ReadError::Failed(_))) => return Ok(answered),
            _ => pause(20).await,
        }
    }
    Ok(answered)
}

fn storm(seed: u64, faults: Faults) -> u32 {
    let mut sim = Simulation::new(seed).weather(faults);
    let make = |_: &skyring::Core| {
        router().limits(skyring::http::Limits {
            head_time: Duration::from_millis(50),
            body_time: Duration::from_millis(50),
            idle_time: Duration::from_millis(80),
            ..limits()
        })
    };
    sim.start(Engine::new(Config::new().cores(2)).http("127.0.0.1:80", make)).expect("it starts");
    let answered: u32 = sim
        .run(async move {
            let tasks: Vec<_> = (0..40).map(|number| spawn(client(number, seed))).collect();
            let mut answered = 0;
            for task in tasks {
                answered += task.await.expect("no panic").unwrap_or(0);
            }
            answered
        })
        .unwrap_or_else(|stuck| panic!("{stuck}"));
    assert_eq!(sim.metrics().panics, 0, "seed {seed}");
    sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    answered
}

#[test]
fn a_storm_leaves_nothing_behind_in_bad_weather() {
    let answered: u32 = (0..24).map(|seed| storm(seed, Faults::bad_weather())).sum();
    assert!(answered > 3_000, "{answered} were answered");
}

#[test]
fn a_storm_leaves_nothing_behind_when_connections_break() {
    let answered: u32 = (100..124).map(|seed| storm(seed, Faults::storm())).sum();
    assert!(answered > 600, "{answered} were answered");
}

/// A number by chance, the same for the same seed (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn real_client(server: &Server, seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for round in 0..30 {
        let mut peer = Peer::of(server);
        for place in 0..=next(&mut state) % 8 {
            let mark = format!("{seed}-{round}-{place}");
            let (wire, text) = marked(next(&mut state), &mark);
            let cut = next(&mut state) as usize % wire.len();
            let _ = peer.stream.write_all(&wire.as_bytes()[..cut]);
            match next(&mut state) % 16 {
                0 => return common::reset(peer.stream),
                1 => break,
                2 => {
                    let _ = peer.stream.shutdown(Shutdown::Write);
                    break;
                }
                3 => std::thread::sleep(Duration::from_millis(2)),
                _ => {}
            }
            peer.try_send(&wire.as_bytes()[cut..]);
            assert_eq!(peer.answer().text(), text);
        }
    }
}

#[test]
fn a_storm_on_real_sockets_leaves_nothing_behind() {
    deadline(|| {
        let server = Server::of(Engine::new(config()).http("127.0.0.1:0", |_| router()));
        std::thread::scope(|scope| {
            for seed in 1..=16 {
                let server = &server;
                scope.spawn(move || real_client(server, seed));
            }
        });
        assert_eq!(Peer::of(&server).get("/").status, 200);
        eventually("every connection is closed", || server.handle.connections() == 0);
        assert_eq!(server.metrics().panics, 0);
        server.stop();
    });
}
