//! What a WebSocket holds while nothing happens, and what an echo allocates: little, and nothing.
#![cfg(feature = "websocket")]
#![expect(clippy::print_stdout, reason = "what it holds and calls for is worth reading")]

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Server, config, deadline, pattern};
use skyring::http::Router;
use skyring::prelude::*;
use skyring::websocket::{self, Handler, Message, Options, Socket};

/// The most that an idle WebSocket may hold after an echo, its task included.
const IDLE_BYTES_MAX: i64 = 2048;
const IN_FLIGHT: usize = 16;
const ROUNDS: usize = 2_000;
/// What may be left of growth by and by.
const SPARE: u64 = 20;

/// What lives is counted for the whole process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Echo;

impl Handler for Echo {
    async fn message(&mut self, socket: &Socket, message: Message) -> Result<()> {
        Ok(socket.send(message)?)
    }
}

fn start() -> Server {
    let engine = Engine::new(config()).setup(|_| {
        heap::count_this_thread();
        Ok(())
    });
    Server::of(engine.http("127.0.0.1:0", |_| {
        Router::new()
            .get("/pull", async |request| {
                websocket::upgrade(request, &Options::new(), async |ws| {
                    while let Some(message) = ws.read().await? {
                        ws.send(message)?;
                    }
                    Ok(())
                })
            })
            .get("/handler", async |request| websocket::serve(request, &Options::new(), Echo))
    }))
}

fn open(server: &Server, path: &str) -> TcpStream {
    let mut stream = server.connect();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A binary message of up to 125 bytes, as a client sends it, and as it comes back.
fn message(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (len, key) = (payload.len() as u8, [1, 2, 3, 4]);
    let masked = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
    let sent = [0x82, 0x80 | len].into_iter().chain(key).chain(masked).collect();
    (sent, [&[0x82, len], payload].concat())
}

fn idle(path: &'static str) {
    // 10,000 where there is time and room for it: each costs two descriptors here.
    let count = std::env::var("IDLE_CONNECTIONS").map_or(1000, |n| n.parse().expect("a number"));
    deadline(move || {
        let _turn = alone();
        let server = start();
        let connections = |streams: &mut Vec<TcpStream>| {
            for n in 0..count {
                let mut stream = open(&server, path);
                let (sent, echoed) = message(&pattern(n, 64));
                stream.write_all(&sent).expect("written");
                let mut answer = [0; 66];
                stream.read_exact(&mut answer).expect("answered");
                assert_eq!(answer[..], echoed);
                streams.push(stream);
            }
        };
        let mut streams = Vec::with_capacity(2 * count);
        let before = heap::live();
        connections(&mut streams);
        let each = (heap::live() - before) / count as i64;
        println!("{each} bytes for each of {count} idle WebSockets of {path}");
        assert!(each < IDLE_BYTES_MAX, "{each} bytes for each of {count} idle WebSockets");
        streams.clear();
        server.settle();
        connections(&mut streams);
        let again = (heap::live() - before) / count as i64;
        assert!(again <= each + each / 10, "{again} bytes each the second time");
        streams.clear();
        server.stop();
        let left = heap::live() - before;
        assert!(left < 200_000, "{left} bytes are left after the stop");
    });
}

#[test]
fn an_idle_socket_that_is_read_holds_less_than_two_kilobytes() {
    idle("/pull");
}

#[test]
fn an_idle_socket_with_a_handler_holds_less_than_two_kilobytes() {
    idle("/handler");
}

fn echo(path: &'static str) {
    deadline(move || {
        let _turn = alone();
        let server = start();
        let mut stream = open(&server, path);
        let (sent, echoed) = message(&pattern(7, 64));
        let (sent, echoed) = (sent.repeat(IN_FLIGHT), echoed.repeat(IN_FLIGHT));
        let mut exchange = |rounds| {
            let mut answers = vec![0; echoed.len()];
            for _ in 0..rounds {
                stream.write_all(&sent).expect("written");
                stream.read_exact(&mut answers).expect("answered");
                assert!(answers == echoed);
            }
        };
        exchange(ROUNDS / 10);
        let before = heap::calls();
        assert!(before > 0, "the allocator counts");
        exchange(ROUNDS);
        let calls = heap::calls() - before;
        println!("{calls} calls for memory, {} messages of {path}", ROUNDS * IN_FLIGHT);
        assert!(calls <= SPARE, "{calls} calls for memory");
        server.stop();
    });
}

#[test]
fn an_echo_allocates_nothing() {
    echo("/pull");
}

#[test]
fn an_echo_by_a_handler_allocates_nothing() {
    echo("/handler");
}
