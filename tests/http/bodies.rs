//! Bodies in and out: lengths, chunks, trailers, expectations, back-pressure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use skyring::http::{Response, Router};
use skyring::prelude::*;
use skyring::sim::Simulation;

use crate::common::{Server, config, deadline};
use crate::support::{BODY_BYTES_MAX, Peer, router, start};

fn post(path: &str, field: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")
}

#[test]
fn a_body_comes_whole_at_every_cut() {
    deadline(|| {
        let server = start();
        let length = [post("/length", "Content-Length: 5").as_bytes(), b"hello"].concat();
        let chunks = b"3;x\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 7\r\n\r\n";
        let chunked = [post("/length", "Transfer-Encoding: chunked").as_bytes(), chunks].concat();
        for (wire, expected) in [(length, "5 "), (chunked, "5 7")] {
            let mut peer = Peer::of(&server);
            for cut in (0..wire.len()).step_by(3) {
                peer.send(&wire[..cut]);
                thread::sleep(Duration::from_micros(300));
                assert_eq!(peer.send(&wire[cut..]).answer().text(), expected, "cut at {cut}");
            }
        }
    });
}

#[test]
fn an_echo_gives_back_what_came_in_any_encoding() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        for len in [0, 1, 4096, 4097, 100_000, 1 << 20] {
            let body: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            peer.send(post("/echo", &format!("Content-Length: {len}"))).send(&body);
            assert_eq!(peer.answer().body, body);
            peer.send(post("/echo", "Transfer-Encoding: chunked"));
            for part in body.chunks(10_000) {
                peer.send(format!("{:x}\r\n", part.len())).send(part).send("\r\n");
            }
            assert_eq!(peer.send("0\r\n\r\n").answer().body, body);
        }
    });
}

#[test]
fn the_longest_body_passes_and_one_byte_more_is_refused() {
    deadline(|| {
        let server = start();
        let body = vec![b'x'; BODY_BYTES_MAX as usize + 1];
        let max = BODY_BYTES_MAX;
        let mut peer = Peer::of(&server);
        peer.send(post("/length", &format!("Content-Length: {max}"))).send(&body[1..]);
        assert_eq!(peer.answer().text(), format!("{max} "));
        peer.send(post("/length", &format!("Content-Length: {}", max + 1)));
        assert_eq!(peer.answer().status, 413);
        assert!(peer.is_closed());
        let mut peer = Peer::of(&server);
        peer.send(post("/length", "Transfer-Encoding: chunked"));
        peer.try_send(format!("{:x}\r\n", max + 1).as_bytes()).try_send(&body);
        assert_eq!(peer.answer().status, 413);
    });
}

#[test]
fn who_waits_for_a_word_gets_it_when_the_body_is_read() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        peer.send(post("/length", "Content-Length: 2\r\nExpect: 100-continue"));
        assert_eq!(peer.answer().status, 100);
        assert_eq!(peer.send("hi").answer().text(), "2 ");
        // Who does not wait needs no word.
        peer.send(post("/length", "Content-Length: 2\r\nExpect: 100-continue") + "hi");
        assert_eq!(peer.answer().text(), "2 ");
        // What nobody reads need not be sent.
        peer.send(post("/unread", "Content-Length: 2\r\nExpect: 100-continue"));
        let answer = peer.answer();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(peer.is_closed());
        let mut peer = Peer::of(&server);
        let field = format!("Content-Length: {}\r\nExpect: 100-continue", 1 << 30);
        assert_eq!(peer.send(post("/length", &field)).answer().status, 413);
    });
}

#[test]
fn a_body_may_be_read_in_a_task_of_its_own() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        peer.send(post("/elsewhere", "Content-Length: 2\r\nExpect: 100-continue"));
        assert_eq!(peer.answer().status, 100);
        assert_eq!(peer.send("h").send("i").answer().text(), "hi");
        assert_eq!(peer.get("/").status, 200);
    });
}

#[test]
fn a_body_that_nobody_reads_is_skipped_or_ends_the_connection() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        peer.send(post("/unread", "Content-Length: 60000")).send(vec![b'x'; 60_000]);
        assert_eq!(peer.answer().text(), "unread");
        assert_eq!(peer.get("/").status, 200);
        peer.send(post("/unread", "Transfer-Encoding: chunked") + "1\r\nx\r\n0\r\n\r\n");
        assert_eq!(peer.answer().text(), "unread");
        assert_eq!(peer.get("/").status, 200);
        peer.send(post("/unread", "Content-Length: 1000000"));
        assert_eq!(peer.answer().header("connection"), Some("close"));
    });
}

#[test]
fn a_body_is_streamed_with_trailers_or_a_length_or_cut() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        let answer = peer.get("/lines");
        assert_eq!(answer.text().lines().last(), Some("line 999"));
        assert_eq!(answer.header("x-lines"), Some("1000"));
        let answer = peer.get("/known");
        assert_eq!((answer.text(), answer.header("content-length")), ("12345", Some("5")));
        peer.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| peer.answer()));
        assert!(read.is_err(), "a part does not pass for the whole");
    });
}

#[test]
fn a_large_answer_waits_for_its_reader() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        peer.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(8));
        thread::sleep(Duration::from_millis(50));
        for _ in 0..8 {
            assert_eq!(peer.answer().body.len(), 8 << 20);
        }
        assert_eq!(server.metrics().kicked, 0);
    });
}

#[test]
fn who_writes_to_a_peer_that_is_gone_hears_of_it() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        peer.send("GET /ticks HTTP/1.1\r\nHost: a\r\n\r\n");
        peer.exactly(1);
        drop(peer);
        crate::common::eventually("the writer ends", || server.handle.connections() == 0);
    });
}

#[test]
fn a_body_that_is_cut_is_the_peers_fault() {
    deadline(|| {
        let server = start();
        for (field, cut) in
            [("Content-Length: 5", "hell"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")]
        {
            let mut peer = Peer::of(&server);
            let answer = peer.send(post("/echo", field) + cut).finish().answer();
            assert_eq!(answer.status, 400, "{field}");
            assert!(peer.is_closed());
        }
    });
}

#[test]
fn an_answer_that_is_longer_than_the_send_queue_leaves_in_parts() {
    deadline(|| {
        let config = config().frame_bytes_max(500).send_warn_bytes(0).send_queue_bytes_max(1024);
        let server = Server::of(Engine::new(config).http("127.0.0.1:0", |_| {
            router()
                .get("/whole/{len}", async |request| {
                    let len = request.param("len").and_then(|len| len.parse().ok()).unwrap_or(0);
                    Ok(Response::bytes("image/png", vec![b'x'; len]))
                })
                .get("/piece/{len}", async |request| {
                    let len = request.param("len").and_then(|len| len.parse().ok()).unwrap_or(0);
                    Ok(Response::stream("image/png", async move |out| {
                        out.write(vec![b'x'; len]).await
                    }))
                })
        }));
        let mut peer = Peer::of(&server);
        for len in [100, 255, 256, 257, 1024, 5000, 300_000] {
            for path in ["whole", "piece"] {
                let answer = peer.get(&format!("/{path}/{len}"));
                assert_eq!((answer.status, answer.body.len()), (200, len), "{path}");
            }
        }
    });
}

#[test]
fn a_writer_that_waits_no_longer_for_the_peer_is_not_late() {
    let mut sim = Simulation::new(3);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", |_| {
        Router::new().get("/", async |_| {
            Ok(Response::stream("text/event-stream", async |out| {
                out.write("first").await?;
                // Given up at its first wait; all is taken soon.
                drop(within(Duration::ZERO, out.flush()).await);
                sleep(Duration::from_secs(120)).await;
                out.write(" last").await
            }))
        })
    });
    sim.start(engine).expect("it starts");
    let text = sim.run(async {
        let client = skyring::http::Client::with(skyring::http::ClientLimits {
            body_time: Duration::from_secs(300),
            ..Default::default()
        });
        Ok::<_, Error>(client.get("http://127.0.0.1/").await?.text().await?)
    });
    assert_eq!(text.expect("nobody is stuck").expect("whole"), "first last");
}

#[test]
fn a_body_that_is_kept_behind_its_answer_is_over_at_once() {
    let heard = Arc::new(AtomicU32::new(0));
    let count = heard.clone();
    let mut sim = Simulation::new(5);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", move |_| {
        let count = count.clone();
        router().post("/kept", async move |mut request| {
            let count = count.clone();
            spawn(async move {
                let error = request.text().await.expect_err("the answer is quicker");
                assert!(error.to_string().contains("is answered"), "{error}");
                count.fetch_add(1, Ordering::Relaxed);
            });
            sleep(Duration::from_millis(1)).await; // it waits by now
            Ok(Response::new(202))
        })
    });
    sim.start(engine).expect("it starts");
    let ended: Result<()> = sim
        .run(async move {
            for (n, len) in [5, 1 << 20].into_iter().enumerate() {
                let stream = skyring::net::TcpStream::connect("127.0.0.1:80").await?;
                stream.write(post("/kept", &format!("Content-Length: {len}")))?;
                stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("no answer")?;
                sleep(Duration::from_millis(1)).await;
                assert_eq!(heard.load(Ordering::Relaxed), n as u32 + 1, "of {len} bytes");
                if len == 5 {
                    stream.write("hello")?;
                    stream.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
                    let head = stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("no answer")?;
                    assert!(head.starts_with(b"HTTP/1.1 200"), "the next request is found");
                }
            }
            Ok(())
        })
        .expect("nobody is stuck");
    ended.expect("answers");
}

#[test]
fn a_peer_that_waits_for_a_word_has_it_before_an_answer_that_reads_its_body() {
    deadline(|| {
        let server = Server::of(Engine::new(config()).http("127.0.0.1:0", |_| {
            router().post("/both", async |mut request| {
                Ok(Response::stream("text/plain", async move |out| {
                    while let Some(piece) = request.body().read().await? {
                        out.write(piece).await?;
                    }
                    Ok(())
                }))
            })
        }));
        let mut peer = Peer::of(&server);
        for _ in 0..2 {
            peer.send(post("/both", "Expect: 100-continue\r\nContent-Length: 5"));
            assert_eq!(peer.answer().status, 100);
            let answer = peer.send("hello").answer();
            assert_eq!((answer.status, answer.text()), (200, "hello"));
        }
    });
}
