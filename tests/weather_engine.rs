//! Bad weather: starts and stops, hooks that fail, ports that are taken, cores that share one.

mod common;

use std::io::Write;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use common::{
    Echo, Server, config, connect, deadline, echo, echoes_all, eventually, is_ended, pattern,
    read_end, read_u16, u16_frame,
};
use rustix::process::{Signal, getpid, kill_process};
use skyring::prelude::*;

/// These tests count what the whole process holds: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Descriptors of this process, and threads of engines in it; the harness has its own.
fn held() -> (usize, usize) {
    let list = |path| std::fs::read_dir(path).expect("proc is mounted").flatten();
    let is_ours = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.contains("skyring"))
    };
    (list("/proc/self/fd").count(), list("/proc/self/task").filter(is_ours).count())
}

/// Runs `body` alone; it must leave as many descriptors and threads as there were.
fn leaves_nothing(body: impl FnOnce() + Send + 'static) {
    let _turn = alone(); // before the deadline runs
    deadline(move || {
        let before = held();
        body();
        eventually("descriptors and threads are as before", || held() == before);
    });
}

#[test]
fn many_starts_and_stops_leak_nothing() {
    leaves_nothing(|| {
        for round in 0..1000 {
            let server = Server::start(config(), echo(LengthPrefix::U16));
            let mut stream = server.connect();
            stream.write_all(&u16_frame(&pattern(round, 100))).expect("written");
            assert_eq!(read_u16(&mut stream).expect("answered"), pattern(round, 100));
            if round % 2 == 0 {
                drop(stream); // else it lives across the stop
            }
            server.stop();
        }
    });
}

#[test]
fn a_stop_lets_clients_finish_what_was_begun() {
    struct Slow;
    impl Agent for Slow {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            sleep(Duration::from_millis(20)).await;
            client.send(frame)
        }
        async fn disconnected(&mut self, client: &Client, why: Disconnect) {
            assert!(matches!(why, Disconnect::Stopping));
            let _ = client.send("bye");
        }
    }
    leaves_nothing(|| {
        let server = Server::start(config(), Gate::framed(LengthPrefix::U16).agent(|_| Slow));
        let mut streams: Vec<_> = (0..10).map(|_| server.connect()).collect();
        let wire: Vec<u8> = (0..5).flat_map(|n| u16_frame(&pattern(n, 50))).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(&wire).expect("written"));
        eventually("all is with the agents", || server.metrics().frames == 50);
        server.handle.stop();
        server.handle.stop(); // twice is once
        let answer = [&wire[..], &u16_frame(b"bye")].concat();
        for stream in &mut streams {
            assert!(read_end(stream).expect("an orderly end") == answer);
        }
        drop(streams);
        server.handle.join().expect("a clean end");
    });
}

#[test]
fn a_second_stop_without_patience_ends_what_hangs() {
    struct Stuck(Arc<AtomicUsize>);
    impl Agent for Stuck {
        async fn frame(&mut self, _: &Client, _: Frame) -> Result<()> {
            std::future::pending().await
        }
    }
    impl Drop for Stuck {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    leaves_nothing(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = dropped.clone();
        let gate = Gate::framed(LengthPrefix::U16).agent(move |_| Stuck(count.clone()));
        let server = Server::start(config().drain(Duration::from_secs(3600)), gate);
        let mut streams: Vec<_> = (0..5).map(|_| server.connect()).collect();
        streams.iter_mut().for_each(|s| s.write_all(&u16_frame(b"x")).expect("written"));
        eventually("all hang", || server.metrics().frames == 5);
        let stopper = server.handle.stopper();
        stopper.stop();
        thread::sleep(Duration::from_millis(20));
        assert_eq!(server.handle.connections(), 5, "patience");
        stopper.stop_within(Duration::ZERO);
        server.handle.join().expect("a clean end");
        assert!(streams.iter_mut().all(is_ended));
        assert_eq!(dropped.load(Ordering::Relaxed), 5);
        stopper.stop(); // to nobody
    });
}

#[test]
fn a_stopped_engine_answers_those_who_ask() {
    leaves_nothing(|| {
        let server = Server::start(config(), echo(LengthPrefix::U16));
        server.is_well();
        server.handle.stop();
        // While it goes and after: an answer each time, at last an empty one.
        eventually("it has ended", || server.metrics().turns == 0);
        assert_eq!(server.metrics().accepted, 0);
        assert_eq!(server.handle.connections(), 0);
        server.handle.join().expect("a clean end");
    });
}

#[test]
fn a_dropped_handle_stops_its_engine() {
    leaves_nothing(|| {
        let server = Server::start(config().drain(Duration::ZERO), echo(LengthPrefix::U16));
        let mut stream = server.connect();
        eventually("it is accepted", || server.handle.connections() == 1);
        drop(server);
        assert!(is_ended(&mut stream));
    });
}

#[test]
fn a_taken_port_is_an_error_that_leaves_nothing() {
    for cores in [1, 2] {
        leaves_nothing(move || {
            let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = taken.local_addr().expect("bound");
            for _ in 0..3 {
                // The second gate fails: the first is open by then.
                let started = Engine::new(config().cores(cores))
                    .gate("127.0.0.1:0", echo(LengthPrefix::U16))
                    .gate(address, echo(LengthPrefix::U16))
                    .start();
                let error = started.expect_err("the port is taken").to_string();
                assert!(error.contains(&address.to_string()), "{error}");
            }
            drop(taken);
            let server = Server::of(Engine::new(config()).gate(address, echo(LengthPrefix::U16)));
            server.is_well();
            server.stop();
        });
    }
}

#[test]
fn a_port_of_another_engine_is_taken_too() {
    leaves_nothing(|| {
        let first = Server::start(config().cores(2), echo(LengthPrefix::U16));
        for cores in [1, 2] {
            let second = Engine::new(config().cores(cores)).gate(first.address, echo(Framing::Raw));
            assert!(matches!(second.start(), Err(Error::Listen { .. })), "cores={cores}");
        }
        first.is_well();
        first.stop();
    });
}

#[test]
fn a_hook_that_fails_or_panics_on_any_core_is_the_error_of_the_start() {
    leaves_nothing(|| {
        for core in 0..2 {
            for panics in [false, true] {
                let engine = Engine::new(config().cores(2))
                    .gate("127.0.0.1:0", echo(LengthPrefix::U16))
                    .setup(move |at| {
                        skyring::spawn(async { sleep(Duration::from_secs(3600)).await });
                        if at.index != core {
                            return Ok(());
                        }
                        assert!(!panics, "the hook is in a panic");
                        Err("the hook is in a mood".into())
                    });
                let error = engine.start().expect_err("the hook fails").to_string();
                assert!(error.contains("the hook is in a"), "{error}");
            }
        }
    });
}

#[test]
fn hooks_that_wait_run_in_turn_and_what_is_behind_waits_for_them() {
    leaves_nothing(|| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let note = |step: &'static str| {
            let told = told.clone();
            move |core: usize| told.lock().expect("whole").push((step, core))
        };
        let (early, waiting, late) = (note("early"), note("waiting"), note("late"));
        let noted = told.clone();
        let handle = Engine::new(config().cores(2))
            .setup(move |core| {
                early(core.index);
                Ok(())
            })
            .setup_async(async move |core| {
                let other = (core.index + 1) % core.count; // it turns already
                let named = service::spawn_on(other, || Named).await?;
                named.call(|reply| reply).await?;
                waiting(core.index);
                Ok(())
            })
            .gate("127.0.0.1:0", echo(LengthPrefix::U16))
            .setup(move |core| {
                late(core.index);
                Ok(())
            })
            .start()
            .expect("it starts");
        let steps = ["early", "waiting", "late"].map(|step| [(step, 0), (step, 1)]).concat();
        assert_eq!(*noted.lock().expect("whole"), steps);
        let address = handle.addresses()[0].inet().expect("an address");
        echoes_all(address, &[pattern(1, 100)]);
        handle.stop();
        handle.join().expect("clean");
    });
}

struct Named;

impl Service for Named {
    type Message = Reply<()>;

    async fn handle(&mut self, reply: Reply<()>, _: &Context<Self>) -> Result<()> {
        reply.send(());
        Ok(())
    }
}

#[test]
fn a_hook_that_waits_and_fails_on_any_core_is_the_error_of_the_start() {
    leaves_nothing(|| {
        for core in 0..2 {
            for panics in [false, true] {
                let engine = Engine::new(config().cores(2))
                    .gate("127.0.0.1:0", echo(LengthPrefix::U16))
                    .setup_async(async move |at| {
                        service::spawn(Named)?;
                        sleep(Duration::from_millis(1)).await;
                        if at.index != core {
                            return Ok(());
                        }
                        assert!(!panics, "in a panic");
                        Err("the hook is in a mood".into())
                    });
                let error = engine.start().expect_err("the hook fails").to_string();
                let words =
                    if panics { format!("reactor {core} failed") } else { "in a mood".to_owned() };
                assert!(error.contains(&words), "{error}");
            }
        }
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = taken.local_addr().expect("its address").to_string();
        let engine = Engine::new(config()).setup_async(async |_| Ok(()));
        let error = engine.gate(&*at, echo(LengthPrefix::U16)).start().expect_err("taken");
        assert!(matches!(error, Error::Listen { .. }), "{error}");
    });
}

#[test]
fn a_signal_ends_an_engine_whose_hook_waits() {
    leaves_nothing(|| {
        let engine = Engine::new(config().cores(2)).setup_async(async |_| {
            kill_process(getpid(), Signal::TERM).expect("it is this one");
            std::future::pending().await
        });
        engine.run_then(|_| panic!("it has not started")).expect("an orderly end");
    });
}

/// A hook that waits may be done in the middle of a stop: what it opens is none to wait for.
#[test]
fn what_begins_to_listen_while_the_engine_stops_is_closed_at_once() {
    leaves_nothing(|| {
        let (tell, told) = sync_channel(1);
        let engine = Engine::new(config().drain(Duration::from_secs(100))).setup(move |_| {
            let tell = tell.clone();
            skyring::spawn(async move {
                stopping().await;
                let listener = skyring::net::TcpListener::bind("127.0.0.1:0");
                let accepted = listener.expect("a free port").accept().await;
                let _ = tell.send(accepted.is_err());
            });
            Ok(())
        });
        let handle = engine.start().expect("it starts");
        handle.stop();
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true));
        handle.join().expect("clean");
    });
}

#[test]
fn two_engines_live_in_one_process() {
    leaves_nothing(|| {
        let (first, second) = (
            Server::start(config(), echo(LengthPrefix::U16)),
            Server::start(config(), echo(LengthPrefix::U16)),
        );
        first.is_well();
        second.is_well();
        assert_eq!((first.metrics().accepted, second.metrics().accepted), (1, 1));
        first.stop();
        second.is_well();
        second.stop();
    });
}

#[test]
fn cores_share_a_port_and_all_are_served() {
    leaves_nothing(|| {
        let server = Server::start(config().cores(2), echo(LengthPrefix::U16));
        assert_eq!(server.handle.addresses().len(), 1, "one address, however many listeners");
        let payloads: Vec<_> = (0..50).map(|n| pattern(n, n * 7)).collect();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| echoes_all(server.address, &payloads));
            }
        });
        server.settle();
        let metrics = server.metrics();
        assert_eq!((metrics.accepted, metrics.frames), (8, 400));
        // Limits count over all cores.
        server.stop();
        let config = config().cores(2).connections_max(6);
        let server = Server::start(config, echo(LengthPrefix::U16));
        let streams: Vec<_> = (0..30).map(|_| connect(server.address)).collect();
        eventually("all are looked at", || {
            let metrics = server.metrics();
            metrics.accepted + metrics.refused == 30
        });
        assert_eq!(server.metrics().accepted, 6);
        drop(streams);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_listener_that_was_given_is_shared_by_the_cores() {
    leaves_nothing(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server =
            Server::of(Engine::new(config().cores(2)).gate(listener, echo(LengthPrefix::U16)));
        for _ in 0..20 {
            server.is_well();
        }
        server.settle();
        assert_eq!(server.metrics().accepted, 20);
        server.stop();
        // What is no listener is given back to the system, with an error.
        let (end, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let no_listener = skyring::Listen::Socket(end.into());
        let started = Engine::new(config()).gate(no_listener, echo(Framing::Raw)).start();
        assert!(started.is_err(), "a connected socket does not listen");
        let file = std::fs::File::open("/dev/null").expect("it can be opened");
        let no_socket = skyring::Listen::Socket(file.into());
        let started = Engine::new(config()).gate(no_socket, echo(Framing::Raw)).start();
        assert!(started.is_err(), "a file does not listen");
    });
}

#[test]
fn an_agent_outlives_nothing_when_the_test_itself_panics() {
    leaves_nothing(|| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let server = Server::start(config().drain(Duration::ZERO), echo(LengthPrefix::U16));
            let _stream = server.connect();
            panic!("a program panics beside its engine");
        }));
        assert!(panicked.is_err());
    });
}

#[test]
fn a_core_goes_on_while_its_inbox_is_flooded() {
    leaves_nothing(|| {
        let server = Server::start(config(), Gate::framed(LengthPrefix::U16).agent(|_| Echo));
        thread::scope(|scope| {
            let asking = scope.spawn(|| (0..2000).map(|_| server.metrics().turns).max());
            let payloads: Vec<_> = (0..300).map(|n| pattern(n, 100)).collect();
            echoes_all(server.address, &payloads);
            assert!(asking.join().expect("answered") > Some(0));
        });
        server.stop();
    });
}
