//! Streams in bad weather: every fault happens, and no byte is lost or moved.

use rustix::io::Errno;

use super::peer::{Peer, Taken};
use super::*;
use crate::driver::sim::Counts;

/// Bytes that differ from line to line and within a line.
fn pattern(line: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251 + line * 31) as u8).collect()
}

/// Clients that each send a pattern through an echo and read it back.
struct Run {
    world: World,
    server: Peer,
    client: Peer,
}

impl Run {
    fn new(seed: u64, faults: Faults, blocks: u32, lines: usize) -> Run {
        let world = World::new(seed, faults);
        let mut server = Peer::new(&world, blocks, true);
        let mut client = Peer::new(&world, blocks, true);
        let at = server.serve("127.0.0.1:0", ListenOptions { backlog: 64, shared: false });
        for line in 0..lines {
            client.ask(&at, &pattern(line, 3000 + line * 500));
        }
        Run { world, server, client }
    }

    fn go(&mut self) {
        self.server.turn();
        self.client.turn();
        for _ in 0..TURNS_MAX {
            let mut ran = false;
            for peer in [&mut self.server, &mut self.client] {
                if !self.world.is_asleep(peer.core.kernel.core()) {
                    peer.turn();
                    ran = true;
                }
            }
            if self.client.is_done() && self.server.is_done() {
                break;
            }
            assert!(self.world.end_round(ran), "{:?} waits for ever", self.world);
        }
        self.server.stop(&self.world);
        assert!(self.client.is_done() && self.server.is_done(), "{:?}", self.world);
    }

    /// Runs to the end, checks every byte and that nothing leaks.
    fn check(mut self) -> (Counts, u64, Vec<Taken>) {
        self.go();
        for (number, line) in self.client.lines.iter().enumerate() {
            assert_eq!(line.error, None, "line {number} in {:?}", self.world);
            assert!(line.got == pattern(number, 3000 + number * 500), "line {number} differs");
        }
        let Run { world, server, client } = self;
        let mut trace = server.trace;
        trace.extend(client.trace);
        drop((server.core, client.core));
        assert_eq!(world.open_descriptors(), 0);
        (world.counts(), world.fingerprint(), trace)
    }
}

#[test]
fn bad_weather_loses_and_moves_no_byte() {
    let mut all = Counts::default();
    for seed in 0..40 {
        println!("seed {seed}");
        let (counts, ..) = Run::new(seed, Faults::bad_weather(), 16, 12).check();
        all.lost_cancels += counts.lost_cancels;
        all.sends_waited += counts.sends_waited;
        for count in [
            counts.short_receives,
            counts.short_sends,
            counts.no_buffers,
            counts.lost_mores,
            counts.late_cancels,
            counts.reordered,
            counts.held_back,
        ] {
            assert!(count > 0, "every fault happens: {counts:?}");
        }
        assert_eq!(counts.resets + counts.connect_errors, 0);
    }
    assert!(all.lost_cancels > 40, "{all:?}");
}

#[test]
fn a_pool_of_two_blocks_starves_and_serves_all() {
    let weather = Faults { delay_max: ms(1), ..Faults::default() };
    let (counts, ..) = Run::new(9, weather, 2, 20).check();
    assert!(counts.starved > 20, "{counts:?}");
    assert_eq!(counts.no_buffers, 0);
}

#[test]
fn a_seed_is_a_trace() {
    let run = |seed| Run::new(seed, Faults::bad_weather(), 16, 8).check();
    let (first, again, other) = (run(7), run(7), run(8));
    assert_eq!(first, again);
    assert_ne!(first.1, other.1);
    assert_ne!(first.2, other.2);
}

#[test]
fn a_storm_ends_every_connection_in_an_outcome() {
    let mut broken = 0;
    for seed in 0..20 {
        println!("seed {seed}");
        let mut run = Run::new(seed, Faults::storm(), 16, 20);
        run.go();
        for (number, line) in run.client.lines.iter().enumerate() {
            let whole = pattern(number, 3000 + number * 500);
            assert!(whole.starts_with(&line.got), "line {number} has strange bytes");
            broken += usize::from(line.error.is_some());
            assert!(line.error.is_some() || line.got == whole, "line {number} is cut unsaid");
        }
        let world = run.world.clone();
        drop(run);
        assert_eq!(world.open_descriptors(), 0);
    }
    assert!(broken > 20, "{broken}");
}

#[test]
fn a_cancel_in_time_wins() {
    let mut pair = Pair::new(Faults::default());
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    pair.server.kernel.cancel(receive);
    pair.server.kernel.cancel(receive);
    pair.run();
    let event = pair.server.take_one(receive);
    assert!(matches!(event, Event::Received(Err(Errno::CANCELED))), "{event:?}");
    pair.client.submit(Operation::Send(pair.far, chain(b"later"), Report::Prompt));
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    assert_eq!(pair.server.take_received(receive).0, b"later", "nothing is lost");
    pair.finish(true, true);
}

#[test]
fn a_late_cancel_loses_to_a_success() {
    let mut pair = Pair::new(Faults::default());
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    pair.world.set_faults(Faults { late_cancel: 1.0, ..Faults::default() });
    pair.server.kernel.cancel(receive);
    pair.server.kernel.cancel(pair.accept);
    pair.server.turn();
    pair.client.submit(Operation::Send(pair.far, chain(b"after all"), Report::Prompt));
    let at = pair.server.kernel.local_address(pair.listener).expect("bound");
    let (second, connect) = pair.client.connect(&at);
    pair.client.turn();
    pair.server.turn();
    pair.run();
    let (bytes, others) = pair.server.take_received(receive);
    assert_eq!((&bytes[..], others.len()), (&b"after all"[..], 0), "one success, and the last");
    let event = pair.server.take_one(pair.accept);
    let Event::Accepted(Ok(accepted)) = event else { panic!("{event:?}") };
    assert!(matches!(pair.client.take_one(connect), Event::Connected(Ok(()))));
    assert_eq!(pair.world.counts().lost_cancels, 2);
    pair.server.close(accepted);
    pair.client.close(second);
    pair.finish(true, true);
}

#[test]
fn a_late_cancel_wins_in_the_end_when_nothing_comes() {
    let mut pair = Pair::new(Faults { late_cancel: 1.0, ..Faults::default() });
    let receive = pair.server.submit(Operation::Receive(pair.near));
    let began = pair.world.now();
    pair.server.kernel.cancel_all(pair.near);
    pair.run();
    let event = pair.server.take_one(receive);
    assert!(matches!(event, Event::Received(Err(Errno::CANCELED))), "{event:?}");
    assert!(pair.world.now() > began && pair.world.now() <= began + ms(5));
    assert_eq!(pair.world.counts().lost_cancels, 0);
    pair.finish(true, true);
}

#[test]
fn enobufs_ends_a_receive_and_the_next_one_goes_on() {
    let world = World::new(2, Faults::default());
    let mut pair = Pair::in_world(world);
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    pair.world.set_faults(Faults { no_buffers: 1.0, ..Faults::default() });
    pair.client.submit(Operation::Send(pair.far, chain(b"kept"), Report::Prompt));
    pair.run();
    let event = pair.server.take_one(receive);
    assert!(matches!(event, Event::Received(Err(Errno::NOBUFS))), "{event:?}");
    pair.world.set_faults(Faults::default());
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    assert_eq!(pair.server.take_received(receive).0, b"kept");
    pair.finish(true, true);
}

#[test]
fn a_world_out_of_descriptors_keeps_the_connection_waiting() {
    let mut pair = Pair::new(Faults::default());
    let at = pair.server.kernel.local_address(pair.listener).expect("bound");
    // The listener, two ends, and the client's second socket.
    pair.world.set_faults(Faults { descriptors_max: 4, ..Faults::default() });
    let (second, connect) = pair.client.connect(&at);
    let full = pair.client.kernel.open(&at, Protocol::Stream).expect_err("there are four");
    assert_eq!(Errno::from_io_error(&full), Some(Errno::MFILE));
    pair.run();
    assert!(matches!(pair.client.take_one(connect), Event::Connected(Ok(()))));
    let event = pair.server.take_one(pair.accept);
    assert!(matches!(event, Event::Accepted(Err(Errno::MFILE))), "{event:?}");
    pair.world.set_faults(Faults::default());
    pair.accept = pair.server.submit(Operation::Accept(pair.listener));
    pair.run();
    let Event::Accepted(Ok(near)) = pair.server.take_one(pair.accept) else { panic!("waits") };
    pair.server.close(near);
    pair.client.close(second);
    pair.finish(true, true);
}
