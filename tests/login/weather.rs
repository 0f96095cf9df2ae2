//! Clients that lose their connections at random, in bad weather: each request is handled once, and
//! answered once.

use std::collections::HashMap;
use std::time::Duration;

use skyring::login::{Code, Event, LoginError, Requester};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::{random, spawn};

use super::support::*;

const REQUESTS: u32 = 120;

/// What a client asks, of many sizes: up to 6 KB.
fn text(user: &str, number: u32) -> String {
    format!("{user} {number} {}", "x".repeat((number * number) as usize % 6000))
}

/// Logs in however often it takes.
async fn login_at_last(user: &str) -> Requester {
    loop {
        let attempt = within(Duration::from_secs(20), login(&format!("{user}:secret"))).await;
        if let Ok(Ok(Ok(session))) = attempt {
            return Requester::new(session);
        }
    }
}

/// A connection's life: until it breaks, or is broken.
async fn converse(
    client: &mut Requester,
    replies: &mut HashMap<u32, u32>,
    stream: &TcpStream,
    user: &str,
) -> Result<()> {
    while replies.len() < REQUESTS as usize {
        for _ in 0..random() % 4 {
            let made = replies.len() + client.open();
            if made < REQUESTS as usize {
                // `Full` is an answer: some reply comes first.
                let _ = client.request(text(user, made as u32 + 1).as_bytes());
            }
        }
        send_all(client, stream).await?;
        if random().is_multiple_of(20) {
            return Ok(()); // it loses its connection
        }
        if client.open() == 0 {
            continue;
        }
        let frame = match within(Duration::from_secs(20), read(stream)).await {
            Ok(frame) => frame?,
            Err(_) => return Ok(()),
        };
        match client.receive(&frame)? {
            Some(Event::Reply { number, code: Code::Ok, payload }) => {
                assert_eq!(payload, text(user, number));
                assert_eq!(replies.insert(number, 1), None, "once");
            }
            Some(other) => panic!("{other:?}"),
            None => panic!("a reply came twice on one connection"),
        }
    }
    Ok(())
}

async fn live(user: String) {
    let mut client = login_at_last(&user).await;
    let mut replies = HashMap::new();
    while replies.len() < REQUESTS as usize {
        match within(Duration::from_secs(20), resume(&mut client)).await {
            Ok(Ok(Ok(stream))) => {
                let _ = converse(&mut client, &mut replies, &stream, &user).await;
                client.lost();
            }
            Ok(Ok(Err(LoginError::Refused(Code::Busy)))) => {}
            Ok(Ok(Err(error))) => panic!("{user}: {error}"),
            Ok(Err(_)) | Err(_) => client.lost(),
        }
    }
}

fn storm(seed: u64, faults: Faults) -> u64 {
    let log = Log::default();
    // Room for all replies that may be open: none is forgotten.
    let games = games(&log).replies_bytes_max(128 * 6100);
    let mut sim = Simulation::new(seed).weather(faults);
    sim.start(engine(&games, login_server(&games))).expect("it starts");
    sim.run(async {
        let lives: Vec<_> = (0..4).map(|n| spawn(live(format!("user{n}")))).collect();
        for life in lives {
            life.await.expect("no client panics");
        }
    })
    .unwrap_or_else(|stuck| panic!("{stuck}"));
    let mut handled: HashMap<String, u32> = HashMap::new();
    let mut lost = 0;
    for text in noted(&log) {
        let number = text.split(' ').nth(1).and_then(|number| number.parse::<u32>().ok());
        match number {
            Some(_) => *handled.entry(text).or_default() += 1,
            None => lost += u64::from(text == "lost"),
        }
    }
    assert_eq!(handled.len(), 4 * REQUESTS as usize, "seed {seed}");
    assert!(handled.values().all(|&times| times == 1), "seed {seed}: handled twice");
    sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    lost
}

#[test]
fn each_request_is_handled_once_and_answered_once_on_any_seed() {
    let mut lost = 0;
    for seed in 0..12 {
        lost += storm(seed, Faults::default());
        lost += storm(seed, Faults::bad_weather());
        lost += storm(seed, Faults::storm());
    }
    assert!(lost > 100, "connections are lost: {lost}");
}

#[test]
fn a_run_is_repeated_by_its_seed() {
    let digest = || {
        let log = Log::default();
        let games = games(&log);
        let mut sim = Simulation::new(77).weather(Faults::storm());
        sim.start(engine(&games, login_server(&games))).expect("it starts");
        sim.run(live("ann".into())).expect("not stuck");
        sim.fingerprint()
    };
    assert_eq!(digest(), digest());
}
