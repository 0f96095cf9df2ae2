//! What connections hold: idle ones little, slow readers no more than their cap says.

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Server, config, deadline, echo, eventually, pattern, read_u16, u16_frame};
use skyring::prelude::*;

/// The most that an idle connection may hold after an echo, its agent included.
const IDLE_BYTES_MAX: i64 = 1024;

/// What lives is counted for the whole process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn an_idle_connection_holds_less_than_a_kilobyte() {
    // 10,000 where there is time and room for it: each costs two descriptors here.
    let count = std::env::var("IDLE_CONNECTIONS").map_or(1000, |n| n.parse().expect("a number"));
    deadline(move || {
        let _turn = alone();
        let server = Server::start(config(), echo(LengthPrefix::U16));
        let connections = |streams: &mut Vec<TcpStream>| {
            for n in 0..count {
                let mut stream = server.connect();
                stream.write_all(&u16_frame(&pattern(n, 64))).expect("written");
                let mut answer = [0; 66];
                stream.read_exact(&mut answer).expect("answered");
                assert_eq!(answer[2..], pattern(n, 64));
                streams.push(stream);
            }
        };
        let mut streams = Vec::with_capacity(2 * count);
        // The first have the tables grow, which the later ones use again.
        let before = heap::live();
        connections(&mut streams);
        let each = (heap::live() - before) / count as i64;
        println!("{each} bytes for each of {count} idle connections");
        assert_eq!(server.handle.connections() as usize, count);
        assert!(each < IDLE_BYTES_MAX, "{each} bytes for each of {count} idle connections");
        // What they held is given back with them, but for the tables.
        let held = heap::live();
        streams.clear();
        server.settle();
        assert!(heap::live() < held - each * count as i64 / 2);
        connections(&mut streams);
        let again = (heap::live() - before) / count as i64;
        assert!(again <= each + each / 10, "{again} bytes each the second time");
        streams.clear();
        server.stop();
        let left = heap::live() - before;
        assert!(left < 200_000, "{left} bytes are left after the stop");
    });
}

/// The most that an idle connection of HTTP may hold after a request, its task included.
#[cfg(feature = "http")]
const IDLE_HTTP_BYTES_MAX: i64 = 1536;

#[cfg(feature = "http")]
#[test]
fn an_idle_http_connection_holds_less_than_a_kilobyte_and_a_half() {
    use skyring::http::{Response, Router};
    const COUNT: usize = 1000;
    deadline(|| {
        let _turn = alone();
        let engine = Engine::new(config()).http("127.0.0.1:0", |_| {
            Router::new().get("/", async |_| Ok(Response::text("Hello, World!")))
        });
        let server = Server::of(engine);
        let connections = |streams: &mut Vec<TcpStream>| {
            for _ in 0..COUNT {
                let mut stream = server.connect();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
                assert!(stream.read(&mut [0; 1024]).expect("answered") > 100);
                streams.push(stream);
            }
        };
        let mut streams = Vec::with_capacity(2 * COUNT);
        connections(&mut streams);
        let before = heap::live();
        streams.clear();
        server.settle();
        let each = (before - heap::live()) / COUNT as i64;
        println!("{each} bytes for each of {COUNT} idle connections");
        assert!(each < IDLE_HTTP_BYTES_MAX, "{each} bytes for each of {COUNT} idle connections");
        server.stop();
    });
}

#[test]
fn small_answers_do_not_hold_the_large_frames_they_came_with() {
    const FRAME: usize = 60_000;
    const ANSWER: usize = 6000;
    const FRAMES: usize = 2500;
    /// Answers with the beginning of each frame, as a service that confirms does.
    struct Confirm;
    impl Agent for Confirm {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            client.send(frame.slice(..ANSWER))
        }
    }
    deadline(|| {
        let _turn = alone();
        let config = config().send_queue_bytes_max(64 << 20);
        let server = Server::start(config, Gate::framed(LengthPrefix::U16).agent(|_| Confirm));
        let mut stream = server.connect();
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 64 << 10).expect("set");
        let frame = u16_frame(&pattern(1, FRAME));
        let before = heap::live();
        for _ in 0..FRAMES {
            stream.write_all(&frame).expect("written");
        }
        eventually("all is received", || server.metrics().frames == FRAMES as u64);
        let waiting = (FRAMES * ANSWER) as i64 - server.metrics().bytes_sent as i64;
        let held = heap::live() - before;
        println!("{held} bytes held for {waiting} that wait");
        assert!(waiting > 5_000_000, "most answers wait for their reader");
        assert!(held < 3 * waiting, "{held} bytes held for {waiting} that wait");
        let pattern = pattern(1, FRAME);
        for n in 0..FRAMES {
            let answer = read_u16(&mut stream).expect("answered");
            assert!(answer == pattern[..ANSWER], "answer {n}");
        }
        drop(stream);
        server.settle();
        server.stop();
    });
}
