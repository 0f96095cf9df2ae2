//! What requests cost: of a client's rate, of its address's, and of a key of the user's own.

use std::sync::Arc;
use std::time::Duration;

use skyring::limit::{Limit, Rates};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::Simulation;

const ADDRESS: &str = "127.0.0.1:80";

/// Charges as much as a frame says, and answers how that went.
struct Charging;

impl Agent for Charging {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        let cost: u32 = String::from_utf8_lossy(&frame).parse().expect("a number");
        client.send(match client.charge(cost) {
            Ok(()) => "ok".to_owned(),
            Err(retry) => format!("{:?}", retry.duration()),
        })
    }
}

async fn ask(stream: &TcpStream, cost: &str) -> String {
    stream.write(format!("{cost}\n")).expect("open");
    let line = stream.read_until(b"\n", 100).await.expect("answered").expect("a line");
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

fn simulated(config: Config) -> Simulation {
    let mut sim = Simulation::new(1);
    let gate = Gate::line().agent(|_| Charging);
    sim.start(Engine::new(config).gate(ADDRESS, gate)).expect("it starts");
    sim
}

#[test]
fn the_last_token_is_given_and_one_more_is_not() {
    let mut sim = simulated(Config::new().cores(1).rate(1).burst(10));
    let talk = async {
        let stream = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        assert_eq!(ask(&stream, "10").await, "Some(1s)", "the frame has cost one");
        assert_eq!(ask(&stream, "11").await, "None", "it will never be");
        assert_eq!(ask(&stream, "7").await, "ok", "three frames, and seven");
        // Nothing is left: the next frame itself is one too many.
        stream.write("0\n").expect("open");
        assert!(stream.read().await.expect("an orderly end").is_none());
        let other = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        assert_eq!(ask(&other, "9").await, "ok", "each has a rate of its own");
    };
    sim.run(talk).expect("not stuck");
    let metrics = sim.metrics();
    assert_eq!((metrics.charges_refused, metrics.too_fast), (2, 1));
    sim.stop().expect("a clean end");
}

#[test]
fn what_an_address_has_not_left_costs_the_client_nothing() {
    let config = Config::new().cores(1).rate(1).burst(20).rate_per_ip(10).burst_per_ip(20);
    let mut sim = simulated(config);
    let talk = async {
        let first = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        assert_eq!(ask(&first, "14").await, "ok");
        let second = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        for _ in 0..3 {
            assert!(ask(&second, "5").await.starts_with("Some"), "the address has 4, 3, 2 left");
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!(ask(&second, "15").await, "ok", "its own 20 less three frames are all there");
    };
    sim.run(talk).expect("not stuck");
    assert_eq!(sim.metrics().charges_refused, 3);
    sim.stop().expect("a clean end");
}

#[test]
fn without_a_rate_nothing_costs_anything() {
    let mut sim = simulated(Config::new().cores(1));
    let talk = async {
        let stream = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        ask(&stream, "4294967295").await
    };
    assert_eq!(sim.run(talk).expect("not stuck"), "ok");
    sim.stop().expect("a clean end");
}

#[test]
fn a_key_of_ones_own_counts_over_all_cores() {
    /// Says hello to an account.
    struct Hello(Arc<Rates>);
    impl Agent for Hello {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            client.send(match self.0.take(&frame[..], skyring::now(), 1) {
                Ok(()) => "hello",
                Err(_) => "later",
            })
        }
    }
    let rates = Arc::new(Rates::new(Limit::new(6, Duration::from_secs(60), 4), 1000));
    let gate = {
        let rates = rates.clone();
        Gate::line().agent(move |_| Hello(rates.clone()))
    };
    let mut sim = Simulation::new(2);
    sim.start(Engine::new(Config::new().cores(2)).gate(ADDRESS, gate)).expect("it starts");
    let talk = async {
        let mut answers = Vec::new();
        for n in 0..12 {
            let stream = TcpStream::connect(ADDRESS).await.expect("somebody listens");
            let account = if n % 2 == 0 { "alice" } else { "bob" };
            answers.push(ask(&stream, account).await);
        }
        answers
    };
    let answers = sim.run(talk).expect("not stuck");
    assert_eq!(answers.iter().filter(|answer| *answer == "hello").count(), 8, "{answers:?}");
    assert!(answers[..8].iter().all(|answer| answer == "hello"));
    assert_eq!(rates.keys(), 2);
    sim.stop().expect("a clean end");
}
