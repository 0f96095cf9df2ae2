//! How fast clients may send, and how soon they must.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use common::{Server, config, deadline, echo, eventually, is_ended, read_u16, u16_frame};
use skyring::prelude::*;

/// Sends so many frames at once; how many of them are answered before the connection ends.
fn answered(server: &Server, frames: usize) -> usize {
    let mut client = server.connect();
    let wire: Vec<u8> = (0..frames).flat_map(|_| u16_frame(b"hello")).collect();
    client.write_all(&wire).expect("written");
    let _ = client.shutdown(Shutdown::Write);
    let mut count = 0;
    while read_u16(&mut client).is_ok_and(|answer| answer == b"hello") {
        count += 1;
    }
    count
}

#[test]
fn a_client_that_sends_too_fast_is_disconnected_and_others_are_not() {
    deadline(|| {
        let config = config().rate(1).burst(5);
        let server = Server::start(config, echo(LengthPrefix::U16));
        assert_eq!(answered(&server, 5), 5, "the last allowed");
        assert_eq!(server.metrics().too_fast, 0);
        assert_eq!(answered(&server, 6), 5, "the first refused");
        assert_eq!(server.metrics().too_fast, 1);
        assert_eq!(answered(&server, 5), 5, "each has a rate of its own");
        server.settle();
        server.stop();
    });
}

#[test]
fn an_address_has_one_rate_for_all_of_its_clients() {
    deadline(|| {
        let config = config().rate_per_ip(1).burst_per_ip(5);
        let server = Server::start(config, echo(LengthPrefix::U16));
        assert_eq!(answered(&server, 3), 3);
        // One more may have come back meanwhile.
        let second = answered(&server, 6);
        assert!((2..=5).contains(&second), "{second}");
        assert_eq!(server.metrics().too_fast, 1);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_client_that_says_nothing_whole_is_disconnected() {
    deadline(|| {
        let config = config().handshake(Duration::from_millis(200));
        let server = Server::start(config, echo(LengthPrefix::U16));
        let (mut silent, mut slow, mut well) =
            (server.connect(), server.connect(), server.connect());
        slow.write_all(b"\0\x05he").expect("written");
        well.write_all(&u16_frame(b"hello")).expect("written");
        assert_eq!(read_u16(&mut well).expect("answered"), b"hello");
        assert!(is_ended(&mut silent) && is_ended(&mut slow));
        eventually("both are counted", || server.metrics().silent == 2);
        well.write_all(&u16_frame(b"again")).expect("written");
        assert_eq!(read_u16(&mut well).expect("answered"), b"again");
        drop(well);
        server.settle();
        server.stop();
    });
}
