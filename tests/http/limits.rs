//! Time: heads, bodies, answers, idle connections, peers that do not read.

use std::time::Duration;

use skyring::http::Limits;
use skyring::prelude::*;

use crate::common::{Server, config, deadline};
use crate::support::{Peer, router, start_with};

const SHORT: Duration = Duration::from_millis(40);

#[test]
fn a_head_that_does_not_end_is_refused() {
    deadline(|| {
        let server = start_with(|limits| Limits { head_time: SHORT, ..limits });
        let mut peer = Peer::of(&server);
        assert_eq!(peer.get("/").status, 200);
        let answer = peer.send("GET / HTTP/1.1\r\nHost").answer();
        assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
        assert!(peer.is_closed());
        // Byte by byte is no way around.
        let mut peer = Peer::of(&server);
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
            peer.try_send(&[*byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(peer.answer().status, 408);
        // Nor is what comes right behind a request.
        let mut peer = Peer::of(&server);
        peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTT");
        assert_eq!((peer.answer().status, peer.answer().status), (200, 408));
    });
}

#[test]
fn an_empty_line_behind_a_body_is_no_head() {
    deadline(|| {
        let times = |limits| Limits { head_time: SHORT, idle_time: 3 * SHORT, ..limits };
        let server = start_with(times);
        let mut peer = Peer::of(&server);
        peer.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n");
        assert_eq!(peer.answer().text(), "2 ");
        std::thread::sleep(2 * SHORT);
        assert_eq!(peer.get("/").status, 200);
        peer.send("\r\n");
        assert!(peer.is_closed());
    });
}

#[test]
fn an_idle_connection_closes_without_a_word() {
    deadline(|| {
        let server = start_with(|limits| Limits { idle_time: SHORT, ..limits });
        assert!(Peer::of(&server).is_closed(), "one that never asked");
        let mut peer = Peer::of(&server);
        assert_eq!(peer.get("/").status, 200);
        assert!(peer.is_closed());
    });
}

#[test]
fn a_body_that_does_not_come_is_refused() {
    deadline(|| {
        let server = start_with(|limits| Limits { body_time: SHORT, ..limits });
        let mut peer = Peer::of(&server);
        peer.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        assert_eq!(peer.answer().status, 408);
        assert!(peer.is_closed());
    });
}

#[test]
fn a_handler_that_does_not_answer_is_given_up() {
    deadline(|| {
        let server = start_with(|limits| Limits { answer_time: SHORT, ..limits });
        let mut peer = Peer::of(&server);
        let answer = peer.get("/never");
        assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
        assert!(peer.is_closed());
    });
}

#[test]
fn a_peer_that_does_not_read_is_reset() {
    deadline(|| {
        let server = start_with(|limits| Limits { write_time: SHORT, ..limits });
        let mut peer = Peer::of(&server);
        peer.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4));
        crate::common::eventually("the connection is gone", || server.handle.connections() == 0);
    });
}

#[test]
fn who_finds_no_place_is_told_so() {
    deadline(|| {
        let config = config().connections_max(1);
        let server = Server::of(Engine::new(config).http("127.0.0.1:0", |_| router()));
        let mut first = Peer::of(&server);
        assert_eq!(first.get("/").status, 200);
        let mut second = Peer::of(&server);
        let answer = second.answer();
        assert_eq!((answer.status, answer.text()), (503, "Busy\n"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(second.is_closed());
        assert_eq!(first.get("/").status, 200);
    });
}

#[test]
fn a_proxy_says_who_asks() {
    deadline(|| {
        let network = "127.0.0.0/8".parse::<skyring::limit::Network>().expect("a network");
        let config = config().proxies(vec![network]);
        let server = Server::of(Engine::new(config).http("127.0.0.1:0", |_| router()));
        let mut peer = Peer::of(&server);
        peer.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(peer.answer().text(), "192.0.2.7:4711");
        assert_eq!(peer.get("/who").text(), "192.0.2.7:4711");
    });
}
