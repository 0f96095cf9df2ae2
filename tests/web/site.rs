//! The page, its API, its echo and its figures.

use serde_json::Value;
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::Faults;
use skyring::websocket;

use crate::rooms::start;

const ADDRESS: &str = "127.0.0.1:80";

/// One request of its own connection, and the answer whole.
async fn ask(head: &str, body: &str) -> Result<String> {
    let stream = TcpStream::connect(ADDRESS).await?;
    let len = body.len();
    stream.write(format!(
        "{head} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}"
    ))?;
    Ok(String::from_utf8_lossy(&stream.read_to_end(1 << 20).await?).into_owned())
}

#[test]
fn the_page_comes_whole_and_may_load_nothing_from_elsewhere() {
    let mut sim = start(1, Faults::bad_weather());
    let visit = async {
        let page = ask("GET /", "").await?;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("content-security-policy: default-src 'self';"), "{page}");
        assert!(page.contains("01 Jan 2026 00:00"), "it has the time: {page}");
        assert!(page.ends_with("</html>\n"), "{page}");
        for part in ["page.css", "page.js"] {
            assert!(page.contains(&format!("\"{part}\"")), "the page asks for {part}");
            let part = ask(&format!("GET /{part}"), "").await?;
            assert!(part.starts_with("HTTP/1.1 200 OK\r\n"), "{part}");
        }
        assert!(ask("GET /else", "").await?.starts_with("HTTP/1.1 404 "));
        Ok::<(), Error>(())
    };
    sim.run(visit).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

#[test]
fn the_api_sums_up_and_says_what_is_wrong() {
    let mut sim = start(1, Faults::default());
    let visit = async {
        let sum = ask("POST /api/data", r#"{"numbers":[1,2,4.5]}"#).await?;
        assert!(sum.ends_with(r#"{"count":3,"sum":7.5,"mean":2.5,"min":1.0,"max":4.5}"#), "{sum}");
        for (wrong, why) in [
            (r#"{"numbers":[]}"#, "There are no numbers in it."),
            (r#"{"numbers":"#, "line 1"),
            (r#"{"numbers":[1e308,1e308]}"#, "Their sum is too large"),
            (r#"{"numbers":["1"]}"#, "invalid type"),
            ("", "line 1"),
        ] {
            let answer = ask("POST /api/data", wrong).await?;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(why), "{answer}");
        }
        assert!(ask("GET /api/data", "").await?.starts_with("HTTP/1.1 405 "));
        Ok::<(), Error>(())
    };
    sim.run(visit).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

/// The figures of the next event.
async fn figures(events: &TcpStream) -> Result<Value> {
    events.read_until(b"data: ", 4096).await?;
    let json = events.read_until(b"\n\n", 4096).await?.ok_or("the figures have ended")?;
    serde_json::from_slice(&json).map_err(|error| Error::from(error.to_string()))
}

#[test]
fn the_figures_of_all_cores_come_each_second_and_end_with_the_engine() {
    let mut sim = start(4, Faults::default());
    let visit = async {
        let events = TcpStream::connect(ADDRESS).await?;
        events.write("GET /live HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let first = figures(&events).await?;
        let echo = websocket::connect(format!("ws://{ADDRESS}/ws")).await?;
        for n in 0..10 {
            echo.send(format!("{n}"))?;
            assert_eq!(echo.read().await?.ok_or("no echo")?.as_text(), Some(&*format!("{n}")));
        }
        for _ in 0..3 {
            figures(&events).await?;
        }
        let last = figures(&events).await?;
        assert_eq!(last["cores"], 2);
        let grown = |name: &str| last[name].as_u64() > first[name].as_u64();
        assert!(grown("up_ms") && grown("requests"), "{first} {last}");
        // The client of this test is on another engine, so these are the server's.
        assert_eq!(last["messages"], 10);
        assert!(last["connections"].as_u64() >= Some(2), "{last}");
        Ok::<TcpStream, Error>(events)
    };
    let events = sim.run(visit).expect("not stuck").expect("no error");
    let (told, tells) = std::sync::mpsc::channel();
    let listen = async move {
        spawn(async move { told.send(events.read_to_end(1 << 20).await.map(|end| end.to_vec())) });
    };
    sim.run(listen).expect("not stuck");
    sim.stop().expect("everything came home");
    let end = tells.recv().expect("it ends").expect("in order");
    assert!(end.ends_with(b"0\r\n\r\n"), "the last chunk: {}", end.escape_ascii());
}
