//! The echo server in the simulated kernel: bad weather by seed, every byte in order, a clean end.

use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::servers::echo;
use skyring::sim::{Counts, Faults, Simulation};
use skyring::{Payload, Result};

const ADDRESS: &str = "127.0.0.1:80";

fn pattern(client: usize, message: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (client * 31 + message * 7 + at) as u8).collect()
}

/// One client: `messages` frames of many sizes, a few at a time, every reply compared whole.
async fn chat(client: usize, messages: usize) -> Result<()> {
    let stream = TcpStream::connect(ADDRESS).await?;
    let size = |message: usize| message * 613 % 5000;
    for first in (0..messages).step_by(4) {
        let burst = first..(first + 4).min(messages);
        for message in burst.clone() {
            let payload = pattern(client, message, size(message));
            stream.write(&(payload.len() as u16).to_be_bytes())?;
            stream.write(Payload::from(payload))?;
        }
        for message in burst {
            let head = stream.read_exact(2).await?;
            let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
            assert_eq!(len, size(message));
            let reply = stream.read_exact(len).await?;
            assert_eq!(reply[..], pattern(client, message, len), "client {client}");
        }
    }
    stream.finish();
    assert_eq!(stream.read().await?, None, "the server ends after us");
    Ok(())
}

/// Runs `clients` against an echo server on two cores; returns what went wrong and a digest.
fn storm(seed: u64, faults: Faults, config: Config, clients: usize) -> Result<(Counts, u64)> {
    let mut sim = Simulation::new(seed).weather(faults);
    sim.start(echo::engine(config.cores(2), ADDRESS, LengthPrefix::U16.into()))?;
    sim.run(async move {
        let tasks: Vec<_> = (0..clients).map(|client| spawn(chat(client, 24))).collect();
        for task in tasks {
            task.await.expect("no client panics")?;
        }
        Ok::<(), Error>(())
    })??;
    let outcome = (sim.counts(), sim.fingerprint());
    sim.stop()?;
    Ok(outcome)
}

#[test]
fn fair_weather_loses_nothing_and_ends_clean() {
    storm(1, Faults::default(), Config::new(), 8).expect("everything came home");
}

#[test]
fn bad_weather_loses_no_byte_on_any_seed() {
    let mut all = Counts::default();
    for seed in 0..40 {
        let (counts, _) = storm(seed, Faults::bad_weather(), Config::new(), 6)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        all.short_receives += counts.short_receives;
        all.short_sends += counts.short_sends;
        all.no_buffers += counts.no_buffers;
        all.lost_mores += counts.lost_mores;
        all.accept_errors += counts.accept_errors;
        all.reordered += counts.reordered;
    }
    let happened = [
        all.short_receives,
        all.short_sends,
        all.no_buffers,
        all.lost_mores,
        all.accept_errors,
        all.reordered,
    ];
    assert!(happened.iter().all(|&count| count > 0), "weather that never comes: {all:?}");
}

#[test]
fn a_pool_of_eight_blocks_serves_many_clients() {
    let config = || Config::new().pool_blocks(8).pool_block_bytes(1024).receive_bytes_max(4096);
    let mut starved = 0;
    for seed in 100..110 {
        let (counts, _) = storm(seed, Faults::bad_weather(), config(), 20)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        starved += counts.starved + counts.no_buffers;
    }
    assert!(starved > 0, "a small pool starves");
}

#[test]
fn a_lagging_agent_behind_a_small_mailbox_loses_nothing() {
    struct Slow;
    impl Agent for Slow {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            sleep(Duration::from_millis(3)).await;
            client.send(frame)
        }
    }
    for seed in 200..210 {
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        let config =
            Config::new().cores(1).mailbox_max(2).pool_block_bytes(1024).receive_bytes_max(2048);
        let gate = Gate::framed(LengthPrefix::U16).agent(|_client| Slow);
        sim.start(Engine::new(config).gate(ADDRESS, gate)).expect("it starts");
        let chats = async {
            let other = spawn(chat(1, 24));
            chat(0, 24).await?;
            other.await.expect("no panic")
        };
        sim.run(chats).expect("not stuck").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(sim.metrics().paused > 0, "an agent that lags stops the reads");
        sim.stop().expect("everything came home");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let run = |seed| storm(seed, Faults::bad_weather(), Config::new(), 4).expect("it passes").1;
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn a_client_that_waits_for_nothing_is_stuck_not_hung() {
    let mut sim = Simulation::new(3);
    let stuck = sim.run(std::future::pending::<()>()).expect_err("nothing will happen");
    assert!(stuck.to_string().contains("seed 3"), "{stuck}");
}

#[test]
fn connections_broken_by_a_storm_end_counted_and_clean() {
    let mut resets = 0;
    for seed in 300..330 {
        let mut sim = Simulation::new(seed).weather(Faults::storm());
        let engine = echo::engine(Config::new().cores(2), ADDRESS, LengthPrefix::U16.into());
        sim.start(engine).expect("it starts");
        let crowd = async {
            let tasks: Vec<_> = (0..6).map(|client| spawn(chat(client, 24))).collect();
            for task in tasks {
                // A broken connection is an error of its own client, never a wrong byte.
                let _ = task.await.expect("no client reads a wrong byte");
            }
        };
        sim.run(crowd).expect("not stuck");
        resets += sim.counts().resets;
        let metrics = sim.metrics();
        sim.stop().unwrap_or_else(|error| panic!("{error}"));
        assert!(metrics.closed <= metrics.accepted + metrics.connected);
    }
    assert!(resets > 0, "a storm breaks connections");
}
