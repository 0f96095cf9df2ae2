//! Requests and answers: order, methods, routes, errors, versions, upgrades.

use crate::common::deadline;
use crate::support::{Peer, start};

#[test]
fn a_connection_is_used_again_and_answers_come_in_order() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        assert_eq!(peer.get("/").text(), "Hello, World!");
        let answer = peer.get("/rooms/a%20b/users/7?x=y");
        assert_eq!((answer.status, answer.text()), (200, "a b 7"));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
        assert_eq!(answer.header("connection"), None);
        let mut all = String::new();
        for n in 0..100 {
            let path = if n % 10 == 0 { "/slow".into() } else { format!("/rooms/r/users/{n}") };
            all += &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        peer.send(all);
        for n in 0..100 {
            let expected = if n % 10 == 0 { "slow".into() } else { format!("r {n}") };
            assert_eq!(peer.answer().text(), expected);
        }
        let metrics = server.metrics();
        assert_eq!((metrics.http_requests, metrics.accepted), (102, 1));
    });
}

#[test]
fn what_no_handler_answers_is_told_apart() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        assert_eq!(peer.get("/nothing").status, 404);
        assert_eq!(peer.get("/rooms/r/users").status, 404);
        let ask = |peer: &mut Peer, line: &str| {
            peer.send(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")).answer()
        };
        let answer = ask(&mut peer, "DELETE /echo");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")));
        let answer = ask(&mut peer, "OPTIONS /lines");
        assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(ask(&mut peer, "OPTIONS *").status, 204);
        assert_eq!(ask(&mut peer, "BREW /").status, 501);
        assert_eq!(ask(&mut peer, "CONNECT a:80").status, 501);
        assert_eq!(ask(&mut peer, "GET http://b/rooms/r/users/u").text(), "r u");
        assert_eq!(ask(&mut peer, "GET http://b").text(), "Hello, World!");
    });
}

#[test]
fn a_handler_that_fails_or_panics_is_answered_and_the_next_request_too() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        let answer = peer.get("/refused");
        assert_eq!((answer.status, answer.text()), (409, "not now\n"));
        let answer = peer.get("/fails");
        assert_eq!((answer.status, answer.text()), (500, "Internal server error\n"));
        let answer = peer.get("/panics");
        assert_eq!((answer.status, answer.text()), (500, "Internal server error\n"));
        assert_eq!(peer.get("/").status, 200);
        assert_eq!(server.metrics().panics, 1);
    });
}

#[test]
fn head_has_the_head_of_get_and_no_body() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        for path in ["/", "/large", "/known", "/lines"] {
            peer.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = peer.answer_to("HEAD").expect("an answer");
            let get = peer.get(path);
            assert_eq!(head.status, 200);
            for name in ["content-length", "content-type", "transfer-encoding"] {
                assert_eq!(head.header(name), get.header(name), "{path}");
            }
        }
    });
}

#[test]
fn old_peers_are_told_whether_the_connection_stays() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        let answer = peer.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
        assert_eq!(answer.header("connection"), Some("keep-alive"));
        let answer = peer.send("GET /lines HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.text().lines().count(), 1000);
        assert!(peer.is_closed());
        let mut peer = Peer::of(&server);
        let answer = peer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").answer();
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(peer.is_closed());
    });
}

#[test]
fn an_upgrade_hands_over_the_stream_with_its_unread_bytes() {
    deadline(|| {
        let server = start();
        let mut peer = Peer::of(&server);
        peer.send(
            "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly",
        );
        let answer = peer.answer();
        assert_eq!((answer.status, answer.header("upgrade")), (101, Some("echo")));
        assert_eq!(answer.header("connection"), Some("upgrade"));
        assert_eq!(peer.exactly(5), b"early");
        assert_eq!(peer.send("later").exactly(5), b"later");
        assert!(peer.finish().is_closed());
        let mut peer = Peer::of(&server);
        assert_eq!(peer.get("/up").status, 400);
    });
}

#[test]
fn what_is_left_of_a_body_is_not_taken_for_the_protocol_behind_it() {
    deadline(|| {
        let server = start();
        for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let mut peer = Peer::of(&server);
            let answer = peer
                .send(format!(
                    "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\
                     {field}\r\n\r\n"
                ))
                .answer();
            assert_eq!(answer.status, 400, "{field}: {}", answer.text());
        }
    });
}
