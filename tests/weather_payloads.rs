//! Bad weather: payloads whose owner panics when it is dropped, and wakers that panic.

mod common;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Server, config, connect, deadline, echoes_all, eventually, is_ended, pattern, read_u16,
    u16_frame,
};
use skyring::net::TcpListener;
use skyring::prelude::*;

/// A payload that panics when it is dropped.
struct Bomb(Vec<u8>);

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb goes off");
    }
}

fn bomb(len: usize) -> Bytes {
    Bytes::from_owner(Bomb(vec![b'b'; len]))
}

/// Bytes that are copied into the queue: the bomb goes off within the send.
const SMALL: usize = 100;
/// Bytes that the queue keeps as they are.
const LARGE: usize = 1000;
/// More than the kernel takes for a client that does not read.
const HUGE: usize = 20 << 20;

/// Sends bombs, or what it got.
struct Bomber;

impl Agent for Bomber {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        match frame.first() {
            Some(b's') => client.send(bomb(SMALL)),
            Some(b'l') => (0..3).try_for_each(|_| client.send(bomb(LARGE))),
            Some(b'k') => {
                client.send(bomb(LARGE))?;
                client.send(bomb(LARGE))?;
                client.kick();
                Ok(())
            }
            Some(b'h') => (0..2).try_for_each(|_| client.send(bomb(HUGE))),
            _ => client.send(frame),
        }
    }
}

fn bombers(framing: LengthPrefix) -> Server {
    let config = config().frame_bytes_max(32 << 20).send_queue_bytes_max(64 << 20);
    Server::start(config, Gate::framed(framing).agent(|_| Bomber))
}

/// While `body` runs, clients that have nothing to do with it are answered, byte for byte.
fn beside_innocents(server: &Server, body: impl FnOnce()) {
    let payloads: Vec<_> = (0..2000).map(|n| [vec![b'i'], pattern(n, n % 900)].concat()).collect();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| echoes_all(server.address, &payloads));
        }
        body();
    });
}

fn say(server: &Server, word: &[u8]) -> std::net::TcpStream {
    let mut stream = server.connect();
    stream.write_all(&u16_frame(word)).expect("written");
    stream
}

#[test]
fn sent_payloads_that_panic_when_dropped_end_their_client_alone() {
    deadline(|| {
        let server = bombers(LengthPrefix::U16);
        let throw = || {
            for _ in 0..20 {
                let mut stream = say(&server, b"large");
                // The reset may overtake what was sent, and is told once. Of a send that nothing hangs
                // on the core hears with the next that it hears of, so there is a next.
                let cut = (0..3)
                    .try_for_each(|_| {
                        read_u16(&mut stream).map(|answer| assert_eq!(answer, [b'b'; LARGE]))
                    })
                    .and_then(|()| stream.write_all(&u16_frame(b"go on")))
                    .and_then(|()| stream.read_to_end(&mut Vec::new()))
                    .expect_err("the connection breaks");
                assert_eq!(cut.kind(), ErrorKind::ConnectionReset);
            }
        };
        throw();
        assert_eq!(server.metrics().panics, 60);
        server.is_well();
        beside_innocents(&server, throw);
        server.settle();
        assert_eq!(server.metrics().panics, 120);
        server.is_well();
        server.stop();
    });
}

#[test]
fn a_small_payload_that_panics_when_dropped_was_copied_and_arrives() {
    deadline(|| {
        let server = bombers(LengthPrefix::U16);
        let mut stream = say(&server, b"small");
        assert_eq!(read_u16(&mut stream).expect("answered"), [b'b'; SMALL]);
        stream.write_all(&u16_frame(b"it goes on")).expect("written");
        assert_eq!(read_u16(&mut stream).expect("answered"), b"it goes on");
        assert_eq!(server.metrics().panics, 1);
        server.stop();
    });
}

#[test]
fn unsent_payloads_that_panic_when_dropped_spoil_no_kick() {
    deadline(|| {
        let server = bombers(LengthPrefix::U16);
        beside_innocents(&server, || {
            for _ in 0..20 {
                assert!(is_ended(&mut say(&server, b"kick")));
            }
        });
        server.settle();
        assert_eq!(server.metrics().panics, 40);
        server.stop();
    });
}

#[test]
fn payloads_in_flight_that_panic_when_dropped_spoil_no_end_of_an_engine() {
    deadline(|| {
        let server = bombers(LengthPrefix::U32);
        let mut stream = server.connect();
        stream.write_all(b"\0\0\0\x04huge").expect("written");
        eventually("the send is in flight", || server.metrics().bytes_received >= 8);
        server.stop();
        drop(stream);
    });
}

/// A waker that panics.
struct Alarmed;

impl Wake for Alarmed {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

/// Polls a future once, as somebody who panics when he is woken.
fn poll_alarmed<F: Future>(future: std::pin::Pin<&mut F>) {
    let waker = Waker::from(Arc::new(Alarmed));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn a_waker_that_panics_ends_the_connection_that_has_woken_it() {
    deadline(|| {
        let engine = Engine::new(config())
            .gate("127.0.0.1:0", Gate::framed(LengthPrefix::U16).agent(|_| Bomber))
            .setup(|_| {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                spawn(async move {
                    let stream = listener.accept().await.expect("a client comes");
                    poll_alarmed(pin!(stream.read()));
                    let mut read = pin!(stream.read());
                    poll_alarmed(read.as_mut());
                    let mut nap = pin!(sleep(Duration::from_millis(5)));
                    poll_alarmed(nap.as_mut());
                    std::future::pending::<()>().await;
                });
                Ok(())
            });
        let server = Server::of(engine);
        let address = server.handle.addresses()[1].inet().expect("an internet address");
        let mut stream = connect(address);
        eventually("the timer wakes", || server.metrics().panics == 1);
        stream.write_all(b"wake up").expect("written");
        assert!(is_ended(&mut stream));
        server.settle();
        assert_eq!(server.metrics().panics, 2);
        server.is_well();
        server.stop();
    });
}
