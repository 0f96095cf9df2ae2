//! Datagrams.

use super::*;

fn socket(core: &mut Core, at: &str) -> (Descriptor, SocketAddr) {
    let socket = core.kernel.bind_datagram(&address(at)).expect("free");
    let at = core.kernel.local_address(socket).expect("bound").inet().expect("inet");
    (socket, at)
}

#[test]
fn a_datagram_comes_whole_with_its_sender() {
    let world = World::new(1, Faults::default());
    let mut core = Core::new(&world);
    let (near, at) = socket(&mut core, "127.0.0.1:0");
    let far = core.kernel.open(&SocketAddress::Inet(at), Protocol::Datagram).expect("a descriptor");
    let receive = core.submit(Operation::ReceiveFrom(near));
    let send = core.submit(Operation::SendTo(far, chain(b"ping"), at));
    run(&world, &mut [&mut core]);
    assert!(matches!(core.take_one(send), Event::Sent(Ok(4), _)));
    let Event::Datagram(Ok(datagram)) = core.take_one(receive) else { panic!("no datagram") };
    assert_eq!(&datagram.payload[..], b"ping");
    assert!(!datagram.truncated);
    let from = core.kernel.local_address(far).expect("bound by its send").inet().expect("inet");
    assert_eq!(datagram.from.port(), from.port());
    assert!(datagram.from.ip().is_loopback());

    let large = core.submit(Operation::SendTo(far, chain(&[1; 5000]), at));
    run(&world, &mut [&mut core]);
    assert!(matches!(core.take_one(large), Event::Sent(Ok(5000), _)));
    let Event::Datagram(Ok(cut)) = core.take_one(receive) else { panic!("no datagram") };
    assert!(cut.truncated && cut.payload.len() == 4096 - 44);

    let nobody = core.submit(Operation::SendTo(far, chain(b"?"), "127.0.0.1:9".parse().unwrap()));
    let giant = core.submit(Operation::SendTo(near, chain(&[0; 65_508]), at));
    assert_eq!(world.counts().datagrams, 2);
    core.kernel.cancel(receive);
    run(&world, &mut [&mut core]);
    assert!(matches!(core.take_one(nobody), Event::Sent(Ok(1), _)), "nobody says no");
    assert!(matches!(core.take_one(giant), Event::Sent(Err(rustix::io::Errno::MSGSIZE), _)));
    core.close(near);
    core.close(far);
    run(&world, &mut [&mut core]);
    assert_eq!(world.open_descriptors(), 0);
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken() {
    let faults =
        Faults { datagram_loss: 0.2, datagram_twice: 0.2, delay_max: ms(10), ..Faults::default() };
    let world = World::new(5, faults);
    let mut core = Core::with_pool(&world, Pool::new(512, 4096, 512));
    let (near, at) = socket(&mut core, "127.0.0.1:0");
    let (far, _) = socket(&mut core, "127.0.0.1:0");
    let receive = core.submit(Operation::ReceiveFrom(near));
    for number in 0..200u8 {
        let send = core.submit(Operation::SendTo(far, chain(&[number]), at));
        core.turn();
        core.turn();
        assert_eq!(core.take(send).len(), 1);
    }
    run(&world, &mut [&mut core]);
    let mut numbers = Vec::new();
    for event in core.take(receive) {
        let Event::Datagram(Ok(datagram)) = event else { panic!("{event:?}") };
        numbers.push(datagram.payload[0]);
    }
    let counts = world.counts();
    assert!(counts.datagrams_lost > 10 && counts.datagrams_twice > 10, "{counts:?}");
    assert_eq!(numbers.len() as u64, 200 - counts.datagrams_lost + counts.datagrams_twice);
    assert!(!numbers.is_sorted(), "some have overtaken others");
    core.kernel.cancel(receive);
    run(&world, &mut [&mut core]);
    core.close(near);
    core.close(far);
}
