//! Peers that send too slowly to be served, and such as send so much that others might wait.

use std::io::Write;
use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::wire::{Codec, Envelope, Found, FrameError, Step};

use crate::common::{Echo, Server, config, deadline, eventually, read_u16, u16_frame};

const ADDRESS: &str = "127.0.0.1:80";

/// Frames that end with `!`.
#[derive(Debug)]
struct Bang;

impl Codec for Bang {
    fn name(&self) -> &'static str {
        "bang"
    }

    fn decode(&self, bytes: &[u8], _: &mut usize, max: usize) -> Result<Step, FrameError> {
        match bytes.iter().position(|byte| *byte == b'!') {
            Some(payload) => Ok(Step::Frame(Found { head: 0, payload, tail: 1 })),
            None if bytes.len() > max => Err(FrameError::TooLong { len: bytes.len(), max }),
            None => Ok(Step::Partial { needed: bytes.len() + 1 }),
        }
    }

    fn encode(&self, _: &[u8]) -> Result<Envelope, FrameError> {
        Ok(Envelope::new(b"", b"!"))
    }
}

/// Sends these bytes a second apart, again and again, until the connection is closed. How long that
/// took.
async fn drip(bytes: &'static [u8]) -> Duration {
    let start = skyring::now();
    let stream = TcpStream::connect(ADDRESS).await.expect("somebody listens");
    for byte in bytes.iter().chain(std::iter::repeat(&1)) {
        if stream.read().within(Duration::from_secs(1)).await.is_ok()
            || stream.write(std::slice::from_ref(byte)).is_err()
        {
            break;
        }
    }
    skyring::now().since(start)
}

#[test]
fn who_drips_bytes_is_closed_in_time_whatever_the_framing() {
    let framings: [(Framing, &'static [u8]); 6] = [
        (LengthPrefix::U16.into(), b"\x40"),
        (LengthPrefix::U32.into(), b"\0\0\x40"),
        (LengthPrefix::Varint.into(), b"\xff\x7f"),
        (Framing::Line, b"GET "),
        ("fixed:1000".parse().expect("a framing"), b"x"),
        (Framing::Custom(&Bang), b"x"),
    ];
    for (framing, bytes) in framings {
        let mut sim = Simulation::new(1);
        let config = Config::new().cores(1).handshake(Duration::from_secs(10));
        let gate = Gate::framed(framing).agent(|_| Echo);
        sim.start(Engine::new(config).gate(ADDRESS, gate)).expect("it starts");
        let crowd = async move {
            let all: Vec<_> = (0..50).map(|_| spawn(drip(bytes))).collect();
            for one in all {
                let took = one.await.expect("no panic");
                let range = Duration::from_secs(9)..Duration::from_secs(13);
                assert!(range.contains(&took), "{framing}: {took:?}");
            }
        };
        sim.run(crowd).expect("not stuck");
        assert_eq!(sim.metrics().silent, 50, "{framing}");
        assert_eq!(sim.metrics().frames, 0, "{framing}");
        sim.stop().expect("everything came home");
    }
}

#[test]
fn raw_bytes_are_frames_so_silence_is_all_that_is_slow() {
    let mut sim = Simulation::new(2);
    let (handshake, idle) = (Duration::from_secs(10), Duration::from_secs(30));
    let config = Config::new().cores(1).handshake(handshake).idle(idle);
    let gate = Gate::raw().agent(|_| Echo);
    sim.start(Engine::new(config).gate(ADDRESS, gate)).expect("it starts");
    let crowd = async {
        let silent = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        let idle = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        let start = skyring::now();
        idle.write("x").expect("open");
        assert!(silent.read().await.expect("an orderly end").is_none());
        let silent = skyring::now().since(start);
        assert_eq!(&idle.read().await.expect("open").expect("echoed")[..], b"x");
        let _ = idle.read().await;
        (silent, skyring::now().since(start))
    };
    let (silent, idled) = sim.run(crowd).expect("not stuck");
    assert!((9..12).contains(&silent.as_secs()) && (29..33).contains(&idled.as_secs()));
    assert_eq!((sim.metrics().silent, sim.metrics().idled), (1, 1));
    sim.stop().expect("everything came home");
}

/// Round trips of a client beside this flood, in virtual time.
fn beside(flood: impl AsyncFn() + 'static + Clone, config: Config, seed: u64) -> Vec<Duration> {
    let mut sim = Simulation::new(seed);
    let gate = Gate::framed(LengthPrefix::U16).agent(|_| Echo);
    sim.start(Engine::new(config).gate(ADDRESS, gate)).expect("it starts");
    let crowd = async move {
        let innocent = TcpStream::connect(ADDRESS).await.expect("somebody listens");
        let floods: Vec<_> = (0..50)
            .map(|_| {
                let flood = flood.clone();
                spawn(async move { flood().await })
            })
            .collect();
        let mut trips = Vec::new();
        for _ in 0..100 {
            let start = skyring::now();
            innocent.write(u16_frame(b"hello")).expect("open");
            innocent.read_exact(7).await.expect("answered");
            trips.push(skyring::now().since(start));
            sleep(Duration::from_millis(1)).await;
        }
        for flood in floods {
            flood.await.expect("no panic");
        }
        trips
    };
    let trips = sim.run(crowd).expect("not stuck");
    sim.stop().expect("everything came home");
    trips
}

#[test]
fn a_flood_of_requests_or_connections_does_not_delay_others() {
    let config = || Config::new().cores(1).rate(200).burst(100);
    let alone = beside(async || {}, config(), 1).into_iter().max().expect("some");
    let requests = async || {
        for _ in 0..4 {
            let stream = TcpStream::connect(ADDRESS).await.expect("somebody listens");
            let wire: Vec<u8> = (0..1000).flat_map(|_| u16_frame(b"flood")).collect();
            let _ = stream.write(wire);
            while let Ok(Some(_)) = stream.read().await {}
        }
    };
    let connections = async || {
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(ADDRESS).await {
                let _ = stream.write(u16_frame(b"flood"));
            }
        }
    };
    for seed in 1..4 {
        let worst = beside(requests, config(), seed).into_iter().max().expect("some");
        assert!(worst <= 2 * alone + Duration::from_millis(5), "{worst:?}, alone {alone:?}");
        let config = config().connections_max(60);
        let worst = beside(connections, config, seed).into_iter().max().expect("some");
        assert!(worst <= 2 * alone + Duration::from_millis(5), "{worst:?}, alone {alone:?}");
    }
}

#[test]
fn all_innocents_are_answered_while_one_address_floods() {
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).on_refusal(|refusal| refusal.to_string());
        let config = config().connections_per_ip_max(20).rate(1000).burst(50);
        let config = config.proxies(["127.0.0.1".parse().expect("an address")]);
        let server = Server::start(config, gate.agent(|_| Echo));
        let head = |client: u32| {
            format!("PROXY TCP4 10.0.{}.{} 10.9.9.9 1 2\r\n", client >> 8, client & 255)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let mut stream = server.connect();
                        let mut wire = head(0).into_bytes();
                        (0..100).for_each(|_| wire.extend(u16_frame(b"flood")));
                        let _ = stream.write_all(&wire);
                    }
                });
            }
            for client in 1..=100 {
                let mut stream = server.connect();
                stream.write_all(head(client).as_bytes()).expect("written");
                for _ in 0..10 {
                    stream.write_all(&u16_frame(b"hello")).expect("written");
                    assert_eq!(read_u16(&mut stream).expect("answered"), b"hello", "{client}");
                }
            }
        });
        server.settle();
        eventually("the flood was refused", || server.metrics().too_fast > 0);
        server.stop();
    });
}
