//! A turn that does not end is told, with the name of what runs; nothing else is ever told.

mod common;
#[path = "common/events.rs"]
mod events;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use common::{Server, config, deadline, echo, eventually, pattern, read_u16, u16_frame};
use events::Events;
use skyring::prelude::*;
use skyring::service::{self, Context, Service};

/// Long enough for a turn on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_millis(1000);

/// The events and the threads are the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many threads of this process are engines' watches.
fn watches() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("a process lists its threads");
    let names = tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")));
    names.flatten().filter(|name| name.trim() == "skyring-watch").count()
}

mod hall {
    use super::*;

    /// An endless loop, but that the test ends it. The parameter is a type with a path.
    pub(crate) struct Loops<T> {
        pub(crate) go_on: Arc<AtomicBool>,
        pub(crate) rounds: T,
    }

    impl Agent for Loops<Vec<u8>> {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            while !self.go_on.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            self.rounds.push(0);
            self.go_on.store(false, Ordering::Relaxed);
            client.send(frame)
        }
    }
}

/// Serves clients by agents that loop until `go_on`, and tells the agents' addresses.
fn looping(go_on: &Arc<AtomicBool>) -> (Gate, Receiver<String>) {
    let (sender, ids) = sync_channel(64);
    let go_on = go_on.clone();
    let gate = Gate::framed(LengthPrefix::U16).agent_with(move |_, local: Local<()>| {
        sender.send(format!("{:#}", local.address().id())).expect("the test reads it");
        hall::Loops { go_on: go_on.clone(), rounds: Vec::new() }
    });
    (gate, ids)
}

fn send(stream: &mut TcpStream) {
    stream.write_all(&u16_frame(&pattern(1, 100))).expect("written");
}

#[test]
fn an_agent_that_loops_is_named_and_its_core_goes_on() {
    deadline(|| {
        let _turn = alone();
        let events = Events::capture();
        let go_on = Arc::new(AtomicBool::new(false));
        let (gate, ids) = looping(&go_on);
        let server = Server::start(config().stall(LIMIT), gate);
        let mut stream = server.connect();
        send(&mut stream);
        let name = format!("Loops<Vec<u8>> {}", ids.recv().expect("an agent is made"));
        let told = || events.find(&["a turn does not end", &format!("runs={name};")]);
        let start = Instant::now();
        eventually("it is told", || told() == 1);
        assert!(start.elapsed() >= LIMIT, "not before it is one");
        eventually("it is told again", || told() == 2);
        assert!(start.elapsed() >= 2 * LIMIT, "at twice the time");
        assert_eq!(events.find(&["has ended"]), 0);
        // Nothing hangs on the log: the core goes on when the agent does.
        go_on.store(true, Ordering::Relaxed);
        assert_eq!(read_u16(&mut stream).expect("answered"), pattern(1, 100));
        eventually("its end is told", || {
            events.find(&["has ended", &format!("runs={name};"), "core=0;"]) == 1
        });
        assert_eq!(server.metrics().stalls, 1, "a turn, however often it is told");
        assert!(server.metrics().slow_turns >= 1);
        assert!(server.metrics().busy_ns >= LIMIT.as_nanos() as u64, "{:?}", server.metrics());
        // Another turn is another stall.
        send(&mut stream);
        eventually("it is told again", || events.find(&["a turn does not end"]) >= 3);
        go_on.store(true, Ordering::Relaxed);
        read_u16(&mut stream).expect("answered");
        assert_eq!(server.metrics().stalls, 2);
        drop(stream);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_task_is_named_by_the_place_where_it_was_spawned() {
    deadline(|| {
        let _turn = alone();
        let events = Events::capture();
        let go_on = Arc::new(AtomicBool::new(false));
        let until = go_on.clone();
        static LINE: AtomicU64 = AtomicU64::new(0);
        let engine = Engine::new(config().cores(2).stall(LIMIT)).setup(move |core| {
            let until = until.clone();
            let looping = async move {
                sleep(Duration::from_millis(1)).await;
                while !until.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            if core.index == 1 {
                LINE.store(u64::from(line!()) + 1, Ordering::Relaxed);
                spawn(looping);
            }
            Ok(())
        });
        let handle = engine.start().expect("the engine starts");
        let line = LINE.load(Ordering::Relaxed);
        let runs = format!("runs=a task spawned at tests/stall.rs:{line};");
        eventually("it is told", || events.find(&["a turn does not end", &runs, "core=1;"]) == 1);
        go_on.store(true, Ordering::Relaxed);
        let by_core = handle.metrics_by_core();
        assert_eq!(by_core.iter().map(|core| core.stalls).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(handle.metrics().stalls, 1);
        handle.stop();
        handle.join().expect("a clean end");
    });
}

/// A service that loops when it is told to, until the test ends it.
struct Looping<T>(Arc<AtomicBool>, T);

impl Service for Looping<Vec<u8>> {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        while !self.0.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        self.1.push(0);
        Ok(())
    }
}

#[test]
fn a_service_that_loops_is_named_with_its_address() {
    deadline(|| {
        let _turn = alone();
        let events = Events::capture();
        let go_on = Arc::new(AtomicBool::new(false));
        let until = go_on.clone();
        let (sender, addresses) = sync_channel(2);
        let engine = Engine::new(config().cores(2).stall(LIMIT)).setup(move |_| {
            let looping = service::spawn(Looping(until.clone(), Vec::new()))?;
            sender.send(looping).expect("the test reads it");
            Ok(())
        });
        let handle = engine.start().expect("the engine starts");
        let looping: Vec<_> = addresses.iter().take(2).collect();
        looping[1].send(()).expect("taken");
        let runs = format!("runs=Looping<Vec<u8>> {:#};", looping[1]);
        eventually("it is told", || events.find(&["a turn does not end", &runs, "core=1;"]) >= 1);
        // Its core hears nothing meanwhile; the other one goes on.
        looping[0].send(()).expect("taken");
        go_on.store(true, Ordering::Relaxed);
        eventually("its end is told", || events.find(&["has ended", &runs]) >= 1);
        handle.stop();
        handle.join().expect("a clean end");
    });
}

#[test]
fn a_core_that_waits_or_spins_is_never_told() {
    deadline(|| {
        let _turn = alone();
        let events = Events::capture();
        let limit = Duration::from_millis(100);
        for spin in [Duration::ZERO, 5 * limit] {
            let config = config().stall(limit).spin(spin);
            let server = Server::start(config, echo(LengthPrefix::U16));
            let before = server.metrics();
            thread::sleep(10 * limit);
            let after = server.metrics();
            assert_eq!(after.stalls, 0, "spin {spin:?}");
            let up = Duration::from_nanos(after.up_ns - before.up_ns);
            assert!(up >= 10 * limit, "{up:?}");
            assert!(after.cpu_ns > before.cpu_ns, "at least the answer took some");
            assert!(after.busy_ns < after.up_ns / 2, "neither waiting nor spinning is busy");
            assert!(after.utilisation(&before) < 0.5);
            server.stop();
        }
        assert_eq!(events.find(&["a turn does not end"]), 0);
    });
}

#[test]
fn a_core_that_is_always_busy_with_short_turns_is_never_told() {
    deadline(|| {
        let _turn = alone();
        let events = Events::capture();
        let engine = Engine::new(config().stall(LIMIT)).setup(|_| {
            // Ready again after each poll: the core never waits.
            spawn(std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                std::task::Poll::<()>::Pending
            }));
            Ok(())
        });
        let handle = engine.start().expect("the engine starts");
        let before = handle.metrics();
        thread::sleep(3 * LIMIT);
        let after = handle.metrics();
        assert_eq!(after.stalls, 0);
        assert!(after.turns - before.turns > 10, "{after:?}");
        // All of its time but the turn at either end.
        assert!(after.utilisation(&before) > 0.5, "{}", after.utilisation(&before));
        assert_eq!(events.find(&["a turn does not end"]), 0);
        handle.stopper().stop_within(Duration::ZERO);
        handle.join().expect("a clean end");
    });
}

#[test]
fn the_watch_is_a_thread_that_ends_with_its_engine() {
    deadline(|| {
        let _turn = alone();
        assert_eq!(watches(), 0);
        let off = Server::start(config().stall(Duration::ZERO), echo(LengthPrefix::U16));
        off.is_well();
        assert_eq!(watches(), 0, "off");
        off.stop();
        // Its next look is far: it does not wait for that.
        let slow = config().stall(Duration::from_secs(3600));
        let servers: Vec<_> =
            (0..2).map(|_| Server::start(slow.clone(), echo(LengthPrefix::U16))).collect();
        servers.iter().for_each(Server::is_well);
        eventually("each names itself", || watches() == 2);
        servers.into_iter().for_each(Server::stop);
        assert_eq!(watches(), 0, "joined");
        // A start that fails leaves none either.
        let failed = Engine::new(slow).setup(|_| Err("a hook fails".into())).start();
        assert!(failed.is_err());
        assert_eq!(watches(), 0);
    });
}

#[test]
fn gauges_say_how_things_stand_and_go_down_again() {
    deadline(|| {
        let _turn = alone();
        let engine = Engine::new(config().cores(2)).gate("127.0.0.1:0", echo(LengthPrefix::U16));
        let server = Server::of(engine);
        (0..8).for_each(|_| server.is_well()); // until both cores have begun
        server.settle();
        let idle = server.metrics();
        assert_eq!(idle.residents, 2, "a listener a core");
        let mut streams: Vec<_> = (0..6).map(|_| server.connect()).collect();
        streams.iter_mut().for_each(|stream| {
            send(stream);
            read_u16(stream).expect("answered");
        });
        let busy = server.metrics();
        assert_eq!((busy.residents, busy.tasks), (8, idle.tasks + 6), "an agent a connection");
        assert_eq!(busy.services, idle.services + 6, "each a service");
        let by_core = server.handle.metrics_by_core();
        assert_eq!(by_core.len(), 2);
        assert_eq!(by_core.iter().map(|core| core.tasks).sum::<u64>(), busy.tasks);
        assert_eq!(by_core.iter().map(|core| core.accepted).sum::<u64>(), idle.accepted + 6);
        drop(streams);
        server.settle();
        eventually("all is as before", || {
            let now = server.metrics();
            (now.residents, now.tasks, now.lent_blocks) == (2, idle.tasks, 0)
        });
        server.stop();
    });
}
