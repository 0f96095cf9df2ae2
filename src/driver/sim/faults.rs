//! The weather of a simulation: what goes wrong, how often, and how often it did.

use std::time::Duration;

/// What the simulated kernel and network do to their users. Numbers without a unit are
/// probabilities from 0 to 1, each drawn from the seed where its line says. All are off by default;
/// a test switches on what it is about, or takes [`Faults::bad_weather`].
///
/// Each of these happens on a real machine, only too seldom for a test. Keep `no_buffers`,
/// `accept_error` and `connect_error` below 1: a user that tries again must get through some day.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A receive gets a part of what is there; the rest comes after the next enter.
    pub short_receive: f64,
    /// A send takes a part of what there is room for.
    pub short_send: f64,
    /// A receive ends by ENOBUFS although the pool has blocks.
    pub no_buffers: f64,
    /// A multishot operation ends with a success: the completion has no MORE.
    pub lost_more: f64,
    /// A receive that finds the last bytes and the end of a stream at once tells the bytes only, and
    /// waits for good. Linux does so in a moment of its arming, see `reactor/look.rs`.
    pub missed_end: f64,
    /// A cancel comes late: the operation goes on for up to `cancel_delay_max`, and may succeed.
    pub late_cancel: f64,
    /// The longest that a late cancel takes.
    pub cancel_delay_max: Duration,
    /// An accept ends by EMFILE, ENFILE, ENOMEM or ECONNABORTED (accept(2)).
    pub accept_error: f64,
    /// A connect fails by ECONNREFUSED, ETIMEDOUT or EHOSTUNREACH although there is a listener.
    pub connect_error: f64,
    /// A segment breaks its stream instead of arriving: ECONNRESET at both ends.
    pub reset: f64,
    /// The shortest way of a segment or datagram, one way.
    pub delay_min: Duration,
    /// The longest. Segments of one stream keep their order, datagrams do not.
    pub delay_max: Duration,
    /// How long a round of turns takes, see `World::end_round`.
    pub round_time: Duration,
    /// A datagram is lost.
    pub datagram_loss: f64,
    /// A datagram comes twice.
    pub datagram_twice: f64,
    /// A completion overtakes those of other operations.
    pub reorder: f64,
    /// A reap yields only a part of what has completed, as an enter with deferred completions does.
    pub hold_back: f64,
    /// Bytes that a socket takes in for a reader that does not read; then its peer's sends wait.
    pub socket_bytes_max: usize,
    /// More open descriptors than this in the whole world are EMFILE.
    pub descriptors_max: usize,
}

impl Default for Faults {
    /// Fair weather: nothing goes wrong and everything arrives at once.
    fn default() -> Faults {
        Faults {
            short_receive: 0.0,
            short_send: 0.0,
            no_buffers: 0.0,
            lost_more: 0.0,
            missed_end: 0.0,
            late_cancel: 0.0,
            cancel_delay_max: Duration::from_millis(5),
            accept_error: 0.0,
            connect_error: 0.0,
            reset: 0.0,
            delay_min: Duration::ZERO,
            delay_max: Duration::ZERO,
            round_time: Duration::from_micros(1),
            datagram_loss: 0.0,
            datagram_twice: 0.0,
            reorder: 0.0,
            hold_back: 0.0,
            socket_bytes_max: 64 * 1024,
            descriptors_max: usize::MAX,
        }
    }
}

impl Faults {
    /// All that a correct server survives without losing a byte: everything but resets and failed
    /// connects, which end connections for good.
    pub fn bad_weather() -> Faults {
        Faults {
            short_receive: 0.3,
            short_send: 0.3,
            no_buffers: 0.1,
            lost_more: 0.1,
            late_cancel: 0.5,
            accept_error: 0.2,
            delay_min: Duration::from_micros(20),
            delay_max: Duration::from_millis(3),
            datagram_loss: 0.05,
            datagram_twice: 0.02,
            reorder: 0.3,
            hold_back: 0.2,
            socket_bytes_max: 16 * 1024,
            ..Faults::default()
        }
    }

    /// Bad weather in which connections break too.
    pub fn storm() -> Faults {
        Faults { connect_error: 0.1, reset: 0.01, ..Faults::bad_weather() }
    }
}

/// What happened in a world so far. A test that is about a fault asserts that it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Receives that got a part of what was there.
    pub short_receives: u64,
    /// Sends that took a part of what there was room for.
    pub short_sends: u64,
    /// ENOBUFS by chance.
    pub no_buffers: u64,
    /// ENOBUFS because the pool was empty indeed.
    pub starved: u64,
    /// Multishot operations that ended with a success.
    pub lost_mores: u64,
    /// Receives that have missed the end of their stream.
    pub missed_ends: u64,
    /// Cancels that came late.
    pub late_cancels: u64,
    /// Late cancels whose operation succeeded after all.
    pub lost_cancels: u64,
    /// Accepts that failed, by chance or by `descriptors_max`.
    pub accept_errors: u64,
    /// Connects that failed by chance.
    pub connect_errors: u64,
    /// Streams broken by chance.
    pub resets: u64,
    /// Completions that overtook others.
    pub reordered: u64,
    /// Reaps that yielded a part of what had completed.
    pub held_back: u64,
    /// Datagrams lost.
    pub datagrams_lost: u64,
    /// Datagrams that came twice.
    pub datagrams_twice: u64,
    /// Connection requests that met a full backlog and were tried again.
    pub backlog_full: u64,
    /// Sends that found no room and had to wait.
    pub sends_waited: u64,
    /// Connections that were established.
    pub connections: u64,
    /// Bytes that arrived at streams.
    pub bytes: u64,
    /// Datagrams that arrived.
    pub datagrams: u64,
}
