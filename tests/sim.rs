//! The echo server in the simulated kernel: bad weather by seed, every byte in order, a clean end.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use skyring::net::{FlushError, TcpListener, TcpStream};
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
fn busy_time_is_virtual_and_no_wait_is_busy() {
    let mut sim = Simulation::new(9);
    let engine = echo::engine(Config::new().cores(2), ADDRESS, LengthPrefix::U16.into());
    sim.start(engine).expect("it starts");
    let hour = Duration::from_secs(3600);
    let client = async move {
        chat(0, 8).await.expect("served");
        sleep(hour).await;
        chat(1, 8).await.expect("served");
    };
    sim.run(client).expect("not stuck");
    let metrics = sim.metrics();
    assert!(u128::from(metrics.up_ns) >= hour.as_nanos(), "{metrics:?}");
    assert!(u128::from(metrics.busy_ns) < Duration::from_secs(1).as_nanos(), "{metrics:?}");
    assert_eq!((metrics.slow_turns, metrics.stalls, metrics.cpu_ns), (0, 0, 0));
    assert_eq!(metrics.residents, 2, "a listener a core");
    sim.stop().expect("a clean end");
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

/// An engine whose one task accepts a client, reads a little each second, and notes what it read.
fn sipping(sip: usize, noted: Arc<Mutex<Vec<u8>>>) -> Engine {
    // Two blocks: its core takes little ahead of its task.
    let config =
        Config::new().cores(1).receive_bytes_max(1024).pool_blocks(2).pool_block_bytes(1024);
    Engine::new(config).setup(move |_| {
        let listener = TcpListener::bind(ADDRESS)?;
        let noted = noted.clone();
        spawn(async move {
            let stream = listener.accept().await.expect("a client comes");
            if sip == 0 {
                return std::future::pending().await;
            }
            while let Ok(bytes) = stream.read_exact(sip).await {
                noted.lock().expect("no panic under it").extend_from_slice(&bytes);
                sleep(Duration::from_secs(1)).await;
            }
        });
        Ok(())
    })
}

/// Closes a stream with `bytes` in its queue. How that went, after how long, and what was read.
fn close_on(sip: usize, bytes: Vec<u8>) -> (Result<(), FlushError>, Duration, Vec<u8>) {
    // A third of it, which must be free before a send goes on, is read in 16 seconds.
    let faults = Faults { socket_bytes_max: 24_000, ..Faults::default() };
    let mut sim = Simulation::new(400).weather(faults);
    let noted = Arc::new(Mutex::new(Vec::new()));
    sim.start(sipping(sip, noted.clone())).expect("it starts");
    let close = async move {
        let stream = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        stream.write(bytes).expect("below the cap");
        stream.close().await
    };
    let closed = sim.run(close).expect("not stuck");
    let after = sim.now();
    sim.run(sleep(Duration::from_secs(120))).expect("the reader reads on");
    sim.stop().expect("everything came home");
    let read = std::mem::take(&mut *noted.lock().expect("no panic under it"));
    (closed, after, read)
}

#[test]
fn a_peer_that_sips_gets_all_of_a_closing_connection() {
    let bytes = pattern(1, 2, 54_000);
    let (closed, after, read) = close_on(500, bytes.clone());
    closed.expect("it takes a little each second");
    assert!(after > Duration::from_secs(60), "{after:?}");
    assert!(read == bytes, "{} of 54,000", read.len());
}

#[test]
fn a_peer_that_takes_nothing_of_a_closing_connection_is_given_up() {
    let (closed, after, _) = close_on(0, pattern(1, 2, 54_000));
    let Err(FlushError::Failed(why)) = closed else { panic!("given up: {closed:?}") };
    assert_eq!(why.kind(), std::io::ErrorKind::TimedOut);
    assert!((10..13).contains(&after.as_secs()), "{after:?}");
}

#[test]
fn a_client_is_idle_from_when_its_agent_has_caught_up() {
    struct Slow;
    impl Agent for Slow {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            sleep(Duration::from_millis(100)).await;
            client.send(frame)
        }
    }
    // The limit is looked at between two frames, and in the midst of the last one.
    for (frames, idle) in [(13, 300), (4, 350)] {
        let idle = Duration::from_millis(idle);
        let mut sim = Simulation::new(500);
        let gate = Gate::framed(LengthPrefix::U16).agent(|_| Slow);
        sim.start(Engine::new(Config::new().cores(1).idle(idle)).gate(ADDRESS, gate))
            .expect("starts");
        let stream = sim.run(async move {
            let stream = TcpStream::connect(ADDRESS).await.expect("connected");
            // All in one receive.
            stream.write(b"\0\x01x".repeat(frames)).expect("below the cap");
            stream.read_exact(frames * 3).await.expect("answered");
            stream
        });
        let answered = sim.now();
        let end = sim.run(async move { stream.expect("not stuck").read().await });
        assert!(!matches!(end.expect("not stuck"), Ok(Some(_))), "no more comes");
        let silent = sim.now() - answered;
        assert!(silent >= idle - Duration::from_millis(1) && silent < idle * 2, "{silent:?}");
        sim.stop().expect("everything came home");
    }
}

/// Calls that block, beside a task that counts; the order in which they were done.
fn blocking_calls(seed: u64) -> (Vec<u32>, Duration, u64) {
    let mut sim = Simulation::new(seed);
    let order = Arc::new(Mutex::new(Vec::new()));
    let done = order.clone();
    sim.run(async move {
        let calls: Vec<_> = (0..8)
            .map(|n| {
                let done = done.clone();
                spawn(async move {
                    skyring::blocking(move || done.lock().expect("whole").push(n)).await
                })
            })
            .collect();
        assert!(done.lock().expect("whole").is_empty(), "not before its caller waits");
        for call in calls {
            call.await.expect("no panic").expect("room");
        }
    })
    .expect("it does not hang");
    let order = order.lock().expect("whole").clone();
    let (now, fingerprint) = (sim.now(), sim.fingerprint());
    sim.stop().expect("clean");
    (order, now, fingerprint)
}

#[test]
fn calls_that_block_take_virtual_time_by_the_seed() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (order, took, fingerprint) = blocking_calls(seed);
        assert_eq!(order.len(), 8, "seed {seed}");
        assert!(took < Duration::from_millis(6), "seed {seed}: {took:?}");
        assert_eq!(blocking_calls(seed), (order.clone(), took, fingerprint), "seed {seed}");
        orders.insert(order);
    }
    assert!(orders.len() > 1, "threads would not keep to one order");
}

#[test]
fn a_call_that_blocks_and_panics_does_so_in_its_task() {
    let mut sim = Simulation::new(1);
    let joined = sim.run(async {
        let task = spawn(async { skyring::blocking(|| panic!("as meant")).await });
        let joined: Result<std::result::Result<(), _>, _> = task.await;
        assert_eq!(skyring::blocking(|| 7).await, Ok(7), "others go on");
        joined.is_err()
    });
    assert_eq!(joined, Ok(true));
    sim.stop().expect("clean");
}

#[test]
fn as_many_calls_wait_as_for_threads_and_the_next_is_refused() {
    let mut sim = Simulation::new(1);
    let ran = sim.run(async {
        let mut calls: Vec<_> = (0..1025).map(|n| Box::pin(skyring::blocking(move || n))).collect();
        // All in one poll: none of them is done before the last is made.
        let polled: Vec<_> = std::future::poll_fn(|cx| {
            Poll::Ready(calls.iter_mut().map(|call| call.as_mut().poll(cx)).collect())
        })
        .await;
        assert!(polled[..1024].iter().all(Poll::is_pending));
        assert_eq!(polled[1024], Poll::Ready(Err(skyring::Saturated)));
        for (n, call) in calls.into_iter().take(1024).enumerate() {
            assert_eq!(call.await, Ok(n));
        }
        assert_eq!(skyring::blocking(|| 7).await, Ok(7), "there is room again");
    });
    ran.expect("it does not hang");
    sim.stop().expect("clean");
}

#[test]
fn a_call_that_blocks_runs_to_its_end_when_nobody_waits() {
    let mut sim = Simulation::new(1);
    let ran = Arc::new(Mutex::new(false));
    let runs = ran.clone();
    sim.run(async move {
        let call = skyring::blocking(move || *runs.lock().expect("whole") = true);
        let waited = skyring::within(Duration::from_nanos(1), call).await;
        assert!(waited.is_err(), "given up");
        sleep(Duration::from_millis(6)).await;
    })
    .expect("it does not hang");
    assert!(*ran.lock().expect("whole"));
    sim.stop().expect("clean");
}

/// Starts an engine of three cores with a hook that waits.
fn start_with<H>(hook: H) -> Result<Simulation>
where
    H: AsyncFn(skyring::Core) -> Result<()> + Send + Sync + 'static,
{
    let mut sim = Simulation::new(1);
    let engine = Engine::new(Config::new().cores(3)).setup_async(hook);
    sim.start(engine.gate(ADDRESS, Gate::line().agent(|_| Named)))?;
    Ok(sim)
}

struct Named;

impl Agent for Named {
    async fn frame(&mut self, client: &Client, _: Frame) -> Result<()> {
        let is_found = service::find::<()>("made by a hook").is_some();
        client.send(if is_found { "found" } else { "nobody" })
    }
}

#[derive(Default)]
struct Made;

impl Service for Made {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn who_connects_finds_what_hooks_have_waited_for() {
    let sim = start_with(async |core| {
        sleep(Duration::from_secs(1)).await;
        assert!(TcpStream::connect(ADDRESS).await.is_err(), "the gate is not open yet");
        service::unique("made by a hook", Made::default).await?;
        assert!(core.index < core.count);
        Ok(())
    });
    let mut sim = sim.expect("it starts");
    let heard: Result<Option<Frame>> = sim
        .run(async {
            let stream = TcpStream::connect(ADDRESS).await?;
            stream.write("hello\n")?;
            Ok(Some(stream.read_exact(6).await?))
        })
        .expect("it does not hang");
    assert_eq!(&heard.expect("answered").expect("a line")[..], b"found\n");
    sim.stop().expect("clean");
}

#[test]
fn a_hook_that_waits_for_ever_or_fails_is_told() {
    let error = start_with(async |_| Err("in a mood".into())).err().expect("it fails");
    assert_eq!(error.to_string(), "in a mood");
    let error = start_with(async |_| std::future::pending().await).err().expect("it hangs");
    assert!(error.to_string().starts_with("stuck after"), "{error}");
}

/// A kernel that tells the last bytes of a stream and forgets its end keeps no connection for ever.
#[test]
fn an_end_that_the_kernel_does_not_tell_is_found() {
    async fn say_and_end() -> Result<()> {
        let stream = TcpStream::connect(ADDRESS).await?;
        stream.write(&[0, 2, b'h', b'i'])?;
        stream.finish(); // leaves with the bytes
        assert_eq!(stream.read_exact(4).await?[..], *b"\0\x02hi");
        assert_eq!(stream.read().await?, None);
        Ok(())
    }
    let mut missed = 0;
    for seed in 0..10 {
        let mut sim =
            Simulation::new(seed).weather(Faults { missed_end: 0.5, ..Faults::default() });
        sim.start(echo::engine(Config::new().cores(1), ADDRESS, LengthPrefix::U16.into()))
            .expect("it starts");
        sim.run(async {
            for _ in 0..20 {
                say_and_end().await.expect("it ends in the end");
            }
        })
        .expect("not stuck");
        let (counts, metrics) = (sim.counts(), sim.metrics());
        assert_eq!(metrics.receives_renewed, counts.missed_ends, "seed {seed}");
        missed += counts.missed_ends;
        sim.stop().expect("everything came home");
    }
    assert!(missed > 0, "weather that never comes");
}
