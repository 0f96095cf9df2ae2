//! Two kernels and more, driven by hand as reactors would drive them.

mod datagrams;
mod peer;
mod protocol;
mod streams;
mod weather;

use std::net::SocketAddr;
use std::time::Duration;

use super::{Faults, Kernel, World};
use crate::driver::operation::{
    Completion, Descriptor, Event, ListenOptions, Operation, Protocol, Report, SocketAddress, Wait,
};
use crate::driver::sim::flight;
use crate::driver::token::Token;
use crate::memory::chain::Chain;
use crate::memory::pool::Pool;
use crate::memory::slots::Slots;

/// A run that makes more turns than this hangs.
const TURNS_MAX: usize = 100_000;
const ALONE: ListenOptions = ListenOptions { backlog: 16, shared: false };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn address(text: &str) -> SocketAddress {
    SocketAddress::Inet(text.parse::<SocketAddr>().expect("an address"))
}

fn chain(bytes: &[u8]) -> Chain {
    let mut chain = Chain::default();
    chain.push(bytes.into());
    chain
}

/// A core with nothing above it: a test says what it submits and looks at what came.
struct Core {
    kernel: Kernel,
    pool: Pool,
    slots: Slots<()>,
    seen: Vec<Completion>,
}

impl Core {
    fn new(world: &World) -> Core {
        Core::with_pool(world, Pool::new(16, 4096, 8))
    }

    fn with_pool(world: &World, pool: Pool) -> Core {
        let kernel = Kernel::new(world, pool.clone());
        Core { kernel, pool, slots: Slots::new(1000), seen: Vec::new() }
    }

    fn submit(&mut self, operation: Operation) -> Token {
        let key = self.slots.insert(()).expect("a test has few operations");
        let token = Token { kind: operation.kind(), key };
        self.kernel.submit(token, operation);
        token
    }

    /// One turn, in the order of a reactor's.
    fn turn(&mut self) {
        let before = self.seen.len();
        self.kernel.reap(&mut self.seen);
        for completion in &self.seen[before..] {
            if !completion.more {
                self.slots.remove(completion.token.key).expect("a last completion comes once");
            }
        }
        self.pool.provide();
        self.kernel.enter(Wait::Forever).expect("a simulated enter succeeds");
    }

    /// What the operation has completed with so far.
    fn take(&mut self, token: Token) -> Vec<Event> {
        let of_token = self.seen.extract_if(.., |completion| completion.token == token);
        of_token.map(|completion| completion.event).collect()
    }

    /// The one completion of an operation.
    fn take_one(&mut self, token: Token) -> Event {
        let mut events = self.take(token);
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// The bytes that a receive has brought, and how it ended.
    fn take_received(&mut self, token: Token) -> (Vec<u8>, Vec<Event>) {
        let mut bytes = Vec::new();
        let mut others = Vec::new();
        for event in self.take(token) {
            match event {
                Event::Received(Ok(Some(lease))) => bytes.extend_from_slice(lease.bytes()),
                other => others.push(other),
            }
        }
        (bytes, others)
    }

    fn close(&mut self, socket: Descriptor) {
        self.kernel.close(socket);
    }

    fn connect(&mut self, to: &SocketAddress) -> (Descriptor, Token) {
        let socket = self.kernel.open(to, Protocol::Stream).expect("a descriptor");
        (socket, self.submit(Operation::Connect(socket, to.clone())))
    }
}

/// Lets all cores make their turns until nothing happens any more. Cores that were built first have
/// the lower numbers.
fn run(world: &World, cores: &mut [&mut Core]) {
    // What a test has submitted since the last run waits for an enter.
    cores.iter_mut().for_each(|core| core.turn());
    for _ in 0..TURNS_MAX {
        let mut ran = false;
        for core in cores.iter_mut().filter(|core| !world.is_asleep(core.kernel.core())) {
            core.turn();
            ran = true;
        }
        if !ran && !world.advance() {
            return;
        }
    }
    panic!("{world:?} does not come to rest");
}

/// A server and a client core with a connection between them.
struct Pair {
    world: World,
    server: Core,
    client: Core,
    listener: Descriptor,
    accept: Token,
    /// The server's and the client's end.
    near: Descriptor,
    far: Descriptor,
}

impl Pair {
    fn new(faults: Faults) -> Pair {
        Pair::in_world(World::new(1, faults))
    }

    fn in_world(world: World) -> Pair {
        let (mut server, mut client) = (Core::new(&world), Core::new(&world));
        let listener = server.kernel.listen(&address("127.0.0.1:0"), ALONE).expect("a listener");
        let at = server.kernel.local_address(listener).expect("it is bound");
        let accept = server.submit(Operation::Accept(listener));
        let (far, connect) = client.connect(&at);
        run(&world, &mut [&mut server, &mut client]);
        let connected = client.take_one(connect);
        assert!(matches!(connected, Event::Connected(Ok(()))), "{connected:?}");
        let Event::Accepted(Ok(near)) = server.take_one(accept) else { panic!("not accepted") };
        Pair { world, server, client, listener, accept, near, far }
    }

    fn run(&mut self) {
        run(&self.world, &mut [&mut self.server, &mut self.client]);
    }

    /// Ends what is left and checks that nothing leaks.
    fn finish(mut self, near: bool, far: bool) {
        self.server.kernel.cancel(self.accept);
        for (open, core, socket) in
            [(near, &mut self.server, self.near), (far, &mut self.client, self.far)]
        {
            if open {
                core.kernel.cancel_all(socket);
            }
        }
        self.run();
        for (open, core, socket) in
            [(near, &mut self.server, self.near), (far, &mut self.client, self.far)]
        {
            if open {
                core.close(socket);
            }
        }
        self.server.close(self.listener);
        self.run();
        assert_eq!((self.server.kernel.in_flight(), self.client.kernel.in_flight()), (0, 0));
        assert_eq!(self.world.open_descriptors(), 0);
    }
}
