//! The engine stops: what was begun is finished, the rest is not begun.

use std::thread;
use std::time::Duration;

use skyring::prelude::*;

use crate::common::{Server, config, deadline};
use crate::support::{Peer, router};

#[test]
fn what_was_begun_is_finished_and_idle_connections_close() {
    deadline(|| {
        let config = config().drain(Duration::from_secs(10));
        let server = Server::of(Engine::new(config).http("127.0.0.1:0", |_| router()));
        let mut idle = Peer::of(&server);
        assert_eq!(idle.get("/").status, 200);
        let (mut slow, mut upload) = (Peer::of(&server), Peer::of(&server));
        slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        upload.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        crate::common::eventually("both are begun", || server.metrics().http_requests == 3);
        server.handle.stop();
        assert!(idle.is_closed());
        let answer = slow.answer();
        assert_eq!((answer.text(), answer.header("connection")), ("slow", Some("close")));
        thread::sleep(Duration::from_millis(20));
        let answer = upload.send("lo").answer();
        assert_eq!((answer.text(), answer.header("connection")), ("5 ", Some("close")));
        server.handle.join().expect("a clean end");
    });
}
