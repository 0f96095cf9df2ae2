//! The end of a stream, from either side, in order or not; and of the engine around it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as Peer};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use skyring::net::{AcceptError, FlushError, ReadError, TcpListener, TcpStream};
use skyring::{Engine, SendError};

use crate::support::{config, connect, on_core, poll_once, until, wait, with_peer};

#[test]
fn writing_goes_on_after_the_peers_end() {
    let peer = |mut peer: Peer| {
        peer.write_all(b"question").expect("sent");
        peer.shutdown(Shutdown::Write).expect("connected");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an answer and an end");
        assert_eq!(answer, "an answer, and more");
    };
    with_peer(peer, |stream| async move {
        assert_eq!(stream.read_to_end(100).await.expect("all of it")[..], b"question"[..]);
        stream.write("an answer").expect("the write side is open");
        stream.flush().await.expect("the peer reads");
        skyring::sleep(Duration::from_millis(5)).await;
        stream.write(", and more").expect("the write side is open");
        // Dropped here: what is queued leaves in the background.
    });
}

#[test]
fn reading_goes_on_after_our_end() {
    let peer = |mut peer: Peer| {
        let mut question = String::new();
        peer.read_to_string(&mut question).expect("our end");
        assert_eq!(question, "question");
        peer.write_all(b"answer").expect("the write side is open");
    };
    with_peer(peer, |stream| async move {
        stream.write("question").expect("room");
        stream.finish();
        assert!(matches!(stream.write("more"), Err(SendError::Closed)));
        assert_eq!(stream.read_to_end(100).await.expect("all of it")[..], b"answer"[..]);
        stream.flush().await.expect("all had left");
        stream.close().await.expect("in order");
    });
}

#[test]
fn our_half_close_reaches_a_peer_that_has_ended_first() {
    let (ended, has_ended) = channel();
    let peer = move |mut peer: Peer| {
        peer.shutdown(Shutdown::Write).expect("connected");
        let mut rest = String::new();
        peer.read_to_string(&mut rest).expect("an end");
        ended.send(rest).expect("the test listens");
    };
    with_peer(peer, |stream| async move {
        assert!(stream.read().await.expect("an end").is_none());
        stream.write("bye").expect("the write side is open");
        stream.finish();
        // The stream is still held here.
        until(|| has_ended.try_recv().is_ok_and(|rest| rest == "bye")).await;
        assert!(stream.is_open());
    });
}

#[test]
fn close_resolves_when_the_socket_is_closed() {
    let peer = |mut peer: Peer| {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).expect("an end");
        assert_eq!(all.len(), 3 << 20);
    };
    let metrics = with_peer(peer, |stream| async move {
        stream.write(vec![1; 3 << 20]).expect("room");
        assert!(poll_once(stream.close()).await.is_none(), "the close goes on when dropped");
        assert!(matches!(stream.write("x"), Err(SendError::Closed)));
        assert!(matches!(stream.read().await, Err(ReadError::Closed)));
        stream.close().await.expect("all has left");
        stream.close().await.expect("once is enough");
        assert_eq!(stream.traffic().sent, 3 << 20);
        assert!(stream.local().is_err());
    });
    assert_eq!((metrics.accepted, metrics.closed), (1, 1));
}

#[test]
fn close_ends_a_read_that_waits() {
    let (go, told) = channel();
    let peer = move |_peer: Peer| wait(&told);
    with_peer(peer, |stream| async move {
        let stream = Rc::new(stream);
        let reader = stream.clone();
        let reading = skyring::spawn(async move { reader.read().await.map(drop) });
        skyring::sleep(Duration::from_millis(5)).await;
        assert!(poll_once(stream.close()).await.is_none());
        let read = reading.await.expect("no panic");
        assert!(matches!(read, Err(ReadError::Closed)), "{read:?}");
        go.send(()).expect("the peer waits");
        stream.close().await.expect("nothing was queued");
    });
}

#[test]
fn unread_input_does_not_destroy_the_last_output() {
    let peer = |mut peer: Peer| {
        peer.write_all(&[7; 100_000]).expect("sent");
        std::thread::sleep(Duration::from_millis(50));
        let mut last = String::new();
        peer.read_to_string(&mut last).expect("no reset");
        assert_eq!(last, "goodbye");
    };
    with_peer(peer, |stream| async move {
        stream.readable().await.expect("it comes");
        stream.write("goodbye").expect("room");
    });
}

#[test]
fn shutdown_drops_what_is_queued_at_once() {
    let (go, told) = channel();
    let peer = move |mut peer: Peer| {
        wait(&told);
        let mut all = Vec::new();
        let error = peer.read_to_end(&mut all).expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    };
    with_peer(peer, |stream| async move {
        stream.write(vec![1; 8 << 20]).expect("room");
        skyring::sleep(Duration::from_millis(5)).await;
        stream.shutdown();
        assert_eq!(stream.queued(), 0);
        assert!(matches!(stream.flush().await, Err(FlushError::Closed)));
        assert!(matches!(stream.close().await, Err(FlushError::Closed)));
        assert!(matches!(stream.read().await, Err(ReadError::Closed)));
        go.send(()).expect("the peer waits");
    });
}

#[test]
fn an_accepted_connection_is_parked_until_its_first_read() {
    let (go, told) = channel();
    let peer = move |mut peer: Peer| {
        peer.write_all(b"early").expect("sent");
        wait(&told);
    };
    with_peer(peer, |stream| async move {
        skyring::sleep(Duration::from_millis(20)).await;
        assert_eq!((stream.unread(), stream.traffic().received), (0, 0));
        assert_eq!(stream.read().await.expect("it was sent").expect("bytes")[..], b"early"[..]);
        go.send(()).expect("the peer waits");
    });
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    on_core(config(), || async {
        let listener = TcpListener::bind(("127.0.0.1".to_string(), 0)).expect("a free port");
        assert!(poll_once(listener.accept()).await.is_none());
        let peer = connect(listener.local()).expect("the backlog takes it");
        skyring::sleep(Duration::from_millis(20)).await;
        let stream = listener.accept().await.expect("it waited");
        let address = stream.peer().and_then(skyring::SocketAddress::inet);
        assert_eq!(address, Some(peer.local_addr().expect("connected")));
        drop(listener);
        assert!(connect(address.expect("inet")).is_err());
        stream.write("still there").expect("it outlives its listener");
    });
}

#[test]
fn a_listener_of_std_is_taken_over() {
    on_core(config(), || async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let listener = TcpListener::from_std(listener).expect("it listens");
        assert_eq!(listener.local(), address);
        let _peer = connect(address).expect("the backlog takes it");
        listener.accept().await.expect("accepted");
        let stream = std::os::fd::OwnedFd::from(connect(address).expect("it listens"));
        let error = TcpListener::from_std(stream.into()).expect_err("a stream");
        assert!(error.to_string().contains("does not listen"), "{error}");
    });
}

#[test]
fn a_taken_port_is_an_error_and_a_name_is_none_to_bind_to() {
    on_core(config(), || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let error = TcpListener::bind(listener.local()).expect_err("taken");
        assert!(error.to_string().contains("another process listens there"), "{error}");
        let error = TcpListener::bind("localhost:0").expect_err("a name");
        assert!(error.to_string().contains("write an IP address"), "{error}");
    });
}

#[test]
fn every_core_may_bind_the_same_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    let two = || config().cores(2);
    let taken = Engine::new(two()).setup(move |_| TcpListener::bind(address).map(drop)).start();
    assert!(taken.expect_err("in use").to_string().contains("another process listens there"));
    drop(free);
    let engine = Engine::new(two()).setup(move |core| {
        let (listener, index) = (TcpListener::bind(address)?, core.index);
        skyring::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let _ = stream.write(index.to_string());
            }
        });
        Ok(())
    });
    let handle = engine.start().expect("both listen");
    assert_eq!(handle.addresses().len(), 1);
    let mut met = [false; 2];
    for _ in 0..200 {
        let mut text = String::new();
        connect(address).expect("somebody listens").read_to_string(&mut text).expect("an end");
        met[text.parse::<usize>().expect("a core")] = true;
    }
    assert_eq!(met, [true; 2], "the kernel spreads the connections");
    handle.stop();
    handle.join().expect("a clean end");
}

#[test]
fn a_stop_ends_reads_and_accepts_and_sends_what_is_queued() {
    let (bound, address) = channel();
    let (ended, ends) = channel();
    let engine = Engine::new(config().drain(Duration::from_secs(10))).setup(move |_| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        bound.send(listener.local()).expect("the test waits");
        let ended = ended.clone();
        skyring::spawn(async move {
            let stream = listener.accept().await.expect("the peer connects");
            skyring::spawn(until_the_stop(stream, ended.clone()));
            let accepted = listener.accept().await;
            ended.send(matches!(accepted, Err(AcceptError::Closed))).expect("the test looks");
        });
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let mut peer = connect(address.recv().expect("bound")).expect("it listens");
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).expect("it runs");
    let began = Instant::now();
    handle.stop();
    let mut last = String::new();
    peer.read_to_string(&mut last).expect("an orderly end");
    assert_eq!(last, "bye");
    drop(peer);
    handle.join().expect("a clean end");
    assert_eq!(ends.iter().collect::<Vec<_>>(), [true; 2]);
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for the drain's deadline");
}

async fn until_the_stop(stream: TcpStream, ended: Sender<bool>) {
    stream.write("hello").expect("room");
    let read = stream.read().await;
    ended.send(matches!(read, Err(ReadError::Stopping))).expect("the test looks");
    stream.write("bye").expect("writing goes on");
}
