//! Bad weather: a pool of a few blocks, a ring of a few entries, agents that hold what they get.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use common::{
    Server, config, connect, converse, deadline, echo, echoes_all, pattern, read_u16, u16_frame,
};
use skyring::config::Share;
use skyring::prelude::*;

/// Clients at once, each with many frames in flight, every byte compared.
fn crowd(server: &Server, clients: usize, frames: usize) {
    let mut streams: Vec<TcpStream> = (0..clients).map(|_| connect(server.address)).collect();
    let wires: Vec<Vec<u8>> = (0..clients)
        .map(|client| {
            (0..frames)
                .flat_map(|n| {
                    u16_frame(&pattern(client * 1000 + n, (client * 37 + n * 101) % 1500))
                })
                .collect()
        })
        .collect();
    let mut writers: Vec<TcpStream> =
        streams.iter().map(|stream| stream.try_clone().expect("cloned")).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            // In slices, so that all are busy at the same time.
            for at in (0..).step_by(3000).take_while(|at| wires.iter().any(|w| w.len() > *at)) {
                for (writer, wire) in writers.iter_mut().zip(&wires) {
                    let end = wire.len().min(at + 3000);
                    writer.write_all(&wire[at.min(end)..end]).expect("written");
                }
            }
            for writer in &writers {
                writer.shutdown(Shutdown::Write).expect("ended");
            }
        });
        for (client, (stream, wire)) in streams.iter_mut().zip(&wires).enumerate() {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an orderly end");
            assert!(answer == *wire, "client {client}: {} of {}", answer.len(), wire.len());
        }
    });
    drop(streams);
    server.settle();
}

#[test]
fn eight_blocks_serve_a_hundred_clients() {
    deadline(|| {
        for block_bytes in [1024, 4096] {
            let config = config().pool_blocks(8).pool_block_bytes(block_bytes);
            let server = Server::start(config, echo(LengthPrefix::U16));
            crowd(&server, 100, 50);
            let metrics = server.metrics();
            // Some wait for a block, be it that none is home or that the ration holds them back.
            assert!(metrics.starved + metrics.rationed > 0, "{metrics:?}");
            assert_eq!(metrics.frames, 5000);
            server.stop();
        }
    });
}

#[test]
fn the_smallest_ring_and_pool_serve_two_hundred_clients() {
    deadline(|| {
        let config = config().ring_entries(8).pool_blocks(2).pool_block_bytes(1024);
        let server = Server::start(config, echo(LengthPrefix::U16));
        crowd(&server, 200, 20);
        assert_eq!(server.metrics().frames, 4000);
        server.stop();
    });
}

/// Keeps all it gets, and says how many that are.
struct Hoarder(Vec<Frame>);

impl Agent for Hoarder {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        if frame.is_empty() {
            for kept in self.0.drain(..) {
                client.send(kept)?;
            }
            return Ok(());
        }
        self.0.push(frame);
        client.send(&[0])
    }
}

#[test]
fn agents_that_hold_their_frames_starve_nobody() {
    deadline(|| {
        // Percent of the pool that frames may hold: the default, and nearly all of it.
        for lent in [50, 70, 90, 100] {
            let config = config()
                .pool_blocks(8)
                .pool_block_bytes(1024)
                .pool_lent_max(Share::Percent(lent))
                .mailbox_max(64);
            let gate = Gate::framed(LengthPrefix::U16).agent(|_| Hoarder(Vec::new()));
            let server = Server::start(config, gate);
            let mut hoarders: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
            for n in 0..10 {
                for (client, stream) in hoarders.iter_mut().enumerate() {
                    stream.write_all(&u16_frame(&pattern(client + n, 900))).expect("written");
                    let answer = read_u16(stream);
                    assert_eq!(answer.expect("answered"), [0], "{lent} %, client {client}, {n}");
                }
            }
            assert!(server.metrics().quota_copies > 0, "{:?}", server.metrics());
            crowd_of_hoarders_gives_back(&mut hoarders);
            drop(hoarders);
            server.settle();
            server.stop();
        }
    });
}

fn crowd_of_hoarders_gives_back(hoarders: &mut [TcpStream]) {
    for (client, stream) in hoarders.iter_mut().enumerate() {
        stream.write_all(&u16_frame(b"")).expect("written");
        for n in 0..10 {
            assert_eq!(read_u16(stream).expect("kept"), pattern(client + n, 900));
        }
    }
}

#[test]
fn blocks_that_left_the_core_come_home_to_a_sleeping_one() {
    /// Sends what it gets to another thread, which keeps it for a while.
    struct Exporter(std::sync::mpsc::Sender<Box<dyn AsRef<[u8]> + Send>>);
    impl Agent for Exporter {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            client.send(&[frame[0]])?;
            let bytes = frame.into_bytes();
            self.0.send(Box::new(bytes)).map_err(|_| "the other thread has gone")?;
            Ok(())
        }
    }
    deadline(|| {
        let (sender, exported) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let gate = Gate::framed(LengthPrefix::U16)
            .agent(move |_| Exporter(sender.lock().expect("no panic under it").clone()));
        let config =
            config().pool_blocks(4).pool_block_bytes(4096).pool_lent_max(Share::Percent(100));
        let server = Server::start(config, gate);
        let keeper = thread::spawn(move || {
            let mut kept: Vec<Box<dyn AsRef<[u8]> + Send>> = Vec::new();
            // All of the pool at times; then they drop here while the core may sleep.
            while let Ok(bytes) = exported.recv() {
                kept.push(bytes);
                if kept.len() >= 12 {
                    thread::sleep(Duration::from_millis(2));
                    kept.clear();
                }
            }
        });
        thread::scope(|scope| {
            for client in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let mut stream = server.connect();
                    for n in 0..200 {
                        let payload = pattern(client * 200 + n, 3000);
                        stream.write_all(&u16_frame(&payload)).expect("written");
                        let answer = read_u16(&mut stream).expect("answered");
                        assert_eq!(answer, payload[..1]);
                    }
                });
            }
        });
        server.settle();
        server.stop();
        keeper.join().expect("ended");
    });
}

#[test]
fn a_busy_client_does_not_starve_a_quiet_one() {
    deadline(|| {
        let config = config().pool_blocks(8).pool_block_bytes(1024);
        let server = Server::start(config, echo(LengthPrefix::U16));
        let payloads = vec![pattern(1, 60_000); 200];
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| echoes_all(server.address, &payloads));
            }
            let mut quiet = server.connect();
            for n in 0..100 {
                quiet.write_all(&u16_frame(&pattern(n, 10))).expect("written");
                assert_eq!(read_u16(&mut quiet).expect("answered"), pattern(n, 10));
            }
        });
        server.settle();
        server.stop();
    });
}

#[test]
fn a_burst_beyond_the_cap_of_a_client_that_reads_is_answered() {
    deadline(|| {
        let config =
            config().frame_bytes_max(60_000).send_queue_bytes_max(200_000).send_warn_bytes(0);
        let server = Server::start(config, echo(LengthPrefix::U16));
        let mut stream = server.connect();
        // The kernel takes most of a burst, and the cap the rest, however late this thread reads.
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 1 << 20).expect("set");
        let burst: Vec<u8> = (0..250).flat_map(|n| u16_frame(&pattern(n, 1000))).collect();
        for _ in 0..200 {
            stream.write_all(&burst).expect("written");
            let mut answer = vec![0; burst.len()];
            stream.read_exact(&mut answer).expect("answered");
            assert!(answer == burst);
        }
        assert_eq!(server.metrics().kicked, 0);
        drop(stream);
        server.settle();
        server.stop();
    });
}

#[test]
fn held_frames_outlive_their_client() {
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).agent(|_| Hoarder(Vec::new()));
        let server = Server::start(config().pool_blocks(4).pool_block_bytes(1024), gate);
        for _ in 0..20 {
            let answer = converse(server.address, &u16_frame(&pattern(1, 800)).repeat(5));
            assert_eq!(answer.expect("an orderly end"), [0, 1, 0].repeat(5));
        }
        server.settle();
        server.stop();
    });
}
