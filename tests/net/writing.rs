//! Writing: order, wholeness, priorities, warnings, the cap; flush.

use std::cell::RefCell;
use std::io::Read;
use std::net::TcpStream as Peer;
use std::rc::Rc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use skyring::net::FlushError;
use skyring::{Backlog, SendError, Within};

use crate::support::{DEADLINE, accept, config, on_core, poll_once, reset, until, wait, with_peer};

fn read_all(mut peer: Peer) -> Vec<u8> {
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("the stream ends in order");
    all
}

#[test]
fn every_kind_of_payload_leaves_in_order() {
    on_core(config(), || async {
        let (stream, peer) = accept(read_all).await;
        stream.write("text ").expect("room");
        stream.write(b"slice ").expect("room");
        stream.write(vec![b'v'; 300]).expect("room");
        stream.write(Bytes::from_static(b" shared ")).expect("room");
        stream.write(skyring::Frame::from(b"frame ".to_vec())).expect("room");
        stream.write_vectored(["a".into(), vec![b'b'; 2].into(), "c".into()]).expect("room");
        stream.flush().await.expect("all leaves");
        assert_eq!(stream.queued(), 0);
        stream.close().await.expect("all has left");
        let want = format!("text slice {} shared frame abbc", "v".repeat(300));
        assert_eq!(String::from_utf8(peer.join().await).expect("text"), want);
        assert!(matches!(stream.write("more"), Err(SendError::Closed)));
    });
}

#[test]
fn an_echo_of_read_frames_is_what_was_sent() {
    let peer = |mut peer: Peer| {
        use std::io::Write;
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 253) as u8).collect();
        let mut writer = peer.try_clone().expect("a second handle");
        let copy = sent.clone();
        let writing = std::thread::spawn(move || writer.write_all(&copy).expect("sent"));
        let mut got = vec![0; sent.len()];
        peer.read_exact(&mut got).expect("the echo");
        writing.join().expect("no panic");
        assert!(got == sent);
    };
    with_peer(peer, |stream| async move {
        while let Some(frame) = stream.read().await.expect("the peer sends") {
            stream.write(frame).expect("room");
        }
    });
}

#[test]
fn low_priority_waits_but_is_never_split() {
    let (go, told) = channel();
    let peer = move |peer: Peer| {
        wait(&told);
        read_all(peer)
    };
    on_core(config(), || async move {
        let (stream, peer) = accept(peer).await;
        let low = vec![b'l'; 1 << 20];
        stream.write_low(low.clone()).expect("room");
        // The kernel has begun with the first chunk, and cannot take all of it.
        skyring::sleep(std::time::Duration::from_millis(20)).await;
        stream.write_low("low again").expect("room");
        stream.write("high").expect("room");
        go.send(()).expect("the peer waits");
        stream.close().await.expect("all leaves");
        let all = peer.join().await;
        assert_eq!(all[..low.len()], low, "the chunk that had begun is whole");
        assert_eq!(String::from_utf8_lossy(&all[low.len()..]), "highlow again");
    });
}

#[test]
fn a_slow_reader_raises_warnings_and_one_drained() {
    let (go, told) = channel();
    let peer = move |peer: Peer| {
        wait(&told);
        read_all(peer).len()
    };
    on_core(config().send_warn_bytes(1 << 20).send_queue_bytes_max(64 << 20), || async move {
        let (stream, peer) = accept(peer).await;
        let heard = Rc::new(RefCell::new(Vec::new()));
        let ear = heard.clone();
        stream.on_backlog(move |backlog| ear.borrow_mut().push(backlog));
        for _ in 0..9 {
            stream.write(vec![1; 1 << 20]).expect("room");
        }
        let warned: Vec<usize> = heard
            .borrow()
            .iter()
            .map(|backlog| match backlog {
                Backlog::Warning { queued } => *queued >> 20,
                other => panic!("{other:?} before anything was read"),
            })
            .collect();
        assert_eq!(warned, [1, 2, 4, 8]);
        assert!(poll_once(stream.flush()).await.is_none());
        let short = std::time::Duration::from_millis(5);
        assert!(stream.flush().within(short).await.is_err(), "it waits");
        go.send(()).expect("the peer waits");
        stream.flush().await.expect("all leaves");
        assert_eq!(heard.borrow().last(), Some(&Backlog::Drained));
        assert_eq!(heard.borrow().len(), 5);
        stream.close().await.expect("all has left");
        assert_eq!(peer.join().await, 9 << 20);
    });
}

#[test]
fn a_callback_that_panics_ends_nothing() {
    let metrics = on_core(config().send_warn_bytes(1024), || async {
        let (stream, peer) = accept(read_all).await;
        stream.on_backlog(|_| panic!("a callback's own fault"));
        stream.write(vec![1; 2000]).expect("room");
        stream.close().await.expect("all leaves");
        assert_eq!(peer.join().await.len(), 2000);
    });
    assert_eq!(metrics.panics, 2, "the warning and the drained one");
}

#[test]
fn a_peer_that_never_reads_is_dropped_at_the_cap() {
    let (go, told) = channel();
    let metrics = on_core(config().send_queue_bytes_max(4 << 20), || async move {
        let (stream, peer) = accept(move |mut peer: Peer| {
            wait(&told);
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect_err("a reset, not an end")
        })
        .await;
        let chunk = Bytes::from(vec![1; 64 * 1024]);
        let error = loop {
            if let Err(error) = stream.write(chunk.clone()) {
                break error;
            }
            assert!(stream.queued() <= 4 << 20, "never over the cap");
        };
        assert!(matches!(error, SendError::Full { max: 4194304, .. }), "{error:?}");
        assert!(!stream.is_open());
        assert!(matches!(stream.write("x"), Err(SendError::Closed)));
        assert!(matches!(stream.flush().await, Err(FlushError::Closed)));
        assert!(stream.read().await.is_err());
        stream.close().await.expect_err("the queue was dropped");
        go.send(()).expect("the peer waits");
        assert_eq!(peer.join().await.kind(), std::io::ErrorKind::ConnectionReset);
    });
    assert_eq!(metrics.kicked, 1);
}

#[test]
fn a_vectored_write_is_all_or_nothing() {
    on_core(
        config().frame_bytes_max(1024).send_queue_bytes_max(4096).send_warn_bytes(0),
        || async {
            let (stream, peer) = accept(|peer: Peer| drop(peer)).await;
            let half = || Bytes::from(vec![1; 2049]).into();
            assert!(stream.write_vectored([half(), half()]).is_err());
            assert_eq!(stream.queued(), 0);
            peer.join().await;
        },
    );
}

#[test]
fn a_flush_hears_of_a_reset() {
    let (go, told) = channel();
    let peer = move |peer: Peer| {
        wait(&told);
        reset(peer);
    };
    with_peer(peer, |stream| async move {
        let stream = Rc::new(stream);
        while stream.queued() == 0 {
            stream.write(vec![1; 512 * 1024]).expect("room");
            skyring::sleep(std::time::Duration::from_millis(5)).await;
        }
        let other = stream.clone();
        let flushing = skyring::spawn(async move { other.flush().await });
        skyring::sleep(std::time::Duration::from_millis(5)).await;
        assert!(!flushing.is_finished());
        go.send(()).expect("the peer waits");
        let flushed = flushing.within(DEADLINE / 4).await.expect("it hears").expect("no panic");
        assert!(matches!(flushed, Err(FlushError::Failed(_))), "{flushed:?}");
        until(|| stream.write("x").is_err()).await;
    });
}
