//! A steady echo allocates nothing for a frame.

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Server, config, deadline, echo, pattern, u16_frame};
use skyring::prelude::*;

const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 16;
const FRAMES: usize = 100_000;
/// What may be left of growth by and by, in calls for all frames: one in 5,000.
const CALLS_MAX: u64 = 20;

/// Sends 16 frames on each connection, then reads the answers, until so many have come.
fn exchange(streams: &mut [TcpStream], frames: usize) {
    let wire: Vec<u8> = (0..IN_FLIGHT).flat_map(|n| u16_frame(&pattern(n, 64))).collect();
    let mut answer = vec![0; wire.len()];
    for _ in 0..frames / streams.len() / IN_FLIGHT {
        streams.iter_mut().for_each(|stream| stream.write_all(&wire).expect("written"));
        for stream in streams.iter_mut() {
            stream.read_exact(&mut answer).expect("answered");
            assert!(answer == wire, "an answer differs");
        }
    }
}

#[test]
fn a_steady_echo_allocates_nothing() {
    deadline(|| {
        let engine = Engine::new(config())
            .setup(|_| {
                heap::count_this_thread();
                Ok(())
            })
            .gate("127.0.0.1:0", echo(LengthPrefix::U16));
        let server = Server::of(engine);
        let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        exchange(&mut streams, FRAMES / 10);
        let before = (server.metrics(), heap::calls());
        assert!(before.1 > 0, "the allocator counts");
        exchange(&mut streams, FRAMES);
        // The question itself is answered by the reactor; it costs a call or two of these.
        let calls = heap::calls() - before.1;
        let metrics = server.metrics();
        let frames = metrics.frames - before.0.frames;
        let turns = metrics.turns - before.0.turns;
        println!("{calls} calls for memory, {frames} frames, {turns} turns");
        assert!(frames >= (FRAMES - CONNECTIONS * IN_FLIGHT) as u64);
        assert!(calls <= CALLS_MAX, "{calls} calls for memory in {frames} frames");
        server.stop();
    });
}
