//! Connections: kept, shared, bounded, and never used when they are spoilt.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use skyring::http::{Client, ClientError, ClientLimits};
use skyring::prelude::*;

use crate::support::{Act, BASE, Script, alone, ok, say, url, with_server};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_connection_serves_requests_in_a_row() {
    alone(async {
        let script = Script::start(80, vec![ok("a"), ok("b"), ok("c")])?;
        let client = Client::new();
        for expected in ["a", "b", "c"] {
            assert_eq!(client.clone().get(BASE).await?.text().await?, expected);
        }
        assert_eq!(script.connections.get(), 1);
        Ok(())
    });
}

#[test]
fn a_connection_that_the_server_ends_is_not_used_again() {
    alone(async {
        let closing = Act::SayAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na".to_vec());
        let told = say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc");
        let old = say("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nd");
        let until_end = Act::SayAndClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec());
        let script = Script::start(80, vec![closing, ok("b"), told, old, until_end, ok("f")])?;
        let client = Client::new();
        for expected in ["a", "b", "c", "d", "until the end", "f"] {
            assert_eq!(client.get(BASE).await?.text().await?, expected);
            sleep(SECOND).await;
        }
        // "b" and "c" share one.
        assert_eq!(script.connections.get(), 5);
        Ok(())
    });
}

#[test]
fn a_request_that_meets_a_dying_connection_is_sent_again_if_that_does_no_harm() {
    for (method, is_sent_again) in
        [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
    {
        for end in [Act::Reset, Act::SayAndClose(Vec::new())] {
            alone(async move {
                let script = Script::start(80, vec![ok("a"), end, ok("b")])?;
                let client = Client::new();
                client.get(BASE).await?.text().await?;
                let answered = client.request(method, BASE).body("x").await;
                assert_eq!(answered.is_ok(), is_sent_again, "{method}: {answered:?}");
                let expected = if is_sent_again { 3 } else { 2 };
                assert_eq!(script.heads.borrow().len(), expected, "{method}");
                Ok(())
            });
        }
    }
}

#[test]
fn a_fresh_connection_that_dies_is_not_tried_again() {
    alone(async {
        let script = Script::start(80, vec![Act::Reset, ok("b")])?;
        let error = Client::new().get(BASE).await.expect_err("reset");
        assert!(matches!(error, ClientError::Broken(_)), "{error:?}");
        assert_eq!(script.heads.borrow().len(), 1);
        Ok(())
    });
}

#[test]
fn half_an_answer_is_never_asked_for_again() {
    alone(async {
        let half = Act::SayAndClose(b"HTTP/1.1 200 O".to_vec());
        let script = Script::start(80, vec![ok("a"), half, ok("b")])?;
        let client = Client::new();
        client.get(BASE).await?.text().await?;
        let error = client.get(BASE).await.expect_err("half an answer");
        assert!(matches!(error, ClientError::Ended), "{error:?}");
        assert_eq!(script.heads.borrow().len(), 2);
        Ok(())
    });
}

#[test]
fn what_comes_unasked_spoils_a_connection() {
    alone(async {
        let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
        let two = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na{extra}");
        let late = Act::Drip(
            format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{extra}").into(),
            SECOND / 100,
        );
        let script = Script::start(80, vec![say(&two), late, ok("c")])?;
        let client = Client::new();
        assert_eq!(client.get(BASE).await?.text().await?, "a");
        assert_eq!(client.get(BASE).await?.text().await?, "");
        sleep(2 * SECOND).await;
        assert_eq!(client.get(BASE).await?.text().await?, "c", "never what was forged");
        assert_eq!(script.connections.get(), 3);
        Ok(())
    });
}

#[test]
fn a_response_that_is_dropped_midway_poisons_nothing() {
    with_server(async |client| {
        for _ in 0..20 {
            let mut response = client.get(url("/lines")).await?;
            response.body().read().await?;
            drop(response);
            drop(client.get(url("/large")).await?);
            let request = client.get(url("/slow")).send();
            assert!(request.within(Duration::from_millis(5)).await.is_err());
            assert_eq!(client.get(BASE).await?.text().await?, "Hello, World!");
        }
        Ok(())
    });
}

#[test]
fn an_answer_that_has_come_need_not_be_read_to_keep_its_connection() {
    alone(async {
        let script = Script::start(80, vec![ok("a"), ok("b"), ok("c")])?;
        let client = Client::new();
        for _ in 0..3 {
            assert_eq!(client.get(BASE).await?.status(), 200);
        }
        assert_eq!(script.connections.get(), 1);
        Ok(())
    });
}

#[test]
fn a_kept_connection_closes_when_nobody_uses_it() {
    alone(async {
        let script = Script::start(80, vec![ok("a"), ok("b"), ok("c")])?;
        let client = Client::with(ClientLimits { idle_time: 10 * SECOND, ..Default::default() });
        client.get(BASE).await?.text().await?;
        sleep(9 * SECOND).await;
        client.get(BASE).await?.text().await?;
        assert_eq!(script.connections.get(), 1);
        sleep(11 * SECOND).await;
        client.get(BASE).await?.text().await?;
        assert_eq!(script.connections.get(), 2);
        Ok(())
    });
}

#[test]
fn a_client_that_is_gone_leaves_no_connection() {
    alone(async {
        let script =
            Script::start(80, vec![ok("a"), say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb")])?;
        let client = Client::new();
        client.get(BASE).await?.text().await?;
        let mut response = client.get(BASE).await?;
        drop(client);
        assert_eq!(&response.body().read().await?.ok_or("a piece")?[..], b"b");
        drop(response);
        assert_eq!(script.connections.get(), 1);
        Ok(())
    }); // which asserts that every descriptor is closed
}

/// Asks so many at once; how many came back, and how many were refused.
async fn crowd(client: &Client, count: usize, path: &str) -> (usize, usize) {
    let done = Rc::new((Cell::new(0), Cell::new(0)));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (client, done, url) = (client.clone(), done.clone(), url(path));
            spawn(async move {
                match client.get(url).await {
                    Ok(mut response) => {
                        response.bytes().await.expect("a body");
                        done.0.set(done.0.get() + 1);
                    }
                    Err(ClientError::Busy { .. }) => done.1.set(done.1.get() + 1),
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    (done.0.get(), done.1.get())
}

#[test]
fn connections_to_an_origin_are_bounded_and_shared_in_turn() {
    with_server(async |_| {
        let limits = ClientLimits { connections_per_origin_max: 3, ..Default::default() };
        let client = Client::with(limits);
        let before = skyring::now();
        assert_eq!(crowd(&client, 12, "/slow").await, (12, 0));
        // Three at a time, 50 ms each.
        let took = skyring::now().since(before).as_millis();
        assert!((200..260).contains(&took), "{took} ms");
        Ok(())
    });
}

#[test]
fn the_last_that_may_wait_waits_and_the_next_is_refused() {
    with_server(async |_| {
        let limits =
            ClientLimits { connections_per_origin_max: 2, waiting_max: 3, ..Default::default() };
        let client = Client::with(limits);
        assert_eq!(crowd(&client, 5, "/slow").await, (5, 0));
        assert_eq!(crowd(&client, 6, "/slow").await, (5, 1));
        Ok(())
    });
}

#[test]
fn a_kept_connection_gives_way_to_another_origin() {
    alone(async {
        let one = Script::start(80, vec![ok("a"), ok("c")])?;
        let two = Script::start(81, vec![ok("b")])?;
        let client = Client::with(ClientLimits { connections_max: 1, ..Default::default() });
        assert_eq!(client.get(BASE).await?.text().await?, "a");
        assert_eq!(client.get("http://127.0.0.1:81").await?.text().await?, "b");
        assert_eq!(client.get(BASE).await?.text().await?, "c");
        assert_eq!((one.connections.get(), two.connections.get()), (2, 1));
        Ok(())
    });
}

#[test]
fn who_gives_up_waiting_loses_nobody_his_turn() {
    with_server(async |_| {
        let limits = ClientLimits { connections_max: 1, ..Default::default() };
        let client = Client::with(limits);
        let first = spawn({
            let client = client.clone();
            async move { client.get(url("/slow")).await.map(|response| response.status()) }
        });
        sleep(Duration::from_millis(1)).await;
        let impatient = client.get(BASE).send().within(Duration::from_millis(10));
        let patient = spawn({
            let client = client.clone();
            async move { client.get(BASE).await.map(|response| response.status()) }
        });
        assert!(impatient.await.is_err(), "it waits behind the slow one");
        assert_eq!((first.await??, patient.await??), (200, 200));
        Ok(())
    });
}
