//! The access log.

use std::time::Duration;

use skyring::http::{HeadLimits, Limits, Response, Router};
use skyring::prelude::*;

use crate::common::{Server, config, deadline, eventually};
use crate::events::Events;
use crate::support::{Peer, limits};

fn start() -> Server {
    let router = |_: &skyring::Core| {
        let head = HeadLimits { target_bytes_max: 40, head_bytes_max: 400, ..limits().head };
        let limits = Limits { head, body_bytes_max: 10, ..limits() };
        let limits = Limits { head_time: Duration::from_millis(40), ..limits };
        Router::new()
            .limits(limits)
            .log_access()
            .get("/logged", async |_| Ok(Response::text("Hello")))
            .get("/logged/up", async |_| {
                let serve = async |_: skyring::http::Upgraded| Ok(());
                Ok(Response::upgrade("echo", serve)?)
            })
            .post("/logged", async |mut request| {
                request.bytes().await?;
                Ok(Response::text("Hello"))
            })
    };
    Server::of(Engine::new(config()).http("127.0.0.1:0", router))
}

#[test]
fn what_is_answered_and_what_is_refused_is_in_the_log() {
    deadline(|| {
        let events = Events::capture();
        let server = start();
        let is_told = |peer: &Peer, texts: &[&str]| {
            let address = peer.stream.local_addr().expect("a socket");
            let peer = format!("peer={address};");
            let texts = [&[&*peer], texts].concat();
            eventually(&format!("{texts:?}"), || events.find(&texts) == 1);
        };
        let mut peer = Peer::of(&server);
        assert_eq!(peer.get("/logged").status, 200);
        is_told(&peer, &["method=GET;", "target=/logged;", "status=200;", "took="]);
        assert_eq!(peer.get("/logged/nowhere").status, 404);
        is_told(&peer, &["target=/logged/nowhere;", "status=404;", "took="]);
        let refused = [
            ("GET /logged/a HTTP/1.1\r\n\r\n", 400, "target=/logged/a;", "no Host"),
            ("GET /logged/b HTTP/3.0\r\nHost: a\r\n\r\n", 505, "target=/logged/b;", "speaks"),
            ("GET /logged/c HTTP/1.1\r\nHost", 408, "target=/logged/c;", "in time"),
            ("GET /logged/\x1b[2J HTTP/1.1\r\n\r\n", 400, r"target=/logged/\x1b[2J;", "why="),
            ("\x16\x03\x01\x02 /logged HTTP/1.1\r\n\r\n", 400, "", "no request"),
        ];
        for (bytes, status, target, why) in refused {
            let mut peer = Peer::of(&server);
            assert_eq!(peer.send(bytes).answer().status, status, "{bytes}");
            is_told(&peer, &[target, &format!("status={status};"), "why=", why]);
        }
        let mut peer = Peer::of(&server);
        peer.send(format!("GET /logged/{} HTTP/1.1\r\n\r\n", "d".repeat(40)));
        assert_eq!(peer.answer().status, 414);
        is_told(&peer, &["method=GET;", "target=/logged/ddd", "status=414;", "why="]);
        let mut peer = Peer::of(&server);
        peer.send(format!("GET /logged/e HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(400)));
        assert_eq!(peer.answer().status, 431);
        is_told(&peer, &["target=/logged/e;", "status=431;", "why="]);
        // With a length it is refused before the handler, in chunks by it.
        let mut peer = Peer::of(&server);
        peer.send("POST /logged HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
        assert_eq!(peer.answer().status, 413);
        is_told(&peer, &["method=POST;", "target=/logged;", "status=413;", "why="]);
        let mut peer = Peer::of(&server);
        peer.send("POST /logged HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n")
            .send("01234567890\r\n0\r\n\r\n");
        assert_eq!(peer.answer().status, 413);
        is_told(&peer, &["method=POST;", "target=/logged;", "status=413;", "took=", "too long"]);
        let mut peer = Peer::of(&server);
        peer.send(
            "GET /logged/up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        );
        assert_eq!(peer.answer().status, 101);
        is_told(&peer, &["target=/logged/up;", "status=101;", "took="]);
        assert_eq!(events.find(&["target=/logged", "took=0ns"]), 0, "a clock, not a turn");
        server.stop();
    });
}
