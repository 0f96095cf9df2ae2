//! What the refused are told: each reason, once, before an orderly end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skyring::limit::{Network, Refusal};
use skyring::prelude::*;
use skyring::{Frames, GateContext, GateServer};

use crate::common::{Server, config, deadline, eventually, is_ended, read_u16, u16_frame};

/// Does what a frame says.
struct Told;

impl Agent for Told {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        match &frame[..] {
            b"fail" => Err("told so".into()),
            b"close" => {
                client.send("closed")?;
                client.close();
                Ok(())
            }
            _ => client.send(frame),
        }
    }
}

fn line() -> Gate {
    Gate::line().on_refusal(|refusal| format!("ERROR {refusal}")).agent(|_| Told)
}

/// All that comes until the end, which is in order.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an orderly end");
    text
}

fn say(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).expect("written");
    rest(stream)
}

#[test]
fn at_the_door_each_reason_is_told_and_counted() {
    deadline(|| {
        let server = Server::start(config().connections_max(1), line());
        let held = server.connect();
        eventually("it is served", || server.handle.connections() == 1);
        // What it has said itself already does not turn the end into a reset.
        assert_eq!(say(&mut server.connect(), "hello\n"), "ERROR the server is full\n");
        eventually("counted", || server.metrics().refused == 1);
        drop(held);
        server.settle();
        server.handle.ban(Network::from(server.address.ip()), None).expect("room");
        assert_eq!(rest(&mut server.connect()), "ERROR your address is banned\n");
        eventually("counted", || server.metrics().banned == 1);
        assert_eq!(server.metrics().refusals_told, 2);
        server.stop();

        let server = Server::start(config().connections_per_ip_max(1), line());
        let _held = server.connect();
        eventually("it is served", || server.handle.connections() == 1);
        let told = rest(&mut server.connect());
        assert_eq!(told, "ERROR too many connections from your address\n");
        assert_eq!(server.metrics().refused_per_ip, 1);
        server.stop();
    });
}

#[test]
fn who_is_sent_away_reads_why_behind_all_else() {
    deadline(|| {
        let handshake = Duration::from_millis(300);
        let config = config().rate(1).burst(3).frame_bytes_max(100).handshake(handshake);
        let server = Server::start(config, line());
        let told = say(&mut server.connect(), "a\nb\nc\nd\n");
        assert!(
            told.starts_with("a\nb\nc\nERROR too many requests: the rate is used up"),
            "{told}"
        );
        let told = say(&mut server.connect(), &format!("a\n{}\n", "x".repeat(101)));
        assert!(told.starts_with("a\nERROR malformed: "), "{told}");
        assert_eq!(rest(&mut server.connect()), "ERROR nothing came in time\n");
        assert_eq!(
            say(&mut server.connect(), "a\nfail\n"),
            "a\nERROR nobody serves you any more\n"
        );
        assert_eq!(say(&mut server.connect(), "a\nclose\n"), "a\nclosed\n", "it knows why");
        let metrics = server.metrics();
        assert_eq!(
            (metrics.too_fast, metrics.malformed, metrics.silent, metrics.abandoned),
            (1, 1, 1, 1)
        );
        assert_eq!((metrics.refusals_told, metrics.stopped), (4, 0));
        server.stop();
    });
}

#[test]
fn who_is_there_when_the_engine_stops_is_told() {
    deadline(|| {
        let server = Server::start(config().cores(2), line());
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        eventually("all are served", || server.handle.connections() == 8);
        server.handle.stopper().stop_within(Duration::from_secs(20));
        for client in &mut clients {
            assert_eq!(rest(client), "ERROR the server stops\n");
        }
        drop(clients);
        server.handle.join().expect("a clean end");
    });
}

#[test]
fn a_full_gate_says_so_and_is_just_as_full_as_it_says() {
    const PLACES: usize = 40;
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).clients_max(PLACES);
        let gate = gate.on_refusal(|refusal| refusal.to_string()).agent(|_| Told);
        let server = Server::start(config().cores(2), gate);
        for round in 0..3 {
            let address = server.address;
            let served: Vec<Option<TcpStream>> = std::thread::scope(|scope| {
                let try_one = move || {
                    let mut stream = crate::common::connect(address);
                    stream.write_all(&u16_frame(b"hello")).expect("written");
                    let answer = read_u16(&mut stream).expect("served, or told");
                    if answer == b"hello" {
                        return Some(stream);
                    }
                    assert_eq!(answer, b"there is no place left");
                    assert!(is_ended(&mut stream));
                    None
                };
                let tries: Vec<_> = (0..PLACES + 25).map(|_| scope.spawn(try_one)).collect();
                tries.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert_eq!(served.iter().flatten().count(), PLACES, "round {round}");
            assert_eq!(server.metrics().refused_by_gate, 25 * (round + 1));
            drop(served);
            server.settle();
        }
        server.stop();
    });
}

#[test]
fn a_unix_socket_is_told_as_well() {
    deadline(|| {
        let path = std::env::temp_dir().join(format!("skyring-told-{}", std::process::id()));
        let gate = Gate::line().clients_max(1).on_refusal(|refusal| refusal.to_string());
        let engine =
            Engine::new(config()).gate(format!("unix:{}", path.display()), gate.agent(|_| Told));
        let handle = engine.start().expect("the engine starts");
        let _held = UnixStream::connect(&path).expect("connected");
        eventually("it is served", || handle.connections() == 1);
        let mut second = UnixStream::connect(&path).expect("connected");
        let _ = second.write_all(b"hello\n");
        let mut text = String::new();
        second.read_to_string(&mut text).expect("an orderly end");
        assert_eq!(text, "there is no place left\n");
        handle.stopper().stop_within(Duration::ZERO);
        handle.join().expect("a clean end");
    });
}

#[test]
fn a_gate_that_is_being_started_again_says_so() {
    struct Fails;
    impl GateServer for Fails {
        type Command = ();
        async fn connect(&mut self, _: &Client, _: &GateContext<'_, Self>) -> Result<()> {
            Err("told so".into())
        }
        async fn message(
            &mut self,
            _: &Client,
            _: Frames,
            _: &GateContext<'_, Self>,
        ) -> Result<()> {
            Ok(())
        }
    }
    deadline(|| {
        let gate = Gate::line().on_refusal(|refusal| refusal.to_string()).server(|_| Fails);
        let server = Server::start(config(), gate);
        assert_eq!(rest(&mut server.connect()), "nobody serves you any more\n");
        assert_eq!(rest(&mut server.connect()), "the service is being started again\n");
        assert_eq!(server.metrics().refused_by_gate, 1);
        server.settle();
        server.stop();
    });
}

#[test]
fn words_that_panic_or_are_no_frame_are_not_said_and_the_end_stays_in_order() {
    static PANICS: AtomicBool = AtomicBool::new(true);
    deadline(|| {
        let say = |refusal: Refusal| match refusal {
            Refusal::Abandoned if PANICS.load(Ordering::Relaxed) => panic!("told so"),
            Refusal::Abandoned => "two\nlines",
            Refusal::Malformed(_) => "malformed",
            _ => "",
        };
        let server = Server::start(
            config().connections_max(2).frame_bytes_max(100),
            Gate::line().on_refusal(say).agent(|_| Told),
        );
        assert_eq!(crate::told::say(&mut server.connect(), "fail\n"), "");
        assert_eq!(server.metrics().panics, 1);
        PANICS.store(false, Ordering::Relaxed);
        assert_eq!(crate::told::say(&mut server.connect(), "fail\n"), "");
        let long = "x".repeat(101);
        assert_eq!(crate::told::say(&mut server.connect(), &long), "malformed\n");
        server.settle();
        let _held = [server.connect(), server.connect()];
        eventually("both are served", || server.handle.connections() == 2);
        assert!(is_ended(&mut server.connect()), "nothing is said of that");
        assert_eq!(server.metrics().refusals_told, 1);
        server.stop();
    });
}
