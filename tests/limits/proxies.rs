//! Clients behind proxies that speak the PROXY protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyring::Frames;
use skyring::limit::Network;
use skyring::net::TcpStream as SimStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::common::{
    Server, config, converse, deadline, eventually, is_ended, read_u16, u16_frame,
};

const ADDRESS: &str = "127.0.0.1:80";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";

/// A header of version 2 for a client of this IPv6 address.
fn v2(client: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = client.parse().expect("an address");
    let (from, to) = (source.octets(), [0xfd; 16]);
    [SIGNATURE, &[0x21, 0x21, 0, 36], &from, &to, &[0xdc, 0x04, 0x01, 0xbb]].concat()
}

fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

fn trusted() -> Vec<Network> {
    vec!["127.0.0.0/8".parse().expect("a network")]
}

/// Answers each frame with where its client is.
struct Whence;

impl Agent for Whence {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        let peer = client.peer().and_then(|peer| peer.inet()).expect("an address").ip();
        client.send(format!("{} {peer}", String::from_utf8_lossy(&frame)))
    }
}

fn whence() -> Gate {
    Gate::framed(LengthPrefix::U16).agent(|_| Whence)
}

fn ask(stream: &mut TcpStream, head: &[u8]) -> std::io::Result<String> {
    stream.write_all(&[head, &u16_frame(b"who")].concat())?;
    Ok(String::from_utf8(read_u16(stream)?).expect("text"))
}

#[test]
fn a_header_says_who_the_client_is() {
    deadline(|| {
        let server = Server::start(config().proxies(trusted()), whence());
        let cases = [
            (V1.to_vec(), "who 192.0.2.7"),
            (v2("2001:db8::9"), "who 2001:db8::9"),
            (local(), "who 127.0.0.1"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "who 127.0.0.1"),
        ];
        for (head, answer) in cases {
            let mut client = server.connect();
            assert_eq!(ask(&mut client, &head).expect("answered"), answer);
            assert_eq!(ask(&mut client, b"").expect("and again"), answer);
        }
        assert_eq!((server.metrics().proxied, server.metrics().proxy_errors), (4, 0));
        server.settle();
        server.stop();
    });
}

#[test]
fn from_anybody_else_a_header_is_what_any_bytes_are() {
    deadline(|| {
        let gate = Gate::line().agent(|_| Whence);
        let other: Network = "10.0.0.0/8".parse().expect("a network");
        let server = Server::start(config().proxies([other]), gate);
        let answer = converse(server.address, V1).expect("answered");
        assert!(answer.starts_with(b"PROXY TCP4") && answer.ends_with(b" 127.0.0.1\n"));
        assert_eq!((server.metrics().proxied, server.metrics().proxy_errors), (0, 0));
        server.stop();
        // A gate's own list wins over the knob's.
        let gate = Gate::line().proxies([]).agent(|_| Whence);
        let server = Server::start(config().proxies(trusted()), gate);
        let answer = converse(server.address, V1).expect("answered");
        assert!(answer.starts_with(b"PROXY TCP4") && answer.ends_with(b" 127.0.0.1\n"));
        server.stop();
    });
}

#[test]
fn what_is_no_header_is_closed_and_counted() {
    deadline(|| {
        let server = Server::start(config().proxies(trusted()), whence());
        let too_long = [SIGNATURE, &[0x21, 0x21, 0x0f, 0xf1]].concat();
        let wrong = [&u16_frame(b"hello")[..], b"GET / HTTP/1.1\r\n", b"PROXY TCP5 ", &too_long];
        let line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat();
        for (n, bytes) in wrong.iter().copied().chain([&line[..]]).enumerate() {
            let mut client = server.connect();
            client.write_all(bytes).expect("written");
            assert!(is_ended(&mut client), "case {n}");
            eventually("it is counted", || server.metrics().proxy_errors == n as u64 + 1);
        }
        // The longest header that is taken: 4096 bytes, of which most is one field.
        let mut longest = v2("2001:db8::9");
        let room = 4096 - longest.len() - 3;
        longest[14..16].copy_from_slice(&(4096u16 - 16).to_be_bytes());
        longest.extend([0x04, (room >> 8) as u8, room as u8]);
        longest.resize(4096, 0);
        let mut client = server.connect();
        assert_eq!(ask(&mut client, &longest).expect("answered"), "who 2001:db8::9");
        drop(client);
        let before = server.metrics().proxy_errors;
        drop(server.connect()); // looks whether somebody listens
        let mut cut = server.connect();
        cut.write_all(&V1[..20]).expect("written");
        cut.shutdown(Shutdown::Write).expect("ended");
        assert!(is_ended(&mut cut));
        eventually("only the cut one is counted", || server.metrics().proxy_errors == before + 1);
        assert_eq!(server.metrics().frames, 1);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_header_that_does_not_come_in_time_is_given_up() {
    let mut sim = Simulation::new(1);
    let config = Config::new().cores(1).proxies(trusted()).handshake(Duration::from_secs(10));
    sim.start(Engine::new(config).gate(ADDRESS, whence())).expect("it starts");
    let slow = async {
        let stream = SimStream::connect(ADDRESS).await.expect("somebody listens");
        for byte in V1 {
            if stream.write(std::slice::from_ref(byte)).is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    sim.run(slow).expect("not stuck");
    assert!(sim.now() < Duration::from_secs(13), "{:?}", sim.now());
    assert_eq!((sim.metrics().proxy_errors, sim.metrics().proxied), (1, 0));
    sim.stop().expect("a clean end");
}

#[test]
fn a_header_may_be_cut_anywhere_in_any_weather() {
    for (seed, weather) in [(1, Faults::default()), (2, Faults::bad_weather())] {
        let mut sim = Simulation::new(seed).weather(weather);
        let config = Config::new().cores(2).proxies(trusted());
        sim.start(Engine::new(config).gate(ADDRESS, whence())).expect("it starts");
        let mut asked = 0;
        for (head, answer) in [(V1.to_vec(), "hello 192.0.2.7"), (v2("::9"), "hello ::9")] {
            let wire = [head, u16_frame(b"hello"), u16_frame(b"hello")].concat();
            for cut in 0..wire.len() {
                let (first, second) = (wire[..cut].to_vec(), wire[cut..].to_vec());
                let talk = async move {
                    let stream = SimStream::connect(ADDRESS).await?;
                    stream.write(first)?;
                    sleep(Duration::from_millis(50)).await;
                    stream.write(second)?;
                    for _ in 0..2 {
                        let reply = stream.read_exact(2 + answer.len()).await?;
                        assert_eq!(&reply[2..], answer.as_bytes(), "cut at {cut}");
                    }
                    stream.finish();
                    assert!(stream.read().await?.is_none(), "cut at {cut}");
                    Ok::<(), Error>(())
                };
                sim.run(talk).expect("not stuck").expect("served");
                asked += 1;
            }
        }
        assert_eq!((sim.metrics().proxied, sim.metrics().proxy_errors), (asked, 0));
        sim.stop().expect("everything came home");
    }
}

#[test]
fn changed_headers_hurt_nobody() {
    let mut sim = Simulation::new(3);
    let config = Config::new().cores(1).proxies(trusted());
    sim.start(Engine::new(config).gate(ADDRESS, whence())).expect("it starts");
    let storm = async {
        for n in 0..600 {
            let mut wire = if n % 2 == 0 { V1.to_vec() } else { v2("2001:db8::9") };
            for _ in 0..1 + n % 3 {
                let at = (skyring::random() % wire.len() as u64) as usize;
                wire[at] = skyring::random() as u8;
            }
            let stream = SimStream::connect(ADDRESS).await.expect("somebody listens");
            let _ = stream.write(wire);
            stream.finish();
            while let Ok(Some(_)) = stream.read().await {}
        }
        let stream = SimStream::connect(ADDRESS).await.expect("somebody listens");
        stream.write([V1, &u16_frame(b"hello")].concat()).expect("open");
        stream.read_exact(17).await.expect("answered")
    };
    assert_eq!(&sim.run(storm).expect("not stuck")[2..], b"hello 192.0.2.7");
    let metrics = sim.metrics();
    assert!(metrics.proxy_errors > 300 && metrics.proxied > 1, "{metrics:?}");
    sim.stop().expect("everything came home");
}

#[test]
fn what_came_behind_a_header_waits_for_a_parked_client_to_be_opened() {
    struct Parking(Arc<Mutex<Vec<&'static str>>>);
    impl Service for Parking {
        type Message = ();
        async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
            Ok(())
        }
        async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
            let (client, heard) = (client.clone(), self.0.clone());
            spawn(async move {
                sleep(Duration::from_millis(50)).await;
                heard.lock().expect("no panic under it").push("open");
                client.open();
            });
            Ok(())
        }
        async fn frames(
            &mut self,
            client: &Client,
            mut frames: Frames,
            _: &Context<Self>,
        ) -> Result<()> {
            while let Some(frame) = frames.next().await {
                self.0.lock().expect("no panic under it").push("frame");
                client.send(frame)?;
            }
            Ok(())
        }
    }
    deadline(|| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let parking = heard.clone();
        let gate = Gate::framed(LengthPrefix::U16).service(move |_core| Parking(parking.clone()));
        let server = Server::start(config().proxies(trusted()), gate);
        let mut client = server.connect();
        client.write_all(&[V1, &u16_frame(b"one"), &u16_frame(b"two")].concat()).expect("written");
        assert_eq!(read_u16(&mut client).expect("answered"), b"one");
        assert_eq!(read_u16(&mut client).expect("answered"), b"two");
        assert_eq!(*heard.lock().expect("no panic under it"), ["open", "frame", "frame"]);
        // One that leaves before it is opened takes its frames along.
        let mut hasty = server.connect();
        hasty.write_all(&[V1, &u16_frame(b"gone")].concat()).expect("written");
        crate::common::reset(hasty);
        drop(client);
        server.settle();
        server.stop();
    });
}

#[test]
fn limits_count_the_client_and_not_its_proxy() {
    deadline(|| {
        let config = config().cores(2).proxies(trusted()).connections_per_ip_max(2);
        let gate = Gate::line().on_refusal(|refusal| refusal.to_string());
        let server = Server::start(config, gate.agent(|_| crate::common::Echo));
        let connect = |address: &str| {
            let mut stream = server.connect();
            stream.write_all(&[&v2(address)[..], b"hi\n"].concat()).expect("written");
            stream
        };
        let served = |stream: &mut TcpStream| {
            let mut answer = [0; 3];
            stream.read_exact(&mut answer).is_ok_and(|()| &answer == b"hi\n")
        };
        let mut held = Vec::new();
        for n in 0..20 {
            for host in [1, 0xffff] {
                held.push(connect(&format!("2001:db8:0:{n}::{host:x}")));
            }
        }
        assert!(held.iter_mut().all(served), "two of each /64, all by one proxy");
        let mut text = String::new();
        connect("2001:db8:0:3::77").read_to_string(&mut text).expect("an orderly end");
        assert_eq!(text, "too many connections from your address\n");
        assert_eq!(server.metrics().refused_per_ip, 1);
        held.drain(6..8);
        eventually("places are free", || server.handle.connections() == 38);
        assert!(served(&mut connect("2001:db8:0:3::77")), "free again");
        // A proxy that speaks for itself counts for itself.
        let health = |n: usize| {
            let mut stream = server.connect();
            stream.write_all(&[&local()[..], b"hi\n"].concat()).expect("written");
            assert_eq!(served(&mut stream), n < 2, "{n}");
            stream
        };
        let checks: Vec<_> = (0..3).map(health).collect();
        server.handle.ban("2001:db8:1::/48".parse().expect("a network"), None).expect("room");
        text.clear();
        connect("2001:db8:1:3::77").read_to_string(&mut text).expect("an orderly end");
        assert_eq!(text, "your address is banned\n");
        assert_eq!(server.metrics().banned, 1);
        drop((held, checks));
        server.settle();
        server.stop();
    });
}

#[test]
fn places_of_a_gate_are_taken_by_clients_and_not_by_headers_to_come() {
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).clients_max(2);
        let gate = gate.on_refusal(|refusal| refusal.to_string()).agent(|_| Whence);
        let server = Server::start(config().cores(2).proxies(trusted()), gate);
        let pending: Vec<_> = (0..10).map(|_| server.connect()).collect();
        let mut held = [server.connect(), server.connect()];
        for client in &mut held {
            assert_eq!(ask(client, V1).expect("answered"), "who 192.0.2.7");
        }
        for (n, mut client) in pending.into_iter().enumerate() {
            assert_eq!(ask(&mut client, V1).expect("told"), "there is no place left", "{n}");
            assert!(is_ended(&mut client));
        }
        let metrics = server.metrics();
        assert_eq!((metrics.refused_by_gate, metrics.refusals_told), (10, 10));
        drop(held);
        server.settle();
        server.stop();
    });
}

#[test]
fn an_engine_that_stops_waits_for_no_header() {
    let mut sim = Simulation::new(4);
    let config = Config::new().cores(1).proxies(trusted());
    sim.start(Engine::new(config).gate(ADDRESS, whence())).expect("it starts");
    let half = async {
        let stream = SimStream::connect(ADDRESS).await.expect("somebody listens");
        stream.write(&V1[..10]).expect("open");
        sleep(Duration::from_millis(100)).await;
        spawn(async move { while let Ok(Some(_)) = stream.read().await {} });
    };
    sim.run(half).expect("not stuck");
    let before = sim.now();
    assert_eq!(sim.metrics().proxy_errors, 0);
    sim.stop().expect("everything came home");
    assert!(before < Duration::from_secs(1));
}

#[test]
fn a_rate_for_each_address_counts_the_clients_of_a_proxy() {
    deadline(|| {
        let config = config().proxies(trusted()).rate_per_ip(1).burst_per_ip(3);
        let server = Server::start(config, whence());
        let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            let head = v2(&format!("2001:db8:0:{n}::1"));
            for (ask_no, head) in [&head[..], b"", b""].into_iter().enumerate() {
                ask(client, head).unwrap_or_else(|error| panic!("{n}, {ask_no}: {error}"));
            }
        }
        assert_eq!(server.metrics().too_fast, 0, "three each");
        drop(clients);
        server.settle();
        server.stop();
    });
}
