//! Streams in fair weather.

use rustix::io::Errno;

use super::*;
use crate::clock::Now;
use crate::driver::operation::Shutdown;

#[test]
fn a_connection_echoes_and_ends_half_by_half() {
    let mut pair = Pair::new(Faults::default());
    let near_receive = pair.server.submit(Operation::Receive(pair.near));
    let far_receive = pair.client.submit(Operation::Receive(pair.far));
    let send = pair.client.submit(Operation::Send(pair.far, chain(b"hello"), Report::Prompt));
    pair.run();
    let Event::Sent(Ok(5), chain_back) = pair.client.take_one(send) else { panic!("not sent") };
    assert_eq!(chain_back.len(), 5, "the chain comes back as it was");
    assert_eq!(pair.server.take_received(near_receive).0, b"hello");

    pair.client.kernel.shutdown(pair.far, Shutdown::Write).expect("it is connected");
    pair.run();
    assert!(matches!(pair.server.take_one(near_receive), Event::Received(Ok(None))));
    let late = pair.client.submit(Operation::Send(pair.far, chain(b"more"), Report::Prompt));
    let echo = pair.server.submit(Operation::Send(pair.near, chain(b"olleh"), Report::Prompt));
    pair.run();
    assert!(matches!(pair.client.take_one(late), Event::Sent(Err(Errno::PIPE), _)));
    assert!(matches!(pair.server.take_one(echo), Event::Sent(Ok(5), _)));
    assert_eq!(pair.client.take_received(far_receive).0, b"olleh", "the other half is open");

    pair.server.close(pair.near);
    pair.run();
    assert!(matches!(pair.client.take_one(far_receive), Event::Received(Ok(None))));
    pair.finish(false, true);
}

#[test]
fn a_probe_finds_a_taken_address() {
    let mut pair = Pair::new(Faults::default());
    let shared = ListenOptions { backlog: 1, shared: true };
    let at = pair.server.kernel.local_address(pair.listener).expect("bound");
    assert!(pair.client.kernel.probe_free(&at).is_err());
    let free = address("127.0.0.1:4000");
    pair.client.kernel.probe_free(&free).expect("free");
    let listener = pair.client.kernel.listen(&free, shared).expect("the probe is gone");
    assert!(pair.server.kernel.probe_free(&free).is_err(), "even if it may be shared");
    pair.client.close(listener);
    pair.finish(true, true);
}

#[test]
fn both_ends_know_their_names() {
    let mut pair = Pair::new(Faults::default());
    let server = pair.server.kernel.local_address(pair.listener).expect("bound");
    let client = pair.client.kernel.local_address(pair.far).expect("connected");
    assert_ne!(server.inet().expect("inet").port(), 0);
    assert_eq!(pair.server.kernel.local_address(pair.near).expect("accepted"), server);
    assert_eq!(pair.client.kernel.peer_address(pair.far).expect("connected"), server);
    assert_eq!(pair.server.kernel.peer_address(pair.near).expect("accepted"), client);
    pair.server.kernel.set_nodelay(pair.near, true).expect("a TCP socket");
    let taken = pair.client.kernel.listen(&server, ALONE).expect_err("taken");
    assert_eq!(Errno::from_io_error(&taken), Some(Errno::ADDRINUSE));
    let foreign = pair.client.kernel.listen(&address("10.0.0.9:1"), ALONE).expect_err("not ours");
    assert_eq!(Errno::from_io_error(&foreign), Some(Errno::ADDRNOTAVAIL));
    pair.finish(true, true);
}

#[test]
fn a_connect_to_nobody_is_refused() {
    let world = World::new(1, Faults::default());
    let mut core = Core::new(&world);
    let (socket, connect) = core.connect(&address("127.0.0.1:7"));
    let (lost, nowhere) = core.connect(&SocketAddress::Unix("/run/nobody".into()));
    run(&world, &mut [&mut core]);
    for token in [connect, nowhere] {
        let event = core.take_one(token);
        assert!(matches!(event, Event::Connected(Err(Errno::CONNREFUSED))), "{event:?}");
    }
    core.close(socket);
    core.close(lost);
    run(&world, &mut [&mut core]);
    assert_eq!(world.open_descriptors(), 0);
}

#[test]
fn hosts_have_addresses_and_loopbacks_of_their_own() {
    let world = World::new(1, Faults::default());
    let on = |host: [u8; 4]| {
        let pool = Pool::new(16, 4096, 8);
        let kernel = Kernel::on_host(&world, host.into(), pool.clone());
        Core { kernel, pool, slots: Slots::new(10), seen: Vec::new() }
    };
    let (mut server, mut client) = (on([10, 0, 0, 1]), on([10, 0, 0, 2]));
    let listener = server.kernel.listen(&address("0.0.0.0:80"), ALONE).expect("free");
    let accept = server.submit(Operation::Accept(listener));
    let (far, connect) = client.connect(&address("10.0.0.1:80"));
    let (own, refused) = client.connect(&address("127.0.0.1:80"));
    let (lost, unreachable) = client.connect(&address("10.0.0.3:80"));
    run(&world, &mut [&mut server, &mut client]);
    assert!(matches!(client.take_one(connect), Event::Connected(Ok(()))));
    assert!(matches!(client.take_one(refused), Event::Connected(Err(Errno::CONNREFUSED))));
    assert!(matches!(client.take_one(unreachable), Event::Connected(Err(Errno::HOSTUNREACH))));
    let Event::Accepted(Ok(near)) = server.take_one(accept) else { panic!("not accepted") };
    let peer = server.kernel.peer_address(near).expect("connected").inet().expect("inet");
    assert_eq!(peer.ip().to_string(), "10.0.0.2");
    server.kernel.cancel(accept);
    [far, own, lost].into_iter().for_each(|socket| client.close(socket));
    server.close(near);
    run(&world, &mut [&mut server, &mut client]);
    server.close(listener);
}

#[test]
fn a_unix_listener_is_accepted_from_by_two_cores() {
    let world = World::new(1, Faults::default());
    let (mut one, mut two) = (Core::new(&world), Core::new(&world));
    let at = SocketAddress::Unix("/run/echo".into());
    let listener = one.kernel.listen(&at, ALONE).expect("free");
    let copy = two.kernel.duplicate(listener).expect("a descriptor");
    let accepts = [one.submit(Operation::Accept(listener)), two.submit(Operation::Accept(copy))];
    let (far, connect) = one.connect(&at);
    run(&world, &mut [&mut one, &mut two]);
    assert!(matches!(one.take_one(connect), Event::Connected(Ok(()))));
    assert!(one.kernel.set_nodelay(far, true).is_err());
    assert_eq!(one.kernel.peer_address(far).expect("connected"), at);
    let mut accepted = one.take(accepts[0]);
    accepted.extend(two.take(accepts[1]));
    let [Event::Accepted(Ok(near))] = accepted[..] else { panic!("{accepted:?}") };
    one.kernel.cancel(accepts[0]);
    two.kernel.cancel(accepts[1]);
    one.close(far);
    run(&world, &mut [&mut one, &mut two]);
    one.close(listener);
    two.close(copy);
    one.close(near);
    run(&world, &mut [&mut one, &mut two]);
    assert_eq!(world.open_descriptors(), 0);
}

#[test]
fn shared_listeners_divide_the_connections() {
    let world = World::new(3, Faults::default());
    let (mut one, mut two) = (Core::new(&world), Core::new(&world));
    let shared = ListenOptions { backlog: 100, shared: true };
    let first = one.kernel.listen(&address("127.0.0.1:0"), shared).expect("free");
    let at = one.kernel.local_address(first).expect("bound");
    let second = two.kernel.listen(&at, shared).expect("shared");
    let accepts = [one.submit(Operation::Accept(first)), two.submit(Operation::Accept(second))];
    let far: Vec<_> = (0..40).map(|_| one.connect(&at).0).collect();
    run(&world, &mut [&mut one, &mut two]);
    let accepted = [one.take(accepts[0]), two.take(accepts[1])];
    assert_eq!(accepted[0].len() + accepted[1].len(), 40);
    assert!(accepted.iter().all(|accepted| accepted.len() > 10), "both have their part");
    for event in accepted.iter().flatten() {
        let Event::Accepted(Ok(near)) = event else { panic!("{event:?}") };
        one.close(*near);
    }
    far.into_iter().for_each(|socket| one.close(socket));
    one.kernel.cancel(accepts[0]);
    two.kernel.cancel(accepts[1]);
    run(&world, &mut [&mut one, &mut two]);
    one.close(first);
    two.close(second);
    run(&world, &mut [&mut one, &mut two]);
    assert_eq!(world.open_descriptors(), 0);
}

#[test]
fn a_full_backlog_makes_connects_wait_and_then_fail() {
    let world = World::new(1, Faults::default());
    let mut core = Core::new(&world);
    let small = ListenOptions { backlog: 1, shared: false };
    let listener = core.kernel.listen(&address("127.0.0.1:0"), small).expect("free");
    let at = core.kernel.local_address(listener).expect("bound");
    let connects: Vec<_> = (0..3).map(|_| core.connect(&at)).collect();
    run(&world, &mut [&mut core]);
    assert!(world.now() >= Now::START + Duration::from_secs(63), "{:?}", world.now());
    let results = connects.iter().map(|(_, token)| match core.take_one(*token) {
        Event::Connected(result) => result,
        other => panic!("{other:?}"),
    });
    let results: Vec<_> = results.collect();
    assert_eq!(results, [Ok(()), Ok(()), Err(Errno::TIMEDOUT)], "one more than asked for waits");
    let (late, connect) = core.connect(&at);
    core.turn();
    assert!(core.take(connect).is_empty());
    let accept = core.submit(Operation::Accept(listener));
    run(&world, &mut [&mut core]);
    assert!(matches!(core.take_one(connect), Event::Connected(Ok(()))), "there was room again");
    for event in core.take(accept) {
        let Event::Accepted(Ok(near)) = event else { panic!("{event:?}") };
        core.close(near);
    }
    core.kernel.cancel(accept);
    connects.into_iter().for_each(|(socket, _)| core.close(socket));
    core.close(late);
    run(&world, &mut [&mut core]);
    core.close(listener);
}

#[test]
fn a_listener_takes_its_backlog_along() {
    let world = World::new(1, Faults::default());
    let (mut server, mut client) = (Core::new(&world), Core::new(&world));
    let listener = server.kernel.listen(&address("127.0.0.1:0"), ALONE).expect("free");
    let at = server.kernel.local_address(listener).expect("bound");
    let (far, connect) = client.connect(&at);
    run(&world, &mut [&mut server, &mut client]);
    assert!(matches!(client.take_one(connect), Event::Connected(Ok(()))));
    let receive = client.submit(Operation::Receive(far));
    server.close(listener);
    run(&world, &mut [&mut server, &mut client]);
    let event = client.take_one(receive);
    assert!(matches!(event, Event::Received(Err(Errno::CONNRESET))), "{event:?}");
    client.close(far);
    run(&world, &mut [&mut server, &mut client]);
    assert_eq!(world.open_descriptors(), 0);
}

#[test]
fn a_reader_that_does_not_read_stops_its_peer() {
    let mut pair = Pair::new(Faults { socket_bytes_max: 10_000, ..Faults::default() });
    let send = pair.client.submit(Operation::Send(pair.far, chain(&[7; 16_000]), Report::Prompt));
    pair.run();
    assert!(matches!(pair.client.take_one(send), Event::Sent(Ok(10_000), _)), "short");
    let rest = pair.client.submit(Operation::Send(pair.far, chain(&[7; 6_000]), Report::Prompt));
    pair.run();
    assert!(pair.client.take(rest).is_empty(), "no room at all");
    assert_eq!(pair.world.counts().sends_waited, 1);
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    assert!(matches!(pair.client.take_one(rest), Event::Sent(Ok(_), _)), "room again");
    assert_eq!(pair.server.take_received(receive).0, [7; 16_000]);
    pair.finish(true, true);
}

#[test]
fn a_choked_send_goes_on_when_a_third_is_free() {
    let mut pair = Pair::new(Faults { socket_bytes_max: 900, ..Faults::default() });
    let first = pair.client.submit(Operation::Send(pair.far, chain(&[7; 900]), Report::Prompt));
    pair.run();
    assert!(matches!(pair.client.take_one(first), Event::Sent(Ok(900), _)));
    let next = pair.client.submit(Operation::Send(pair.far, chain(&[7; 300]), Report::Prompt));
    pair.run();
    let read = |pair: &mut Pair, len| {
        let mut state = pair.world.0.borrow_mut();
        let near = state.resolve(pair.near);
        state.consume(near, len);
        drop(state);
        pair.run();
        pair.client.kernel.unsent(pair.far).expect("it is open")
    };
    assert_eq!(read(&mut pair, 299), 601, "its peer's progress shows here only");
    assert!(pair.client.take(next).is_empty(), "too little room");
    assert_eq!(read(&mut pair, 1), 900);
    assert!(matches!(pair.client.take_one(next), Event::Sent(Ok(300), _)));
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.run();
    assert_eq!(pair.server.take_received(receive).0.len(), 900);
    pair.finish(true, true);
}

#[test]
fn a_close_with_unread_bytes_resets() {
    let mut pair = Pair::new(Faults::default());
    let receive = pair.client.submit(Operation::Receive(pair.far));
    pair.client.submit(Operation::Send(pair.far, chain(b"unread"), Report::Prompt));
    pair.run();
    pair.server.close(pair.near);
    pair.run();
    let event = pair.client.take_one(receive);
    assert!(matches!(event, Event::Received(Err(Errno::CONNRESET))), "{event:?}");
    let send = pair.client.submit(Operation::Send(pair.far, chain(b"nobody"), Report::Prompt));
    pair.run();
    assert!(matches!(pair.client.take_one(send), Event::Sent(Err(Errno::PIPE), _)));
    assert!(pair.client.kernel.peer_address(pair.far).is_err());
    pair.finish(false, true);
}

#[test]
fn an_abortive_close_takes_back_what_is_under_way() {
    let mut pair = Pair::new(Faults { delay_min: ms(1), delay_max: ms(1), ..Faults::default() });
    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.server.turn();
    let send = pair.client.submit(Operation::Send(pair.far, chain(b"lost"), Report::Prompt));
    pair.client.turn();
    pair.client.turn();
    assert!(matches!(pair.client.take_one(send), Event::Sent(Ok(4), _)));
    pair.client.kernel.set_abortive(pair.far).expect("it is open");
    pair.client.close(pair.far);
    pair.run();
    let event = pair.server.take_one(receive);
    assert!(matches!(event, Event::Received(Err(Errno::CONNRESET))), "{event:?}");
    pair.finish(true, false);
}

#[test]
fn a_send_to_a_closed_end_is_answered_by_a_reset() {
    let mut pair = Pair::new(Faults::default());
    pair.server.close(pair.near);
    pair.run();
    let first = pair.client.submit(Operation::Send(pair.far, chain(b"one"), Report::Prompt));
    pair.run();
    assert!(matches!(pair.client.take_one(first), Event::Sent(Ok(3), _)), "it cannot know");
    let second = pair.client.submit(Operation::Send(pair.far, chain(b"two"), Report::Prompt));
    pair.run();
    assert!(matches!(pair.client.take_one(second), Event::Sent(Err(Errno::PIPE), _)));
    let receive = pair.client.submit(Operation::Receive(pair.far));
    pair.run();
    assert!(matches!(pair.client.take_one(receive), Event::Received(Ok(None))));
    pair.finish(false, true);
}

#[test]
fn shutting_both_ways_ends_our_own_receive() {
    let mut pair = Pair::new(Faults::default());
    let receive = pair.server.submit(Operation::Receive(pair.near));
    let accept = pair.accept;
    pair.run();
    pair.server.kernel.shutdown(pair.near, Shutdown::Both).expect("connected");
    pair.run();
    assert!(matches!(pair.server.take_one(receive), Event::Received(Ok(None))));
    pair.server.kernel.shutdown(pair.listener, Shutdown::Both).expect("a listener");
    pair.run();
    assert!(matches!(pair.server.take_one(accept), Event::Accepted(Err(Errno::INVAL))));
    pair.finish(true, true);
}

#[test]
fn time_moves_by_deliveries_and_by_deadlines() {
    let mut pair = Pair::new(Faults { delay_min: ms(5), delay_max: ms(5), ..Faults::default() });
    let began = pair.world.now();
    assert_eq!(began, Now::START + ms(10), "a request and its answer");
    pair.client.kernel.enter(Wait::For(ms(3))).expect("never fails");
    let core = pair.client.kernel.core();
    assert!(pair.world.is_asleep(core));
    assert_eq!(pair.client.kernel.sleeps_until(), Some(began + ms(3)));
    assert!(pair.world.advance());
    assert_eq!(pair.world.now(), began + ms(3));
    assert!(!pair.world.is_asleep(core), "its time is over");

    let receive = pair.server.submit(Operation::Receive(pair.near));
    pair.server.turn();
    pair.client.submit(Operation::Send(pair.far, chain(b"x"), Report::Prompt));
    pair.client.turn();
    pair.client.turn();
    assert!(pair.world.is_asleep(pair.server.kernel.core()));
    assert!(pair.world.advance());
    assert_eq!(pair.world.now(), began + ms(8));
    assert!(!pair.world.is_asleep(pair.server.kernel.core()), "a byte wakes it");
    pair.server.turn();
    assert_eq!(pair.server.take_received(receive).0, b"x", "by the enter that slept");
    assert!(!pair.world.advance(), "everybody waits for ever");

    let bell = pair.server.kernel.bell();
    assert!(pair.world.is_asleep(pair.server.kernel.core()));
    // As a reactor does around its enter, which here returns before the core has slept.
    bell.will_sleep();
    bell.is_awake();
    bell.ring();
    assert!(!pair.world.is_asleep(pair.server.kernel.core()), "a bell wakes it");
    assert!(pair.world.is_asleep(core));
    pair.world.rouse(core);
    assert!(!pair.world.is_asleep(core));
    pair.finish(true, true);
}

#[test]
fn a_spin_comes_to_its_end() {
    let world = World::new(1, Faults::default());
    let mut core = Core::new(&world);
    let until = world.now() + Duration::from_micros(20);
    while core.kernel.now() < until {
        assert!(!core.kernel.has_news());
    }
}

#[test]
fn a_turn_may_begin_with_its_enter() {
    let mut pair = Pair::new(Faults { delay_min: ms(5), delay_max: ms(5), ..Faults::default() });
    let core = pair.server.kernel.core();
    let receive = pair.server.submit(Operation::Receive(pair.near));
    let mut seen = Vec::new();
    let mut turn = |server: &mut Core, wait| {
        server.kernel.enter(wait).expect("never fails");
        server.kernel.reap(&mut seen);
        seen.drain(..).map(|completion| completion.token).collect::<Vec<_>>()
    };
    assert!(turn(&mut pair.server, Wait::For(ms(3))).is_empty());
    assert!(pair.world.is_asleep(core), "its reap does not wake it");
    pair.client.submit(Operation::Send(pair.far, chain(b"x"), Report::Prompt));
    pair.client.turn();
    pair.client.turn();
    assert!(pair.world.advance());
    assert!(!pair.world.is_asleep(core), "its time is over");
    // As a reactor that computes its wait before it knows the time.
    assert!(turn(&mut pair.server, Wait::For(ms(3))).is_empty());
    assert!(!pair.world.is_asleep(core), "that was the return; now its timers run");
    assert!(turn(&mut pair.server, Wait::Forever).is_empty());
    assert!(pair.world.is_asleep(core) && pair.world.advance());
    assert!(!pair.world.is_asleep(core), "a byte has come");
    assert_eq!(turn(&mut pair.server, Wait::Forever), [receive]);
    assert!(turn(&mut pair.server, Wait::Forever).is_empty());
    assert!(pair.world.is_asleep(core));
    let _ = pair.server.kernel.shutdown(pair.near, Shutdown::Write);
    pair.server.kernel.cancel_all(pair.near);
    assert!(!pair.world.is_asleep(core), "queued work must be handed over");
    pair.finish(true, true);
}
