//! The load generator: one thread, one ring, many connections.
//!
//! ```text
//!   schedule ──due──► connection.queue ──write──► ring.send ──────► server
//!                      sent | waiting               coalesced          │
//!   histograms ◄─check─ front of the queue ◄────── ring.receive ◄──────┘
//! ```
//! Connections stay open between slices, so that two servers can be driven in turn.

pub(crate) mod connect;
mod connection;
mod drive;
mod slice;
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use slice::{Errors, Pacing, Plan, Progress, Silent, Slice, Tick};

use crate::error::{Error, Result};
use crate::protocol::{Dialogue, Protocol};
use crate::schedule::splitmix;
use connection::Connection;
use wire::Wire;

/// Most connections of one generator.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Most requests in flight that may be asked for on one connection.
pub const IN_FLIGHT_MAX: usize = 4096;

/// In an open loop of frames as many may be outstanding on one connection, if they are small...
const OPEN_IN_FLIGHT_MAX: usize = 1024;

/// ...and as many bytes of them.
const OPEN_IN_FLIGHT_BYTES_MAX: usize = 1 << 20;

/// Reads are as large as this where the replies in flight can fill it.
const RECEIVE_BYTES: usize = 64 << 10;

/// How long a slice waits for its last answers, unless a plan says otherwise.
const DRAIN: Duration = Duration::from_secs(2);

/// What the connections carry.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is spoken.
    pub protocol: Protocol,
    /// How many connections.
    pub connections: usize,
    /// Bytes of a payload, without what stands around it.
    pub payload_bytes: usize,
    /// Requests outstanding on each connection in a closed loop.
    pub in_flight: usize,
    /// What arrivals, connections and payloads are drawn from.
    pub seed: u64,
}

/// Connections to one server, and all that driving them takes. It stays on the thread that made
/// it.
pub struct Generator {
    wire: Wire,
    connections: Vec<Connection>,
    /// The connections that still stand.
    live: Vec<u32>,
    /// Connections with something to send.
    dirty: Vec<u32>,
    dialogue: Dialogue,
    options: Options,
    epoch: Instant,
    slices: u64,
    /// Requests sent and not answered, over all connections.
    outstanding: u64,
}

impl Generator {
    /// Opens all connections.
    ///
    /// # Errors
    /// The options make no sense, the descriptors do not suffice, or the server cannot be reached;
    /// each with what to do.
    pub fn connect(
        target: SocketAddr,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        check(options)?;
        let dialogue = options.protocol.prepare(target, options.payload_bytes, options.seed)?;
        let receive_bytes = receive_bytes(dialogue.answer_bytes_max(), options.in_flight);
        let ring = connect::all(target, options.connections, receive_bytes, progress)?;
        for slot in 0..options.connections {
            dialogue.open(ring.socket(slot))?;
        }
        let wire = match options.protocol.is_secure() {
            false => Wire::plain(ring),
            true => Wire::secure(ring, options.connections, receive_bytes)?,
        };
        // The thread's sleeps end on time; the default slack of 50 us would be send lag.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mut generator = Self {
            wire,
            connections: (0..options.connections).map(|_| Connection::new()).collect(),
            live: (0..options.connections as u32).collect(),
            dirty: Vec::with_capacity(options.connections),
            dialogue,
            options: options.clone(),
            epoch: Instant::now(),
            slices: 0,
            outstanding: 0,
        };
        (0..options.connections).for_each(|slot| generator.wire.ring.receive(slot, true));
        generator.submit()?;
        Ok(generator)
    }

    /// Drives the connections for `duration`, without warm-up, until the last answer.
    ///
    /// # Errors
    /// The ring fails, or no connection is left.
    pub fn slice(
        &mut self,
        duration: Duration,
        pacing: Pacing,
        progress: &mut dyn Progress,
    ) -> Result<Slice> {
        self.run(&Plan { warm_up: Duration::ZERO, duration, pacing, drain: DRAIN }, progress)
    }

    /// Drives the connections as planned, until the last answer.
    ///
    /// # Errors
    /// The ring fails, or no connection is left.
    pub fn run(&mut self, plan: &Plan, progress: &mut dyn Progress) -> Result<Slice> {
        self.slices += 1;
        drive::run(self, plan, progress)
    }

    /// How many connections still stand.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// What is written and what is expected.
    pub fn dialogue(&self) -> &Dialogue {
        &self.dialogue
    }

    /// What the connections carry.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Requests that may be outstanding on one connection.
    fn bound(&self, pacing: Pacing) -> usize {
        match pacing {
            Pacing::Rate(_) if self.options.protocol.is_free() => {
                let by_bytes = OPEN_IN_FLIGHT_BYTES_MAX / self.dialogue.request_bytes();
                by_bytes.clamp(self.options.in_flight.min(16), OPEN_IN_FLIGHT_MAX)
            }
            _ => self.options.in_flight,
        }
    }

    /// Another seed for each slice, so that no two slices have the same arrivals.
    fn slice_seed(&self) -> u64 {
        splitmix(self.options.seed.wrapping_add(self.slices << 32))
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn submit(&mut self) -> Result<()> {
        self.wire
            .ring
            .submit()
            .map_err(|error| Error::run(format!("the generator's ring: {error}")))
    }
}

fn check(options: &Options) -> Result<()> {
    if !(1..=CONNECTIONS_MAX).contains(&options.connections) {
        return Err(Error::usage(format!("connections must lie in 1..={CONNECTIONS_MAX}")));
    }
    if !(1..=IN_FLIGHT_MAX).contains(&options.in_flight) {
        return Err(Error::usage(format!("--in-flight must lie in 1..={IN_FLIGHT_MAX}")));
    }
    options.protocol.check_size(options.payload_bytes).map_err(Error::usage)
}

/// Room for what may come at once: a page at least, at most 64 KiB, unless one frame is larger.
fn receive_bytes(frame_bytes: usize, in_flight: usize) -> usize {
    let wanted = frame_bytes.saturating_mul(in_flight.max(16)).next_multiple_of(4096);
    wanted.clamp(4096, RECEIVE_BYTES.max(frame_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;

    #[test]
    fn a_receive_buffer_holds_a_frame_and_no_more_than_needed() {
        assert_eq!(receive_bytes(66, 1), 4096);
        assert_eq!(receive_bytes(16_386, 16), RECEIVE_BYTES);
        assert_eq!(receive_bytes(1 << 20, 1), 1 << 20);
    }

    #[test]
    fn options_without_sense_are_refused() {
        let good = Options {
            protocol: Protocol::Frames(Framing::U16),
            connections: 1,
            payload_bytes: 64,
            in_flight: 1,
            seed: 1,
        };
        assert!(check(&good).is_ok());
        assert!(check(&Options { connections: 0, ..good.clone() }).is_err());
        assert!(check(&Options { in_flight: IN_FLIGHT_MAX + 1, ..good.clone() }).is_err());
        assert!(check(&Options { payload_bytes: 15, ..good }).is_err());
    }
}
