//! A server and its clients in the simulated kernel, in bad weather, by seed.

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::support::router;

/// Requests of every kind in one go; the last one closes.
fn conversation() -> (String, Vec<&'static str>) {
    let mut wire = String::new();
    let mut expected = Vec::new();
    for _ in 0..20 {
        wire += "GET /rooms/1/users/2 HTTP/1.1\r\nHost: a\r\n\r\n";
        expected.push("200 1 2");
        wire += "POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-Sum: 9\r\n\r\n";
        expected.push("200 5 9");
        wire += "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
        expected.push("200 slow");
        wire += "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        expected.push("200 body");
        wire += "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        expected.push("200 unread");
    }
    wire += "GET /fails HTTP/1.1\r\nHost: a\r\n\r\n";
    expected.push("500 Internal server error\n");
    wire += "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    expected.push("200 Hello, World!");
    (wire, expected)
}

/// Status and body of each answer.
fn answers(mut text: &str) -> Vec<String> {
    let mut answers = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a whole head");
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let len: usize = len.expect("a length").parse().expect("a number");
        answers.push(format!("{} {}", &head[9..12], &rest[..len]));
        text = &rest[len..];
    }
    answers
}

#[test]
fn a_conversation_survives_any_weather() {
    let (wire, expected) = conversation();
    for seed in 0..40 {
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        let config = Config::new().cores(2);
        sim.start(Engine::new(config).http("127.0.0.1:80", |_| router())).expect("it starts");
        let wire = wire.clone();
        let read: Result<String> = sim
            .run(async move {
                let stream = TcpStream::connect("127.0.0.1:80").await?;
                let size = 1 + skyring::random() as usize % 300;
                for part in wire.as_bytes().chunks(size) {
                    stream.write(part)?;
                    if skyring::random().is_multiple_of(4) {
                        sleep(std::time::Duration::from_millis(1)).await;
                    }
                }
                let all = stream.read_to_end(1 << 20).await?;
                Ok(String::from_utf8_lossy(&all).into_owned())
            })
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(answers(&read), expected, "seed {seed}");
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn the_date_follows_the_clock() {
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new()).http("127.0.0.1:80", |_| router())).expect("it starts");
    let dates: Result<Vec<String>> = sim
        .run(async {
            let stream = TcpStream::connect("127.0.0.1:80").await?;
            let mut dates = Vec::new();
            for _ in 0..3 {
                stream.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")?;
                let head = stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("no answer")?;
                let text = String::from_utf8_lossy(&head).into_owned();
                let date = text.lines().find_map(|line| line.strip_prefix("date: "));
                dates.push(date.ok_or("no date")?.to_owned());
                sleep(std::time::Duration::from_millis(1500)).await;
            }
            Ok(dates)
        })
        .expect("nobody is stuck");
    let dates = dates.expect("three dates");
    let seconds: Vec<&str> = dates.iter().map(|date| &date[17..25]).collect();
    assert_eq!(seconds, ["00:00:00", "00:00:01", "00:00:03"]);
    sim.stop().expect("a clean end");
}
