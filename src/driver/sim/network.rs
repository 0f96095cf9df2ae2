//! What is under way, ordered by the virtual time of its arrival.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::Id;
use crate::clock::Now;
use crate::driver::operation::SocketAddress;
use crate::driver::token::Token;

/// Something that arrives somewhere.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A request for a connection, tried so many times before.
    Request {
        from: Id,
        to: SocketAddress,
        tries: u32,
    },
    /// The answer: the peer has it in its backlog.
    Established {
        to: Id,
        peer: Id,
    },
    /// The other answer.
    Refused {
        to: Id,
        errno: Errno,
    },
    Bytes {
        from: Id,
        to: Id,
        bytes: Vec<u8>,
    },
    /// The sender sends no more (FIN).
    End {
        to: Id,
    },
    /// The sender is gone, or never was (RST).
    Reset {
        to: Id,
    },
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        host: std::net::IpAddr,
        bytes: Vec<u8>,
    },
    /// A late cancel reaches its operation.
    Cancel {
        core: usize,
        token: Token,
    },
}

/// Deliveries in the order of their arrival. What arrives at the same moment arrives in the order
/// in which it was sent, so that the order never depends on anything but the seed.
#[derive(Debug, Default)]
pub(super) struct Network {
    under_way: BTreeMap<(Now, u64), Delivery>,
    sent: u64,
}

impl Network {
    pub(super) fn post(&mut self, at: Now, delivery: Delivery) {
        self.under_way.insert((at, self.sent), delivery);
        self.sent += 1;
    }

    /// When the next delivery arrives.
    pub(super) fn next_at(&self) -> Option<Now> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next delivery that has arrived by `now`.
    pub(super) fn pop_due(&mut self, now: Now) -> Option<Delivery> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Forgets the bytes that `sender` has under way. Returns how many.
    pub(super) fn drop_bytes_of(&mut self, sender: Id) -> usize {
        let mut dropped = 0;
        self.under_way.retain(|_, delivery| match delivery {
            Delivery::Bytes { from, bytes, .. } if *from == sender => {
                dropped += bytes.len();
                false
            }
            _ => true,
        });
        dropped
    }
}
