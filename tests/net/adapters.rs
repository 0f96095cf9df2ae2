//! Streams under the traits of `futures`, as other libraries use them.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream as Peer};
use std::pin::Pin;
use std::sync::mpsc::channel;

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use skyring::net::TcpStream;

use crate::support::{accept, config, on_core, poll_once, wait, with_peer};

/// What `futures_util::io::copy_buf` does.
async fn copy(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<u64> {
    let mut total = 0;
    loop {
        let len = poll_fn(|cx| {
            let Ok(bytes) = std::task::ready!(Pin::new(&mut *from).poll_fill_buf(cx)) else {
                return std::task::Poll::Ready(Err(ErrorKind::Other.into()));
            };
            if bytes.is_empty() {
                return std::task::Poll::Ready(Ok(0));
            }
            Pin::new(&mut *to).poll_write(cx, bytes)
        })
        .await?;
        if len == 0 {
            poll_fn(|cx| Pin::new(&mut *to).poll_close(cx)).await?;
            return Ok(total);
        }
        Pin::new(&mut *from).consume(len);
        total += len as u64;
    }
}

#[test]
fn a_copy_loop_waits_for_a_slow_reader_and_never_meets_the_cap() {
    const TOTAL: usize = 16 << 20;
    let (go, told) = channel();
    let metrics = on_core(config().send_queue_bytes_max(2 << 20), || async move {
        let (mut from, source) = accept(|mut peer: Peer| {
            let chunk: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
            (0..TOTAL >> 20).for_each(|_| peer.write_all(&chunk).expect("sent"));
        })
        .await;
        let (mut to, sink) = accept(move |mut peer: Peer| {
            wait(&told);
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("an end");
            assert!(all.len() == TOTAL && all.iter().enumerate().all(|(n, &b)| b == n as u8));
        })
        .await;
        let copying = skyring::spawn(async move { copy(&mut from, &mut to).await });
        skyring::sleep(std::time::Duration::from_millis(100)).await;
        assert!(!copying.is_finished(), "it waits for the reader");
        go.send(()).expect("the sink waits");
        let copied = copying.await.expect("no panic").expect("all of it");
        assert_eq!(copied, TOTAL as u64);
        source.join().await;
        sink.join().await;
    });
    assert_eq!(metrics.kicked, 0);
}

#[test]
fn small_buffers_and_the_streams_own_reads_mix() {
    let peer = |mut peer: Peer| {
        peer.write_all(b"0123456789").expect("sent");
        peer.shutdown(Shutdown::Write).expect("connected");
    };
    with_peer(peer, |mut stream| async move {
        let mut three = [0; 3];
        let len = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut three)).await;
        assert_eq!((len.expect("it came"), &three), (3, b"012"));
        assert_eq!(stream.read_exact(2).await.expect("it came")[..], b"34"[..]);
        let seen = poll_fn(|cx| Pin::new(&mut stream).poll_fill_buf(cx).map_ok(|b| b.to_vec()));
        assert_eq!(seen.await.expect("it came"), b"56789");
        assert_eq!(stream.unread(), 5, "seen is not consumed");
        Pin::new(&mut stream).consume(1);
        assert_eq!(stream.read().await.expect("it came").expect("bytes")[..], b"6789"[..]);
        let end = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut three)).await;
        assert_eq!(end.expect("the end"), 0);
    });
}

#[test]
fn a_dropped_poll_loses_nothing_and_a_second_reader_is_told_so() {
    let (go, told) = channel();
    let peer = move |mut peer: Peer| {
        wait(&told);
        peer.write_all(b"late").expect("sent");
    };
    with_peer(peer, |mut stream| async move {
        let mut four = [0; 4];
        let once = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut four));
        assert!(poll_once(once).await.is_none());
        go.send(()).expect("the peer waits");
        let len = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut four)).await;
        assert_eq!((len.expect("it came"), &four), (4, b"late"));
    });
}

#[test]
fn poll_close_is_a_half_close() {
    let peer = |mut peer: Peer| {
        let mut all = String::new();
        peer.read_to_string(&mut all).expect("our end");
        assert_eq!(all, "request");
        peer.write_all(b"response").expect("the other half is open");
    };
    with_peer(peer, |mut stream| async move {
        let len = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"request")).await;
        assert_eq!(len.expect("room"), 7);
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await.expect("it leaves");
        poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await.expect("it ends");
        let len = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"more")).await;
        assert_eq!(len.expect_err("it has ended").kind(), ErrorKind::BrokenPipe);
        assert_eq!(stream.read_to_end(100).await.expect("it came")[..], b"response"[..]);
    });
}
