//! What a user must not do, and what it must hear when it does.

use super::*;
use crate::driver::token::Kind;
use crate::memory::slots::Key;

fn lone() -> (World, Core) {
    let world = World::new(1, Faults::default());
    let core = Core::new(&world);
    (world, core)
}

#[test]
fn a_slot_serves_all_kinds_at_once() {
    let mut pair = Pair::new(Faults::default());
    let receive = pair.server.submit(Operation::Receive(pair.near));
    let send = Token { kind: Kind::Send, ..receive };
    pair.server.kernel.submit(send, Operation::Send(pair.near, chain(b"both"), Report::Prompt));
    let mut seen = Vec::new();
    pair.server.kernel.enter(Wait::Forever).expect("never fails");
    pair.server.kernel.reap(&mut seen);
    assert!(seen.len() == 1 && seen[0].token == send);
    pair.server.kernel.cancel(send);
    pair.run();
    assert!(pair.server.take(receive).is_empty(), "the other one's cancel");
    let drain = pair.client.submit(Operation::Receive(pair.far));
    pair.run();
    assert_eq!(pair.client.take_received(drain).0, b"both");
    pair.finish(true, true);
}

#[test]
#[should_panic(expected = "is used again while in flight")]
fn a_slot_is_not_used_for_another_of_its_kind() {
    let mut pair = Pair::new(Faults::default());
    let token = pair.server.submit(Operation::Receive(pair.near));
    let (other, _) = pair.server.connect(&address("127.0.0.1:1"));
    pair.server.kernel.submit(token, Operation::Receive(other));
}

#[test]
#[should_panic(expected = "is used again while in flight")]
fn a_slot_is_not_used_in_the_next_generation() {
    let mut pair = Pair::new(Faults::default());
    let token = pair.server.submit(Operation::Receive(pair.near));
    let next = Key::from_u64(token.key.to_u64() + (1 << 32));
    let send = Token { kind: Kind::Send, key: next };
    pair.server.kernel.submit(send, Operation::Send(pair.near, chain(b"x"), Report::Prompt));
}

#[test]
#[should_panic(expected = "is closed, or never was open")]
fn a_closed_descriptor_takes_no_operation() {
    let mut pair = Pair::new(Faults::default());
    pair.server.close(pair.near);
    pair.run();
    pair.server.submit(Operation::Receive(pair.near));
}

#[test]
#[should_panic(expected = "is used after its close")]
fn a_descriptor_with_a_queued_close_takes_no_operation() {
    let mut pair = Pair::new(Faults::default());
    pair.server.close(pair.near);
    pair.server.submit(Operation::Receive(pair.near));
}

#[test]
#[should_panic(expected = "is used after its close")]
fn a_descriptor_is_closed_once() {
    let mut pair = Pair::new(Faults::default());
    pair.server.close(pair.near);
    pair.server.close(pair.near);
}

#[test]
#[should_panic(expected = "is closed under")]
fn nothing_is_closed_under_an_operation() {
    let mut pair = Pair::new(Faults::default());
    pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    pair.server.kernel.cancel_all(pair.near);
    pair.server.close(pair.near);
}

#[test]
#[should_panic(expected = "two at once")]
fn a_socket_has_one_send_in_flight() {
    let mut pair = Pair::new(Faults::default());
    pair.server.submit(Operation::Send(pair.near, chain(b"one"), Report::Prompt));
    pair.server.submit(Operation::Send(pair.near, chain(b"two"), Report::Prompt));
}

#[test]
#[should_panic(expected = "the kind of its operation")]
fn a_token_is_of_the_kind_of_its_operation() {
    let mut pair = Pair::new(Faults::default());
    let key = pair.server.slots.insert(()).expect("room");
    let token = Token { kind: Kind::Send, key };
    pair.server.kernel.submit(token, Operation::Receive(pair.near));
}

#[test]
#[should_panic(expected = "ends and leaves")]
fn no_descriptor_is_left_open() {
    let (_world, mut core) = lone();
    core.kernel.open(&address("127.0.0.1:1"), Protocol::Stream).expect("a descriptor");
    drop(core);
}
