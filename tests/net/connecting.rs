//! Connecting: names, several addresses, refusals, timeouts, dropped futures.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Listener};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use skyring::Within;
use skyring::net::{ConnectError, TcpStream};

use crate::support::{Joined, config, on_core, poll_once};

/// A listener that answers its first connection with what that says.
fn echo_once() -> (SocketAddr, Joined<()>) {
    let listener = Listener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let echo = move || {
        let (mut peer, _) = listener.accept().expect("somebody connects");
        let mut bytes = [0; 14];
        peer.read_exact(&mut bytes).expect("they speak");
        peer.write_all(&bytes).expect("they listen");
    };
    (address, Joined::spawn(echo))
}

/// A port that nobody listens on.
fn closed_port() -> SocketAddr {
    Listener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a free port")
}

#[test]
fn a_client_of_the_tutorial() {
    let metrics = on_core(config(), || async {
        let (address, echo) = echo_once();
        let stream = TcpStream::connect(("127.0.0.1", address.port())).await.expect("it listens");
        stream.write("Hello, Server!").expect("room");
        let response = stream.read_exact(14).await.expect("the echo");
        assert_eq!(response[..], b"Hello, Server!"[..]);
        assert_eq!(stream.peer().and_then(skyring::SocketAddress::inet), Some(address));
        stream.set_nodelay(false).expect("a TCP socket");
        stream.close().await.expect("all has left");
        echo.join().await;
    });
    assert_eq!((metrics.connected, metrics.accepted, metrics.closed), (1, 0, 1));
}

#[test]
fn a_name_is_resolved_and_each_address_tried() {
    on_core(config(), || async {
        let (address, echo) = echo_once();
        let stream = TcpStream::connect(format!("localhost:{}", address.port())).await;
        stream.expect("one of its addresses listens").write("Hello, Server!").expect("room");
        echo.join().await;
        let (address, echo) = echo_once();
        // The first is refused, at once or for want of IPv6.
        let both = [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port())), address];
        let stream = TcpStream::connect(both).await.expect("the second listens");
        stream.write("Hello, Server!").expect("room");
        echo.join().await;
    });
}

#[test]
fn a_refusal_lists_what_was_tried_and_why() {
    on_core(config(), || async {
        let (one, two) = (closed_port(), closed_port());
        let error = TcpStream::connect([one, two]).await.expect_err("nobody listens");
        let text = error.to_string();
        assert!(text.contains(&format!("{one}: nobody listens there (ECONNREFUSED); ")), "{text}");
        assert!(text.contains(&format!("{two}: nobody")), "{text}");
        assert!(matches!(error, ConnectError::Failed { tried, .. } if tried.len() == 2));
    });
}

#[test]
fn what_cannot_be_resolved_says_so() {
    on_core(config(), || async {
        let error = TcpStream::connect("no-such-host.invalid:80").await.expect_err("no such name");
        assert!(
            matches!(&error, ConnectError::Unresolved { host, .. } if host.contains("invalid"))
        );
        let error = TcpStream::connect("no port").await.expect_err("malformed");
        assert!(error.to_string().contains("write host:port"), "{error}");
        let error = skyring::Error::from(error);
        assert!(error.to_string().contains("write host:port"), "{error}");
    });
}

/// An address whose backlog is full, so that a connect waits; what keeps it full.
fn full_backlog() -> (SocketAddr, impl Sized) {
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    listen(&listener, 0).expect("it listens");
    let address = getsockname(&listener).expect("bound");
    let address = SocketAddr::try_from(address).expect("inet");
    let held: Vec<_> = (0..4)
        .map(|_| {
            use rustix::net::{SocketFlags, socket_with};
            let flags = SocketFlags::NONBLOCK;
            let client = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
            let client = client.expect("a socket");
            let _ = connect(&client, &address);
            client
        })
        .collect();
    (address, (listener, held))
}

#[test]
fn the_whole_connect_has_one_timeout() {
    on_core(config().connect_timeout(Duration::from_millis(200)), || async {
        let (address, _full) = full_backlog();
        // The time of a turn is that of its beginning.
        skyring::sleep(Duration::from_millis(1)).await;
        let began = Instant::now();
        let error = TcpStream::connect([address, address]).await.expect_err("nobody accepts");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(180) && took < Duration::from_secs(5), "{took:?}");
        let text = error.to_string();
        assert!(text.contains("SKYRING_CONNECT_TIMEOUT") && text.contains("ETIMEDOUT"), "{text}");
        assert!(matches!(error, ConnectError::TimedOut { tried, .. } if tried.len() == 2));
    });
}

#[test]
fn an_address_that_does_not_answer_leaves_time_for_the_next() {
    on_core(config().connect_timeout(Duration::from_millis(400)), || async {
        let (silent, _full) = full_backlog();
        let (address, echo) = echo_once();
        let stream = TcpStream::connect([silent, address]).await.expect("the second listens");
        stream.write("Hello, Server!").expect("room");
        echo.join().await;
    });
}

#[test]
fn a_dropped_connect_leaves_nothing() {
    on_core(config(), || async {
        let listener = Listener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        for _ in 0..10 {
            // On the loopback it succeeds as soon as the kernel hears of it.
            assert!(poll_once(TcpStream::connect(address)).await.is_none());
        }
        let name = format!("localhost:{}", address.port());
        assert!(poll_once(TcpStream::connect(name)).await.is_none());
        let (silent, _full) = full_backlog();
        let short = Duration::from_millis(5);
        assert!(TcpStream::connect(silent).within(short).await.is_err());
        skyring::sleep(Duration::from_millis(50)).await;
        listener.set_nonblocking(true).expect("a socket");
        while let Ok((mut peer, _)) = listener.accept() {
            peer.set_nonblocking(false).expect("a socket");
            peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
            let closed = peer.read(&mut [0]);
            assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        }
    });
}

#[test]
fn a_stop_aborts_a_connect() {
    let began = Instant::now();
    let (ended, end) = channel();
    on_core(config(), || async {
        let (silent, full) = full_backlog();
        skyring::spawn(async move {
            ended.send(TcpStream::connect(silent).await.map(drop)).expect("the test looks");
            drop(full);
        });
        skyring::sleep(Duration::from_millis(5)).await;
    });
    let end = end.recv().expect("it was told");
    assert!(matches!(end, Err(ConnectError::Stopping)), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}
