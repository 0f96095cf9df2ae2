//! Bad weather: peers that never read, vanish, reset, flood, or hang up at every moment.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    Server, config, converse, deadline, echo, echoes_all, eventually, is_ended, pattern, read_end,
    read_u16, reset, u16_frame,
};
use skyring::prelude::*;

/// What agents have heard of backlog, and the most that was queued.
#[derive(Default)]
struct Seen {
    warnings: AtomicUsize,
    drained: AtomicUsize,
    queued_max: AtomicUsize,
}

/// Echoes, and notes how its client reads.
struct Watching(Arc<Seen>);

impl Agent for Watching {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        let sent = client.send(frame);
        self.0.queued_max.fetch_max(client.queued(), Ordering::Relaxed);
        sent
    }

    async fn backlog(&mut self, _: &Client, backlog: Backlog) -> Result<()> {
        match backlog {
            Backlog::Warning { .. } => self.0.warnings.fetch_add(1, Ordering::Relaxed),
            Backlog::Drained => self.0.drained.fetch_add(1, Ordering::Relaxed),
            other => panic!("an unknown backlog: {other:?}"),
        };
        Ok(())
    }
}

fn watching(config: Config) -> (Server, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let eyes = seen.clone();
    let gate = Gate::framed(LengthPrefix::U16).agent(move |_| Watching(eyes.clone()));
    (Server::start(config, gate), seen)
}

/// Writes frames until the server hangs up, and reads nothing.
fn never_read(mut stream: TcpStream) {
    let frame = u16_frame(&pattern(1, 10_000));
    for _ in 0..10_000 {
        if let Err(error) = stream.write_all(&frame) {
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
            return;
        }
    }
    panic!("100 MB were taken from a client that reads nothing");
}

#[test]
fn a_peer_that_never_reads_is_kicked_at_the_cap() {
    const CAP: usize = 200_000;
    deadline(|| {
        let config =
            config().frame_bytes_max(60_000).send_queue_bytes_max(CAP).send_warn_bytes(50_000);
        let (server, seen) = watching(config);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| never_read(server.connect()));
            }
            // Meanwhile the innocent are answered, byte for byte.
            let mut innocent = server.connect();
            for n in 0..500 {
                let payload = pattern(n, n * 13 % 2000);
                innocent.write_all(&u16_frame(&payload)).expect("written");
                assert_eq!(read_u16(&mut innocent).expect("answered"), payload);
            }
        });
        server.settle();
        let metrics = server.metrics();
        assert_eq!(metrics.kicked, 3, "{metrics:?}");
        assert!(metrics.bytes_unsent > 0);
        assert!(seen.queued_max.load(Ordering::Relaxed) <= CAP);
        server.stop();
    });
}

#[test]
fn a_peer_that_reads_late_is_warned_of_and_drained() {
    deadline(|| {
        let (server, seen) = watching(config().send_warn_bytes(100_000));
        let mut stream = server.connect();
        let mut sent = 0;
        while seen.warnings.load(Ordering::Relaxed) == 0 {
            assert!(sent < 2000, "20 MB were taken without a warning");
            stream.write_all(&u16_frame(&pattern(sent, 10_000))).expect("written");
            sent += 1;
            // The server answers in its own time.
            eventually("the frame is received", || server.metrics().frames >= sent as u64);
        }
        for n in 0..sent {
            assert!(read_u16(&mut stream).expect("answered") == pattern(n, 10_000), "answer {n}");
        }
        eventually("the end of the backlog is told", || seen.drained.load(Ordering::Relaxed) == 1);
        assert_eq!(server.metrics().kicked, 0);
        drop(stream);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_colleague_who_floods_a_sleeper_gets_it_kicked_and_lives() {
    /// The first client is the room; all others send to it.
    struct Sender(Option<Client>);
    impl Agent for Sender {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            let Some(room) = &self.0 else { return Ok(()) };
            let told = room.send(frame.clone()).is_ok();
            client.send(&[u8::from(told)])
        }
    }
    thread_local! {
        static ROOM: std::cell::RefCell<Option<Client>> = const { std::cell::RefCell::new(None) };
    }
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).agent(|client: &Client| {
            Sender(ROOM.with_borrow_mut(|room| match room {
                Some(first) => Some(first.clone()),
                None => {
                    *room = Some(client.clone());
                    None
                }
            }))
        });
        let config =
            config().frame_bytes_max(60_000).send_queue_bytes_max(100_000).send_warn_bytes(50_000);
        let server = Server::start(config, gate);
        let sleeper = server.connect();
        eventually("the room is there", || server.handle.connections() == 1);
        let mut sender = server.connect();
        let mut refused = 0;
        for n in 0..2000 {
            sender.write_all(&u16_frame(&pattern(n, 10_000))).expect("written");
            refused += usize::from(read_u16(&mut sender).expect("answered") == [0]);
            if refused > 10 {
                break;
            }
        }
        assert!(refused > 10, "20 MB for a client that reads nothing");
        assert_eq!(server.metrics().kicked, 1);
        drop((sleeper, sender));
        server.settle();
        server.stop();
    });
}

#[test]
fn the_end_of_a_client_at_every_stage_is_clean() {
    deadline(|| {
        let (server, _) = watching(config());
        let frame = u16_frame(&pattern(1, 3000));
        // Bytes sent before the end: none, in the head, after it, in the payload, whole, and on.
        let stages = [0, 1, 2, 3, 1500, frame.len() - 1, frame.len(), frame.len() + 1, 5000];
        let mut innocent = server.connect();
        let wire = [&frame[..], &frame].concat();
        let mut accepted = 1;
        for sent in stages {
            for end in 0..4 {
                let mut stream = server.connect();
                stream.write_all(&wire[..sent]).expect("written");
                accepted += 1;
                match end {
                    0 => drop(stream),
                    1 => reset(stream),
                    2 => {
                        // The reset comes while the answer lies unread.
                        eventually("all is received", || server.metrics().accepted == accepted);
                        thread::sleep(Duration::from_millis(1));
                        reset(stream);
                    }
                    _ => {
                        stream.shutdown(Shutdown::Write).expect("ended");
                        let answer = read_end(&mut stream).expect("an orderly end");
                        assert!(answer == wire[..sent / frame.len() * frame.len()]);
                    }
                }
                innocent.write_all(&u16_frame(b"still")).expect("written");
                assert_eq!(read_u16(&mut innocent).expect("answered"), b"still");
            }
        }
        drop(innocent);
        server.settle();
        let metrics = server.metrics();
        assert_eq!((metrics.accepted, metrics.panics, metrics.malformed), (accepted, 0, 0));
        server.stop();
    });
}

#[test]
fn a_client_that_goes_while_its_agent_waits_is_cleaned_up() {
    struct Thinking;
    impl Agent for Thinking {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            sleep(Duration::from_millis(20)).await;
            client.send(frame)
        }
    }
    deadline(|| {
        let config = config().mailbox_max(2).receive_bytes_max(64 * 1024);
        let server = Server::start(config, Gate::framed(LengthPrefix::U16).agent(|_| Thinking));
        let wire: Vec<u8> = (0..5).flat_map(|n| u16_frame(&pattern(n, 30))).collect();
        for abortive in [false, true] {
            for _ in 0..10 {
                let mut stream = server.connect();
                stream.write_all(&wire).expect("written");
                if abortive {
                    reset(stream);
                }
            }
        }
        // Half a close: all five are answered after it.
        assert_eq!(converse(server.address, &wire).expect("an orderly end"), wire);
        server.settle();
        assert_eq!(server.metrics().panics, 0);
        server.stop();
    });
}

#[test]
fn what_was_sent_before_a_half_close_is_all_answered() {
    deadline(|| {
        let config = config().mailbox_max(4).task_budget(1).pool_blocks(4).pool_block_bytes(1024);
        let server = Server::start(config, echo(LengthPrefix::U16));
        let payloads: Vec<_> = (0..2000).map(|n| pattern(n, n % 777)).collect();
        for _ in 0..3 {
            echoes_all(server.address, &payloads);
        }
        server.settle();
        assert_eq!(server.metrics().frames, 6000);
        server.stop();
    });
}

#[test]
fn a_flood_beyond_the_limit_is_refused_and_places_come_back() {
    deadline(|| {
        let server = Server::start(config().connections_max(5), echo(LengthPrefix::U16));
        let mut served: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
        eventually("all places are taken", || server.handle.connections() == 5);
        for round in 1..=50 {
            let mut refused = server.connect();
            let _ = refused.write_all(&u16_frame(b"me too"));
            assert!(is_ended(&mut refused));
            eventually("the refusal is counted", || server.metrics().refused == round);
        }
        for (n, stream) in served.iter_mut().enumerate() {
            stream.write_all(&u16_frame(&pattern(n, 500))).expect("written");
            assert_eq!(read_u16(stream).expect("answered"), pattern(n, 500));
        }
        served.truncate(4);
        eventually("a place is free", || server.handle.connections() == 4);
        server.is_well();
        drop(served);
        server.settle();
        let metrics = server.metrics();
        assert_eq!((metrics.accepted, metrics.refused), (6, 50));
        server.stop();
    });
}

#[test]
fn an_address_has_its_own_limit() {
    deadline(|| {
        let config = config().connections_max(100).connections_per_ip_max(2);
        let server = Server::start(config, echo(LengthPrefix::U16));
        let mut first = server.connect();
        let second = server.connect();
        eventually("both are in", || server.handle.connections() == 2);
        assert!(is_ended(&mut server.connect()));
        assert_eq!((server.metrics().refused, server.metrics().refused_per_ip), (0, 1));
        drop(second);
        eventually("a place is free", || server.handle.connections() == 1);
        server.is_well();
        first.write_all(&u16_frame(b"first")).expect("written");
        assert_eq!(read_u16(&mut first).expect("answered"), b"first");
        drop(first);
        server.settle();
        server.stop();
    });
}

#[test]
fn connections_that_come_and_go_at_once_leave_nothing() {
    deadline(|| {
        let server = Server::start(config(), echo(LengthPrefix::U16));
        thread::scope(|scope| {
            for thread in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    for n in 0..250 {
                        let mut stream = server.connect();
                        match (n + thread) % 4 {
                            0 => drop(stream),
                            1 => reset(stream),
                            2 => {
                                stream.write_all(&u16_frame(&pattern(n, 100))).expect("written");
                                reset(stream);
                            }
                            _ => {
                                stream.write_all(&u16_frame(&pattern(n, 100))).expect("written");
                                let answer = read_u16(&mut stream).expect("answered");
                                assert_eq!(answer, pattern(n, 100));
                            }
                        }
                    }
                });
            }
        });
        server.settle();
        server.is_well();
        server.stop();
    });
}

#[test]
fn a_peer_that_sends_for_ever_after_a_close_is_cut_off() {
    struct Once;
    impl Agent for Once {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            client.send(frame)?;
            client.close();
            Ok(())
        }
    }
    deadline(|| {
        let server = Server::start(config(), Gate::framed(LengthPrefix::U16).agent(|_| Once));
        let mut stream = server.connect();
        let frame = u16_frame(&pattern(1, 1000));
        // It reads nothing and never ends by itself; the linger does.
        while stream.write_all(&frame).is_ok() {}
        server.settle();
        let metrics = server.metrics();
        let sent = metrics.bytes_received / frame.len() as u64;
        assert!(metrics.frames < sent / 2, "what came after the close was dropped: {metrics:?}");
        server.stop();
    });
}

#[test]
fn a_small_window_gets_every_byte() {
    deadline(|| {
        let server = Server::start(config(), echo(LengthPrefix::U16));
        let stream = server.connect();
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 32 << 10).expect("set");
        let mut writer = stream.try_clone().expect("cloned");
        let mut stream = stream;
        let wire: Vec<u8> = (0..100).flat_map(|n| u16_frame(&pattern(n, 20_000))).collect();
        let sent = wire.clone();
        let sender = thread::spawn(move || {
            writer.write_all(&sent).expect("written");
            writer.shutdown(Shutdown::Write).expect("ended");
        });
        let mut answer = Vec::new();
        let mut piece = [0; 777];
        loop {
            match stream.read(&mut piece).expect("answered") {
                0 => break,
                len => answer.extend_from_slice(&piece[..len]),
            }
        }
        sender.join().expect("sent");
        assert!(answer == wire, "{} of {} bytes", answer.len(), wire.len());
        server.stop();
    });
}
