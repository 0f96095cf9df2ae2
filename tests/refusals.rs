//! Who is refused at the door, and who is given up at the end.

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{Server, config, deadline, echo, eventually, is_ended, u16_frame};
use skyring::limit::Network;
use skyring::prelude::*;

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

#[test]
fn the_banned_are_refused_until_their_ban_is_taken_back_or_over() {
    deadline(|| {
        let server = Server::start(config().cores(2).bans_max(2), echo(LengthPrefix::U16));
        server.is_well();
        server.handle.ban(network("127.0.0.0/8"), None).expect("room");
        server.handle.ban(network("192.0.2.0/24"), None).expect("room");
        assert!(server.handle.ban(network("192.0.3.0/24"), None).is_err(), "the list is full");
        assert_eq!(server.handle.bans().len(), 2);
        for _ in 0..10 {
            assert!(is_ended(&mut server.connect()));
        }
        eventually("each is counted", || server.metrics().banned == 10);
        assert_eq!((server.metrics().refused, server.metrics().refused_per_ip), (0, 0));
        assert!(server.handle.unban(network("127.0.0.0/8")));
        assert!(!server.handle.unban(network("127.0.0.0/8")));
        server.is_well();
        server.handle.ban(network("127.0.0.1"), Some(Duration::from_millis(50))).expect("room");
        std::thread::sleep(Duration::from_millis(60));
        server.is_well();
        assert_eq!(server.handle.bans().len(), 1);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_core_bans_for_all_cores_and_keeps_the_connections_that_are_there() {
    struct Judge;
    impl Agent for Judge {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            if &frame[..] == b"ban me" {
                let peer = client.peer().and_then(|peer| peer.inet()).expect("an address");
                skyring::ban(Network::from(peer.ip()), None).expect("room");
            }
            client.send(frame)
        }
    }
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).agent(|_| Judge);
        let server = Server::start(config().cores(2), gate);
        let mut client = server.connect();
        client.write_all(&u16_frame(b"ban me")).expect("written");
        assert_eq!(common::read_u16(&mut client).expect("answered"), b"ban me");
        for _ in 0..10 {
            assert!(is_ended(&mut server.connect()));
        }
        client.write_all(&u16_frame(b"still here")).expect("written");
        assert_eq!(common::read_u16(&mut client).expect("answered"), b"still here");
        assert_eq!(server.metrics().banned, 10);
        server.stop();
    });
}

#[test]
fn the_last_connection_of_an_address_is_served_and_the_next_refused() {
    deadline(|| {
        let server =
            Server::start(config().cores(2).connections_per_ip_max(3), echo(LengthPrefix::U16));
        let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
        eventually("three are served", || server.handle.connections() == 3);
        assert!(is_ended(&mut server.connect()));
        eventually("it is counted", || server.metrics().refused_per_ip == 1);
        held.pop();
        eventually("a place is free", || server.handle.connections() == 2);
        server.is_well();
        assert_eq!((server.metrics().refused, server.metrics().banned), (0, 0));
        server.stop();
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_after_the_write_timeout() {
    struct Flood;
    impl Agent for Flood {
        async fn frame(&mut self, client: &Client, _: Frame) -> Result<()> {
            client.send(vec![0; 7 << 20])?;
            client.close();
            Ok(())
        }
    }
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U32).agent(|_| Flood);
        let timeout = Duration::from_millis(300);
        let config = config().frame_bytes_max(7 << 20).write_timeout(timeout);
        let server = Server::start(config, gate);
        let mut client = server.connect();
        client.write_all(&[0, 0, 0, 1, 7]).expect("written");
        eventually("it is served", || server.metrics().frames == 1);
        let start = Instant::now();
        eventually("it is given up", || server.handle.connections() == 0);
        let waited = start.elapsed();
        assert!(waited >= timeout / 2 && waited < Duration::from_secs(8), "{waited:?}");
        assert!(server.metrics().bytes_unsent > 0);
        server.stop();
    });
}
