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
