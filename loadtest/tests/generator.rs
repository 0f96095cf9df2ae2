//! The generator as `compare` uses it: two of them on one thread, driven in turn.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use skyring_load::framing::Framing;
use skyring_load::generator::{Generator, Options, Pacing, Plan, Silent};
use skyring_load::protocol::Protocol;

const OPTIONS: Options = Options {
    protocol: Protocol::Frames(Framing::U32),
    connections: 3,
    payload_bytes: 100,
    in_flight: 2,
    seed: 7,
};

/// Answers, but waits `stall` before its twentieth read.
fn echo_server(stall: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let (mut buffer, mut reads) = (vec![0; 65_536], 0);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    reads += 1;
                    if reads == 20 {
                        thread::sleep(stall);
                    }
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn two_generators_take_turns_on_one_thread() {
    let mut both = [(), ()].map(|()| {
        let target = echo_server(Duration::ZERO);
        Generator::connect(target, &OPTIONS, &mut Silent).expect("it connects")
    });
    let mut sums = [0_u64; 2];
    for round in 0..6 {
        for (generator, sum) in both.iter_mut().zip(&mut sums) {
            let pacing = if round % 2 == 0 { Pacing::Max } else { Pacing::Rate(5000.0) };
            let slice = generator.slice(Duration::from_millis(30), pacing, &mut Silent);
            let slice = slice.expect("the slice runs");
            assert_eq!(slice.errors.total(), 0, "{:?}", slice.errors);
            assert_eq!(slice.answered, slice.due, "drained at its end");
            // A closed loop's last requests may leave just after the measured time.
            assert!((0..=6).contains(&(slice.answered_in_all - slice.answered)));
            assert_eq!(slice.response.count(), slice.answered);
            assert!(slice.cpu.run_ns > 0 && slice.measured == Duration::from_millis(30));
            *sum += slice.answered;
        }
    }
    assert!(both.iter().all(|generator| generator.live() == 3), "connections stay open");
    assert!(sums.iter().all(|&sum| sum > 200), "{sums:?}");
}

#[test]
fn an_answer_after_its_slice_is_checked_but_not_measured() {
    let target = echo_server(Duration::from_millis(400));
    let mut generator = Generator::connect(target, &OPTIONS, &mut Silent).expect("it connects");
    let plan = Plan {
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(200),
        pacing: Pacing::Rate(3000.0),
        drain: Duration::from_millis(20),
    };
    let stalled = generator.run(&plan, &mut Silent).expect("it runs");
    assert!(stalled.errors.censored > 0, "the stall outlasts the drain");
    assert_eq!(stalled.answered + stalled.errors.censored, stalled.due);
    thread::sleep(Duration::from_millis(400));
    let after = generator.slice(Duration::from_millis(100), Pacing::Rate(1000.0), &mut Silent);
    let after = after.expect("it runs");
    assert_eq!(after.errors.total(), 0, "{:?}", after.errors);
    assert_eq!(after.answered, after.due);
    assert!(after.answered_in_all > after.answered, "the late ones came too");
}
