//! Requests of every kind to skyring's own server.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use skyring::http::{Client, ClientError};
use skyring::prelude::*;
use skyring::sim::Simulation;

use crate::common::pattern;
use crate::support::{BASE, router, url, with_server};

#[test]
fn a_page_is_asked_for() {
    with_server(async |client| {
        let mut response = client.get(BASE).await?;
        assert_eq!((response.status(), response.is_success()), (200, true));
        assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.text().await?, "Hello, World!");
        assert_eq!(response.url().to_string(), "http://127.0.0.1/");
        assert!(response.body().read().await?.is_none(), "the end stays the end");
        let mut refused = client.get(url("/refused")).await?;
        assert_eq!((refused.status(), &*refused.text().await?), (409, "not now\n"));
        assert_eq!(client.get(url("/nowhere")).await?.status(), 404);
        let mut empty = client.get(url("/empty")).await?;
        assert_eq!((empty.status(), empty.bytes().await?.len()), (204, 0));
        Ok(())
    });
}

#[test]
fn a_request_says_what_it_was_told_to() {
    with_server(async |client| {
        let mut response = client
            .get(url("/show?x=1"))
            .query(&[("name", "a b&c"), ("n", "2")])
            .header("x-y", "z")
            .header("user-agent", "test")
            .header("accept-encoding", "identity")
            .await?;
        let expected = "GET /show?x=1&name=a+b%26c&n=2\nhost: 127.0.0.1\nx-y: z\n\
                        user-agent: test\naccept-encoding: identity\n";
        assert_eq!(response.text().await?, expected);
        let mut response = client.delete(url("/show")).await?;
        assert!(response.text().await?.starts_with("DELETE /show\n"));
        let mut response = client.put(url("/show")).body("text").await?;
        assert!(response.text().await?.ends_with("content-length: 4\ntext"));
        let mut response = client.request("OPTIONS", url("/show")).await?;
        assert_eq!((response.status(), response.bytes().await?.len()), (204, 0));
        Ok(())
    });
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Message {
    text: String,
}

#[test]
fn json_and_forms_go_out_and_json_comes_in() {
    with_server(async |client| {
        let message = Message { text: "h\u{e9}".into() };
        let mut response = client.post(url("/echo")).json(&message).await?;
        assert_eq!(response.json::<Message>().await?, message);
        let mut response = client.post(url("/show")).form(&message).await?;
        let shown = response.text().await?;
        assert!(shown.contains("content-type: application/x-www-form-urlencoded\n"), "{shown}");
        assert!(shown.ends_with("text=h%C3%A9"), "{shown}");
        // What a body is says the user, before or behind it, and once: a second one is refused.
        let own = "application/problem+json";
        let posted = || client.post(url("/show"));
        for request in [
            posted().header("Content-Type", own).json(&message),
            posted().json(&message).header("content-type", own),
            posted().header("content-type", "a/b").header("content-type", own).form(&message),
        ] {
            let shown = request.await?.text().await?;
            assert!(shown.contains(&format!("content-type: {own}\n")), "{shown}");
        }
        let mut response = client.get(BASE).await?;
        let error = response.json::<Message>().await.expect_err("no JSON");
        assert!(matches!(error, ClientError::NotJson(_)), "{error}");
        Ok(())
    });
}

#[test]
fn an_answer_to_head_has_no_body_and_its_connection_goes_on() {
    with_server(async |client| {
        for _ in 0..3 {
            let mut head = client.head(url("/large")).await?;
            assert_eq!(head.header("content-length"), Some("3145728"));
            assert_eq!(head.bytes().await?.len(), 0);
            assert_eq!(client.get(BASE).await?.text().await?, "Hello, World!");
        }
        Ok(())
    });
}

#[test]
fn bodies_of_any_size_go_out_and_come_back() {
    with_server(async |client| {
        for len in [0, 1, 4096, 65_536, 65_537, 300_000, 1 << 20] {
            let body: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let mut response = client.post(url("/echo")).body(body.clone()).await?;
            assert!(response.bytes().await? == Frame::from(body), "{len}");
        }
        assert_eq!(client.get(url("/large")).await?.bytes().await?.len(), 3 << 20);
        Ok(())
    });
}

#[test]
fn a_stream_comes_in_with_trailers() {
    with_server(async |client| {
        let mut response = client.get(url("/lines")).await?;
        let mut lines = 0;
        while let Some(piece) = response.body().read().await? {
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
        }
        assert_eq!(lines, 1000);
        assert_eq!(response.body().trailer("X-Lines").as_deref(), Some("1000"));
        assert_eq!(response.body().trailer("x-other"), None);
        Ok(())
    });
}

#[test]
fn a_stream_goes_out_in_chunks_or_by_length() {
    with_server(async |client| {
        let mut response = client
            .post(url("/length"))
            .stream(async |out| {
                for _ in 0..1000 {
                    out.write(vec![b'x'; 700]).await?;
                }
                out.trailer("x-sum", "9")
            })
            .await?;
        assert_eq!(response.text().await?, "700000 9");
        let write = async |out: &mut skyring::http::Outgoing| out.write("12345").await;
        let mut response = client.post(url("/length")).stream(write).length(5).await?;
        assert_eq!(response.text().await?, "5 ");
        for len in [4, 6] {
            let request = client.post(url("/length")).stream(write).length(len);
            let error = request.await.expect_err("another length");
            assert!(matches!(error, ClientError::Writer(_)), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_body_is_written_while_its_answer_is_read() {
    with_server(async |client| {
        let (pieces, mut response) = {
            let pieces = std::rc::Rc::new(std::cell::Cell::new(0));
            let count = pieces.clone();
            let request = client.post(url("/both")).stream(async move |out| {
                while count.get() < 5 {
                    out.write(format!("piece {}", count.get())).await?;
                    let before = count.get();
                    while count.get() == before {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
                Ok(())
            });
            (pieces, request.await?)
        };
        for n in 0..5 {
            let piece = response.body().read().await?.ok_or("a piece")?;
            assert_eq!(&piece[..], format!("piece {n}").as_bytes());
            pieces.set(n + 1);
        }
        assert!(response.body().read().await?.is_none());
        assert_eq!(response.body().trailer("x-end").as_deref(), Some("yes"));
        Ok(())
    });
}

#[test]
fn what_writes_a_body_may_fail_or_panic() {
    with_server(async |client| {
        let failing = client.post(url("/length")).stream(async |out| {
            out.write("part").await?;
            Err("the disk is gone".into())
        });
        let error = failing.await.expect_err("half a body");
        assert_eq!(error.to_string(), "the body could not be written: the disk is gone");
        let panicking = client.post(url("/length")).stream(async |_| panic!("a defect"));
        let error = panicking.await.expect_err("no body");
        assert!(matches!(error, ClientError::Writer(_)), "{error}");
        assert_eq!(client.get(BASE).await?.status(), 200);
        Ok(())
    });
}

#[test]
fn a_server_that_wants_no_body_is_asked_before() {
    with_server(async |client| {
        let body = vec![b'x'; 1 << 19];
        let mut wanted = client.post(url("/length")).body(body.clone()).expect_continue().await?;
        assert_eq!(wanted.text().await?, "524288 ");
        let mut refused = client.post(url("/refuse")).body(body).expect_continue().await?;
        assert_eq!((refused.status(), &*refused.text().await?), (413, "too much"));
        assert_eq!(client.get(BASE).await?.status(), 200);
        Ok(())
    });
}

#[cfg(feature = "gzip")]
#[test]
fn a_body_comes_packed_and_is_unpacked() {
    with_server(async |client| {
        let expected = "compress me ".repeat(600);
        let mut response = client.get(url("/text")).await?;
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        assert_eq!(response.text().await?, expected);
        let mut plain = client.get(url("/text")).header("accept-encoding", "identity").await?;
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.text().await?, expected);
        // Who asks for it himself unpacks it himself.
        let mut packed = client.get(url("/text")).header("accept-encoding", "gzip").await?;
        assert!(packed.bytes().await?.starts_with(b"\x1f\x8b"));
        let head = client.head(url("/text")).await?;
        assert_eq!(head.status(), 200);
        Ok(())
    });
}

#[test]
fn what_is_wrong_with_a_request_shows_when_it_is_sent() {
    with_server(async |client| {
        let fails = async |request: skyring::http::ClientRequest| {
            request.await.expect_err("it cannot be sent").to_string()
        };
        let text = fails(client.get("example.org")).await;
        assert_eq!(
            text,
            "\"example.org\" is no URL to ask for: write http://host/path or https://"
        );
        let text = fails(client.get(BASE).header("a", "b\r\nc: d")).await;
        assert!(text.contains("control character"), "{text}");
        let text = fails(client.get(BASE).header("content-length", "7")).await;
        assert!(text.contains("written by the engine"), "{text}");
        let text = fails(client.request("CONNECT", BASE)).await;
        assert!(text.contains("no method"), "{text}");
        let text = fails(client.request("GET /x", BASE)).await;
        assert!(text.contains("no method"), "{text}");
        let text = fails(client.get("http://127.0.0.1:81/")).await;
        assert!(text.contains("cannot connect to 127.0.0.1:81"), "{text}");
        Ok(())
    });
}

#[test]
fn a_body_that_is_longer_than_the_send_queue_leaves_in_parts() {
    let small = Config::new().cores(1).frame_bytes_max(500).send_warn_bytes(0);
    let mut sim = Simulation::new(7);
    sim.start(Engine::new(small.send_queue_bytes_max(1024)).http("127.0.0.1:80", |_| router()))
        .expect("it starts");
    let ended = sim.run_on(0, async {
        let client = Client::new();
        for len in [256, 257, 1000, 5000, 100_000] {
            let bytes = pattern(len, len);
            let sent = client.post(url("/echo")).body(bytes.clone()).await?.bytes().await?;
            assert_eq!(sent[..], bytes[..], "{len}");
            let write = bytes.clone();
            let request = client.post(url("/echo")).stream(async move |out| out.write(write).await);
            assert_eq!(request.await?.bytes().await?[..], bytes[..], "{len}");
        }
        Ok::<(), Error>(())
    });
    ended.expect("nobody is stuck").unwrap_or_else(|error| panic!("{error}"));
}
