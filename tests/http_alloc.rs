//! A steady HTTP server allocates nothing for a request: only the buffer of each send.
#![cfg(feature = "http")]

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Server, config, deadline};
use skyring::http::{Response, Router};
use skyring::prelude::*;

const IN_FLIGHT: usize = 16;
const ROUNDS: usize = 2_000;
/// What may be left of growth by and by.
const SPARE: u64 = 20;

fn exchange(stream: &mut TcpStream, rounds: usize, answer_len: usize) {
    let request = "GET /hello/Ada?x=1 HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n";
    let wire = request.repeat(IN_FLIGHT);
    let mut answers = vec![0; answer_len * IN_FLIGHT];
    for _ in 0..rounds {
        stream.write_all(wire.as_bytes()).expect("written");
        stream.read_exact(&mut answers).expect("answered");
    }
}

#[test]
fn a_request_allocates_nothing() {
    deadline(|| {
        let engine = Engine::new(config())
            .setup(|_| {
                heap::count_this_thread();
                Ok(())
            })
            .http("127.0.0.1:0", |_| {
                Router::new().get("/hello/{name}", async |request| {
                    let is_ada = request.param("name").as_deref() == Some("Ada");
                    Ok(Response::text(if is_ada { "Hello, Ada!" } else { "Hello, stranger!" }))
                })
            });
        let server = Server::of(engine);
        let mut stream = server.connect();
        let one = b"GET /hello/Ada HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(one).expect("written");
        let mut first = [0; 1024];
        let answer_len = stream.read(&mut first).expect("answered");
        exchange(&mut stream, ROUNDS / 10, answer_len);
        let before = (server.metrics(), heap::calls());
        assert!(before.1 > 0, "the allocator counts");
        exchange(&mut stream, ROUNDS, answer_len);
        let calls = heap::calls() - before.1;
        let metrics = server.metrics();
        let (turns, requests) =
            (metrics.turns - before.0.turns, metrics.http_requests - before.0.http_requests);
        println!("{calls} calls for memory, {requests} requests, {turns} turns");
        assert_eq!(requests, (ROUNDS * IN_FLIGHT) as u64);
        // A round may be received in two pieces, and be answered by two sends.
        assert!(calls <= turns + SPARE, "{calls} calls for memory in {turns} turns");
        server.stop();
    });
}
