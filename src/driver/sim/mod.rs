//! A simulated kernel: all cores of a simulation, their sockets and the network between them, in
//! one thread and in virtual time. What stands above the seam runs on it unchanged.
//!
//! ```text
//!   reactor 0        reactor 1        whoever drives the simulation
//!      │                │                 │ is_asleep(core)? advance()
//!   [Kernel 0]       [Kernel 1]           │
//!      └───────┬────────┘                 │
//!           [World] ◀──────────────────────┘
//!             ├── sockets, listeners, names and ports of every host
//!             ├── deliveries under way, ordered by virtual time
//!             ├── one seeded generator, from which every fault and delay is drawn
//!             └── who sleeps until when
//! ```
//! Three promises make it worth its lines. It is *deterministic*: one seed, one order of everything
//! ([`World::fingerprint`] proves it), so a failure is a number that anybody can run again. It is
//! *strict*: what the real kernel would let pass and punish later (a token used twice, a close under
//! an operation, two sends at once, a leaked descriptor) is an assertion here. It is *unkind*:
//! [`Faults`] bring about, often, what the real kernel does seldom.
//!
//! No wall clock, no thread, no system call and no hash map is in this folder.

mod calls;
mod datagram;
mod faults;
mod flight;
mod kernel;
mod listener;
mod names;
mod network;
mod random;
mod socket;
mod stream;
mod world;

#[cfg(test)]
mod tests;

pub use self::faults::{Counts, Faults};
pub(crate) use self::kernel::Kernel;
pub(crate) use self::world::World;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use self::datagram::Mailbox;
use self::listener::Listener;
use self::names::Names;
use self::network::Network;
use self::random::Random;
use self::stream::Stream;
use super::bell::Bell;
use super::operation::Descriptor;
use super::token::Token;
use crate::clock::Now;

/// All of a world. Each file of this folder adds the part of its behaviour that it is about.
struct State {
    seed: u64,
    now: Now,
    random: Random,
    faults: Faults,
    counts: Counts,
    fingerprint: u64,
    sockets: BTreeMap<Id, Socket>,
    next_socket: u64,
    descriptors: BTreeMap<Descriptor, Open>,
    next_descriptor: i32,
    names: Names,
    network: Network,
    cores: Vec<Core>,
}

/// What the world knows of a core.
struct Core {
    host: IpAddr,
    bell: Arc<Bell>,
    sleep: Sleep,
    /// Sockets of its operations that have changed, each once, in the order of the first change.
    changed: Vec<Id>,
    is_changed: BTreeSet<Id>,
    /// Late cancels that have reached their operations.
    cancels: Vec<Token>,
}

/// Whether a core waits in its enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    Awake,
    Until(Now),
    /// Until something happens.
    Forever,
    /// Its kernel is gone.
    Gone,
}

/// Names a socket for ever; never used again, so a delivery to a closed one meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id(u64);

/// A socket of one of the cores.
#[derive(Debug)]
struct Socket {
    host: IpAddr,
    role: Role,
    /// Operations whose last completion was not taken, in the order of their submission.
    flights: Vec<InFlight>,
    /// Descriptors that name it; the last one that closes closes it.
    descriptors: u32,
}

/// What a socket is.
#[derive(Debug)]
enum Role {
    /// Opened for a stream and not connected yet. `unix`: for paths.
    Fresh {
        unix: bool,
    },
    Stream(Stream),
    Listener(Listener),
    Datagram(Mailbox),
}

/// An operation as its socket sees it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    core: usize,
    token: Token,
    descriptor: Descriptor,
}

/// An open descriptor.
#[derive(Debug)]
struct Open {
    socket: Id,
    /// The core that opened it, or has adopted it by its last submission.
    core: usize,
    /// A close is queued.
    closing: bool,
}
