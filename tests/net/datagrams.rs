//! Datagrams both ways, the bounds of both queues, dropped receives.

use std::net::{SocketAddr, UdpSocket as Peer};
use std::sync::mpsc::channel;
use std::time::Duration;

use skyring::net::{ReceiveError, SendToError, UdpSocket};

use crate::support::{DEADLINE, Joined, config, on_core, poll_once};

fn peer() -> (Peer, SocketAddr) {
    let peer = Peer::bind("127.0.0.1:0").expect("a free port");
    peer.set_read_timeout(Some(DEADLINE / 2)).expect("a socket");
    let address = peer.local_addr().expect("bound");
    (peer, address)
}

#[test]
fn an_echo_keeps_every_datagram_whole() {
    on_core(config(), || async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let (to, (peer, address)) = (socket.local(), peer());
        let peer = Joined::spawn(move || {
            let mut buffer = [0; 65_536];
            for len in [0, 1, 500, 1400, 9000, 60_000] {
                let sent = vec![len as u8; len];
                peer.send_to(&sent, to).expect("sent");
                let (got, from) = peer.recv_from(&mut buffer).expect("an echo");
                assert_eq!((got, from), (len, to));
                assert_eq!(buffer[..got], sent);
            }
        });
        for _ in 0..6 {
            let (datagram, from) = socket.receive_from().await.expect("the peer sends");
            assert_eq!(from, address);
            socket.send_to(datagram, from).expect("room");
        }
        peer.join().await;
    });
}

#[test]
fn many_queued_datagrams_leave_in_order() {
    on_core(config(), || async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let (peer, address) = peer();
        for n in 0..100_u32 {
            socket.send_to(&n.to_be_bytes(), address).expect("room");
        }
        drop(socket); // what is queued leaves first
        let peer = Joined::spawn(move || {
            for n in 0..100_u32 {
                let mut bytes = [0; 4];
                peer.recv(&mut bytes).expect("it leaves");
                assert_eq!(bytes, n.to_be_bytes());
            }
        });
        peer.join().await;
    });
}

#[test]
fn a_dropped_receive_loses_nothing_and_two_are_one_too_many() {
    on_core(config(), || async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let (peer, _) = peer();
        assert!(poll_once(socket.receive_from()).await.is_none());
        peer.send_to(b"one", socket.local()).expect("sent");
        skyring::sleep(Duration::from_millis(5)).await;
        assert_eq!(socket.receive_from().await.expect("it waited").0[..], b"one"[..]);
        let mut first = Box::pin(socket.receive_from());
        assert!(poll_once(first.as_mut()).await.is_none());
        assert!(matches!(socket.receive_from().await, Err(ReceiveError::Busy)));
        peer.send_to(b"two", socket.local()).expect("sent");
        assert_eq!(first.await.expect("it comes").0[..], b"two"[..]);
    });
}

#[test]
fn the_queues_are_bounded() {
    let small = config().frame_bytes_max(1024).send_queue_bytes_max(4096).send_warn_bytes(0);
    let small = small.receive_bytes_max(4096).pool_block_bytes(2048).pool_blocks(64);
    let metrics = on_core(small, || async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let (peer, address) = peer();
        assert!(poll_once(socket.receive_from()).await.is_none());
        for _ in 0..30 {
            peer.send_to(&[1; 1000], socket.local()).expect("sent");
        }
        peer.send_to(&[2; 3000], socket.local()).expect("sent");
        skyring::sleep(Duration::from_millis(50)).await;
        let mut kept = 0;
        while let Some(received) = poll_once(socket.receive_from()).await {
            assert_eq!(received.expect("it was kept").0[..], [1; 1000]);
            kept += 1;
        }
        assert_eq!(kept, 3, "of 1,128 bytes each");
        let refused = (0..5).find_map(|_| socket.send_to(&[3; 1000], address).err());
        assert!(matches!(refused, Some(SendToError::Full { max: 4096, .. })), "{refused:?}");
        let long = socket.send_to(vec![0; 65_508], address);
        assert!(matches!(long, Err(SendToError::TooLong { max: 65_507, .. })), "{long:?}");
        skyring::sleep(Duration::from_millis(5)).await;
        socket.send_to("room again", address).expect("the queue has left");
    });
    assert_eq!(metrics.datagrams_dropped, 28);
}

#[test]
fn a_datagram_to_nobody_breaks_nothing() {
    on_core(config(), || async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let (gone, nobody) = peer();
        drop(gone);
        socket.send_to("anybody?", nobody).expect("room");
        socket.send_to("wrong family", "[::1]:9".parse().expect("an address")).expect("room");
        let (peer, address) = peer();
        assert!(poll_once(socket.receive_from()).await.is_none());
        socket.send_to("hello", address).expect("room");
        skyring::sleep(Duration::from_millis(5)).await;
        peer.send_to(b"still there", socket.local()).expect("sent");
        let (datagram, _) = socket.receive_from().await.expect("the socket goes on");
        assert_eq!(datagram[..], b"still there"[..]);
    });
}

#[test]
fn a_stop_ends_a_receive() {
    let (ended, end) = channel();
    on_core(config(), || async {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        skyring::spawn(async move {
            ended.send(socket.receive_from().await.map(drop)).expect("the test looks");
        });
        skyring::sleep(Duration::from_millis(5)).await;
    });
    let end = end.recv().expect("it was told");
    assert!(matches!(end, Err(ReceiveError::Stopping)), "{end:?}");
}
