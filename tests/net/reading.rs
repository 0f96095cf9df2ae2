//! Every way to read, with every cut of the input; dropped and cut short.

use std::io::Write;
use std::ops::AsyncFn;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use skyring::net::{ReadError, TcpStream};
use skyring::{Within, within};

use crate::support::{accept, config, on_core, poll_once, reset, until, wait, with_peer};

/// What one read gave: some bytes, or how it ended.
type Piece = Result<Vec<u8>, &'static str>;

fn piece(read: Result<Option<skyring::Frame>, ReadError>) -> Option<Piece> {
    Some(match read {
        Ok(None) => return None,
        Ok(Some(frame)) => Ok(frame.to_vec()),
        Err(ReadError::Ended { leftover }) if leftover.is_empty() => return None,
        Err(ReadError::Ended { .. }) => Err("ended in the middle"),
        Err(ReadError::TooLong { .. }) => Err("too long"),
        Err(error) => panic!("{error}"),
    })
}

/// Sends `input` cut in two at every place. `read` is polled once when the first part is there and
/// dropped if it waits; then the second part comes, and `read` takes what is left.
fn at_every_cut<Read>(input: &'static [u8], want: &'static [Piece], read: Read)
where
    Read: AsyncFn(&TcpStream) -> Option<Piece> + Send + 'static,
{
    on_core(config(), move || async move {
        for cut in 0..=input.len() {
            let (go, told) = channel();
            let (stream, peer) = accept(move |mut peer| {
                peer.write_all(&input[..cut]).expect("sent");
                wait(&told);
                peer.write_all(&input[cut..]).expect("sent");
            })
            .await;
            if cut > 0 {
                assert!(stream.readable().await.expect("it comes"));
                until(|| stream.traffic().received == cut as u64).await;
            }
            let mut got = Vec::new();
            while let Some(ready) = poll_once(read(&stream)).await {
                got.extend(ready);
            }
            let _ = within(Duration::from_millis(2), read(&stream)).await;
            go.send(()).expect("the peer waits");
            while let Some(next) = read(&stream).await {
                got.push(next);
            }
            assert_eq!(got, want, "cut at {cut}");
            peer.join().await;
        }
    });
}

fn ok(text: &str) -> Piece {
    Ok(text.as_bytes().to_vec())
}

#[test]
fn an_exact_read_survives_every_cut_and_drop() {
    let want = Box::leak(Box::new([ok("abcd"), ok("efgh"), Err("ended in the middle")]));
    at_every_cut(b"abcdefghij", want, async |stream: &TcpStream| {
        piece(stream.read_exact(4).await.map(Some))
    });
}

#[test]
fn a_read_up_to_a_separator_survives_every_cut_and_drop() {
    let want = Box::leak(Box::new([ok("ab"), ok(""), ok("c\r"), Err("ended in the middle")]));
    at_every_cut(b"ab\r\n\r\nc\r\r\nxy", want, async |stream: &TcpStream| {
        piece(stream.read_until(b"\r\n", 100).await)
    });
}

#[test]
fn lines_end_with_or_without_a_carriage_return() {
    let want = Box::leak(Box::new([ok("ab"), ok("c"), ok("")]));
    at_every_cut(b"ab\r\nc\n\n", want, async |stream: &TcpStream| {
        piece(stream.read_line(2 + 1).await)
    });
}

#[test]
fn whatever_is_there_adds_up_at_every_cut() {
    on_core(config(), || async {
        for cut in 0..=5 {
            let (stream, peer) = accept(move |mut peer| {
                peer.write_all(&b"hello"[..cut]).expect("sent");
                peer.write_all(&b"hello"[cut..]).expect("sent");
            })
            .await;
            assert!(poll_once(stream.read()).await.is_none(), "parked until the first read");
            let mut got = Vec::new();
            while let Some(frame) = stream.read().await.expect("it comes") {
                assert!(!frame.is_empty());
                got.extend_from_slice(&frame);
            }
            assert_eq!(got, b"hello");
            assert!(stream.read().await.expect("the end stays the end").is_none());
            peer.join().await;
        }
    });
}

#[test]
fn everything_up_to_the_end_comes_as_one() {
    let whole = |peer: std::net::TcpStream| {
        let mut peer = peer;
        (0..300).for_each(|n: u32| peer.write_all(&[n as u8; 1000]).expect("sent"));
    };
    with_peer(whole, |stream| async move {
        assert!(poll_once(stream.read_to_end(400_000)).await.is_none());
        let cut_short = stream.read_to_end(400_000).within(Duration::from_millis(1)).await;
        let all = match cut_short {
            Ok(all) => all.expect("it came"),
            Err(_) => stream.read_to_end(400_000).await.expect("it came"),
        };
        assert_eq!(all.len(), 300_000, "more than reads pause at");
        assert!(all.chunks(1000).enumerate().all(|(n, chunk)| chunk.iter().all(|&b| b == n as u8)));
    });
}

#[test]
fn what_is_too_long_stays_unread() {
    let (go, told) = channel();
    let peer = move |mut peer: std::net::TcpStream| {
        peer.write_all(&[b'x'; 20]).expect("sent");
        wait(&told);
        peer.write_all(b"\nrest").expect("sent");
    };
    with_peer(peer, |stream| async move {
        until(|| true).await;
        let error = stream.read_line(10).await.expect_err("no line of ten bytes");
        assert!(matches!(error, ReadError::TooLong { max: 10 }), "{error:?}");
        until(|| stream.unread() == 20).await;
        assert!(matches!(stream.read_to_end(19).await, Err(ReadError::TooLong { max: 19 })));
        go.send(()).expect("the peer waits");
        let line = stream.read_line(20).await.expect("it fits").expect("a line");
        assert_eq!(line[..], [b'x'; 20]);
        assert_eq!(stream.read_to_end(4).await.expect("it fits")[..], b"rest"[..]);
        assert!(stream.read_line(10).await.expect("a clean end").is_none());
    });
}

#[test]
fn the_leftovers_come_with_the_end() {
    let peer = |mut peer: std::net::TcpStream| peer.write_all(b"abc").expect("sent");
    with_peer(peer, |stream| async move {
        match stream.read_exact(4).await {
            Err(ReadError::Ended { leftover }) => assert_eq!(leftover[..], b"abc"[..]),
            other => panic!("{other:?}"),
        }
        assert_eq!(stream.unread(), 0);
        let again = stream.read_exact(4).await.expect_err("it is at its end");
        assert!(matches!(&again, ReadError::Ended { leftover } if leftover.is_empty()));
        let error = std::io::Error::from(again);
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_second_reader_is_told_so() {
    let (go, told) = channel();
    let peer = move |mut peer: std::net::TcpStream| {
        wait(&told);
        peer.write_all(b"late").expect("sent");
    };
    with_peer(peer, |stream| async move {
        let stream = Rc::new(stream);
        let first = stream.clone();
        let first = skyring::spawn(async move { first.read_exact(4).await });
        skyring::sleep(Duration::from_millis(5)).await;
        assert!(matches!(stream.read().await, Err(ReadError::Busy)));
        assert!(matches!(stream.readable().await, Err(ReadError::Busy)));
        go.send(()).expect("the peer waits");
        let read = first.await.expect("no panic").expect("it came");
        assert_eq!(read[..], b"late"[..]);
    });
}

#[test]
fn readable_waits_and_reads_nothing() {
    let (go, told) = channel();
    let peer = move |mut peer: std::net::TcpStream| {
        wait(&told);
        peer.write_all(b"x").expect("sent");
    };
    with_peer(peer, |stream| async move {
        assert!(poll_once(stream.readable()).await.is_none());
        go.send(()).expect("the peer waits");
        assert!(stream.readable().await.expect("a byte"));
        assert_eq!(stream.unread(), 1);
        assert_eq!(stream.read().await.expect("a byte").expect("a byte")[..], b"x"[..]);
        assert!(!stream.readable().await.expect("the end"));
    });
}

#[test]
fn reads_pause_at_the_high_mark_and_go_on_by_themselves() {
    const TOTAL: usize = 8 << 20;
    let peer = |mut peer: std::net::TcpStream| {
        let pattern: Vec<u8> = (0..251).collect();
        let bytes: Vec<u8> = pattern.iter().copied().cycle().take(TOTAL).collect();
        peer.write_all(&bytes).expect("sent");
    };
    let metrics = with_peer(peer, |stream| async move {
        stream.readable().await.expect("it comes");
        skyring::sleep(Duration::from_millis(100)).await;
        let unread = stream.unread();
        assert!(unread < TOTAL / 2, "reads pause: {unread} bytes unread");
        let mut at = 0;
        while let Some(frame) = stream.read().await.expect("it comes") {
            assert!(frame.iter().enumerate().all(|(n, &byte)| byte == ((at + n) % 251) as u8));
            at += frame.len();
        }
        assert_eq!(at, TOTAL);
    });
    assert!(metrics.paused > 0);
}

#[test]
fn a_read_larger_than_the_high_mark_ends() {
    let peer = |mut peer: std::net::TcpStream| peer.write_all(&vec![3; 3 << 20]).expect("sent");
    with_peer(peer, |stream| async move {
        let first = stream.read_exact(2 << 20).await.expect("it comes");
        assert_eq!(first.len(), 2 << 20);
        assert_eq!(stream.read_to_end(1 << 20).await.expect("it comes").len(), 1 << 20);
    });
}

#[test]
fn many_unread_bytes_of_a_slow_sender_pin_no_blocks() {
    let peer = |mut peer: std::net::TcpStream| {
        for byte in 0..2000_u32 {
            peer.write_all(&[byte as u8]).expect("sent");
        }
    };
    on_core(config().pool_blocks(2), move || async move {
        let (stream, peer) = accept(peer).await;
        let all = stream.read_exact(2000).await.expect("it comes");
        assert!(all.iter().enumerate().all(|(n, &byte)| byte == n as u8));
        peer.join().await;
    });
}

#[test]
fn a_reset_ends_every_read_but_loses_nothing_before_it() {
    on_core(config(), || async {
        for sent in [0, 3] {
            let (go, told) = channel();
            let (stream, peer) = accept(move |mut peer| {
                peer.write_all(&b"abc"[..sent]).expect("sent");
                wait(&told);
                reset(peer);
            })
            .await;
            if sent > 0 {
                stream.readable().await.expect("it comes");
            } else {
                assert!(poll_once(stream.read()).await.is_none());
            }
            go.send(()).expect("the peer waits");
            let error = stream.read_exact(10).await.expect_err("a reset");
            assert!(matches!(error, ReadError::Failed(_)), "{error:?}");
            assert!(error.to_string().contains("ECONNRESET"), "{error}");
            assert_eq!(stream.unread(), sent);
            if sent > 0 {
                assert_eq!(stream.read().await.expect("it came before").expect("it")[..], *b"abc");
            }
            assert!(stream.read().await.is_err(), "the error stays");
            assert!(stream.write("too late").is_err());
            peer.join().await;
        }
    });
}
