//! What a core counts. Plain cells: a thread that wants to know asks the core.

use std::cell::Cell;

/// A count of one core, since its start.
#[derive(Debug, Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    /// For what is counted elsewhere.
    pub(crate) fn set(&self, n: u64) {
        self.0.set(n);
    }

    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0.get()
    }
}

macro_rules! metrics {
    (
        counts: $($(#[doc = $meaning:literal])+ $name:ident,)+;
        gauges: $($(#[doc = $state:literal])+ $gauge:ident,)+;
    ) => {
        /// The counts of one core as it keeps them.
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $($(#[doc = $meaning])+ pub(crate) $name: Count,)+ }

        /// How things stand on one core.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Gauges { $($(#[doc = $state])+ pub(crate) $gauge: u64,)+ }

        /// What a core has counted since its start, and how things stand on it now; or the same of
        /// several cores, added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[doc = $meaning])+ pub $name: u64,)+
            $($(#[doc = $state])+ pub $gauge: u64,)+
        }

        impl Counts {
            /// The values now.
            pub(crate) fn snapshot(&self, gauges: Gauges) -> Metrics {
                Metrics { $($name: self.$name.value(),)+ $($gauge: gauges.$gauge,)+ }
            }
        }

        impl Metrics {
            /// Adds another core's.
            pub(crate) fn add(&mut self, other: &Metrics) {
                $(self.$name += other.$name;)+
                $(self.$gauge += other.$gauge;)+
            }

            /// Name and value of each count, in a fixed order. They only grow.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }

            /// Name and value of each gauge, in a fixed order: how things stand now.
            pub fn gauges(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($gauge), self.$gauge),)+].into_iter()
            }
        }
    };
}

metrics! {
    counts:
    /// Turns of the reactors.
    turns,
    /// Passes of a spin: mail of other cores was handled, and the kernel was not entered.
    passes,
    /// Turns that took more than 10 ms, while the core's other clients waited.
    slow_turns,
    /// Turns that were reported because they took more than `SKYRING_STALL`.
    stalls,
    /// Nanoseconds of turns that found something to do; neither waiting nor spinning. See
    /// [`Metrics::utilisation`].
    busy_ns,
    /// Nanoseconds of processor that the reactors' threads have had, the kernel's work for them and
    /// spinning included.
    cpu_ns,
    /// Nanoseconds from the start of the reactors to the turn that answers; of each core, so two
    /// cores have two a nanosecond.
    up_ns,
    /// Completions of operations.
    completions,
    /// Polls of tasks.
    polls,
    /// Panics of what users wrote: tasks and agents, and payloads that were dropped.
    panics,
    /// Messages handled by services.
    messages,
    /// Messages that no service has handled and no sender was given back: they came from another
    /// core, a thread or a broadcast and found their service dead or its mailbox full, or waited at
    /// a service that ended.
    messages_undelivered,
    /// Broadcasts that did not reach the members on a core, because it lagged; one for each such core.
    broadcasts_lost,
    /// Calls that failed before they left: their service had ended, or there was no room.
    calls_refused,
    /// Answers that came when nobody waited for them any more.
    late_answers,
    /// Calls that went to the lane.
    lane_calls,
    /// Messages and answers that came from other cores.
    fabric_received,
    /// Messages and answers for other cores that found their ring full and waited beside it.
    fabric_spilled,
    /// Messages given back to their sender because the way to the other core was full.
    fabric_busy,
    /// Sleeping cores that were woken for a message.
    bells,
    /// Connections accepted.
    accepted,
    /// Connections opened from here.
    connected,
    /// Connections closed, for whatever reason.
    closed,
    /// Connections refused at accept because `SKYRING_CONNECTIONS_MAX` was reached.
    refused,
    /// Connections refused at accept because `SKYRING_CONNECTIONS_PER_IP_MAX` was reached.
    refused_per_ip,
    /// Connections refused because their gate was full, or its service being started again.
    refused_by_gate,
    /// Connections refused at accept because their address is banned.
    banned,
    /// Connections of trusted proxies whose PROXY header was read.
    proxied,
    /// Connections of trusted proxies closed because their PROXY header was malformed, cut, or did
    /// not come in time.
    proxy_errors,
    /// Handshakes of TLS that were done, with peers that connected and those connected to.
    tls_handshakes,
    /// Those of them that resumed an earlier session.
    tls_resumed,
    /// Handshakes of TLS that failed: the peer spoke something else, was refused or refused us, or
    /// took too long.
    tls_failed,
    /// Connections that were closed before a handshake of TLS, since their address had begun too many
    /// (`SKYRING_TLS_RATE_PER_IP`).
    tls_too_fast,
    /// Refused connections and clients that were told why in words (`GateBuilder::on_refusal`).
    refusals_told,
    /// Times an accept failed, out of descriptors for example; it goes on after a pause.
    accept_errors,
    /// Connections closed because they received nothing for too long.
    idled,
    /// Connections closed because their send queue reached its cap.
    kicked,
    /// Connections closed because their peer, or its address, sent too fast.
    too_fast,
    /// Connections closed because no frame was whole within `SKYRING_HANDSHAKE`.
    silent,
    /// Connections whose peer broke the framing; a gate has closed them.
    malformed,
    /// Clients sent away because their service ended, or none could be made for them.
    abandoned,
    /// Clients sent away because the engine stops.
    stopped,
    /// Requests that cost more than the rate of their client or its address had left
    /// (`Client::charge`).
    charges_refused,
    /// Clients handed to a service on another core.
    clients_sent,
    /// Clients that came from another core.
    clients_taken,
    /// Requests of HTTP that were answered, those that were refused included.
    http_requests,
    /// Requests of HTTP that were answered 429: their connection, or its address, asks too fast.
    http_too_fast,
    /// Requests of HTTP that broke the protocol or a limit; the connection has closed.
    http_refused,
    /// Messages of WebSockets that were whole.
    websocket_messages,
    /// WebSockets whose peer broke the protocol or a limit; it was told why.
    websocket_failed,
    /// WebSockets whose peer began a message and did not end it in time; it was told why.
    websocket_slow,
    /// WebSockets given up because their peer did not answer a ping, or a Close, in time, or took
    /// nothing of a message that was written in pieces.
    websocket_silent,
    /// Messages that were encoded for many WebSockets: one for each, on each core, whatever their
    /// number.
    websocket_encodings,
    /// Bytes received.
    bytes_received,
    /// Bytes sent.
    bytes_sent,
    /// Bytes that were still queued when their connection broke.
    bytes_unsent,
    /// Datagrams dropped on arrival: nobody took them in time, or they were longer than a block.
    datagrams_dropped,
    /// Datagrams that the kernel refused to send, or that were queued when their socket ended.
    datagrams_unsent,
    /// Frames handed to agents.
    frames,
    /// Frames that agents did not get because they had ended.
    frames_undelivered,
    /// Frames copied because they span blocks.
    frames_joined,
    /// Receives copied because too many blocks are lent.
    quota_copies,
    /// Receives that found no block and were parked until some came home.
    starved,
    /// Receives that waited a turn because large ones cycle through a few blocks.
    rationed,
    /// Receives that were made anew since the kernel had not told what there is: the end of a
    /// stream, as a rule. Looked for every 5 s on silent connections.
    receives_renewed,
    /// Times a connection's reads paused because its reader lagged.
    paused,
    ;
    gauges:
    /// Blocks of the pools that frames, or the sends in flight, hold.
    lent_blocks,
    /// Sockets: connections, listeners, datagram sockets, and those that are being opened.
    residents,
    /// Tasks, each agent and each service among them.
    tasks,
    /// Services.
    services,
    /// Calls that wait for their answer.
    calls,
    /// Timers that run.
    timers,
    ;
}

impl Metrics {
    /// The share of the time since `before` in which the cores were busy, from 0 to 1: of one core
    /// by [`Handle::metrics_by_core`](crate::Handle::metrics_by_core), the mean of them all by
    /// [`Handle::metrics`](crate::Handle::metrics). Against `Metrics::default()` it is the share
    /// since the start.
    ///
    /// It is about turns: how likely what comes finds its core in the middle of one, be it that a
    /// handler calculates, blocks, or that another program has the core. What the kernel does of the
    /// output in the very call that waits counts as waiting; the more load, the fewer calls wait. What
    /// the processor does in all is `cpu_ns` against `up_ns`.
    ///
    /// ```no_run
    /// # fn look(handle: &skyring::Handle) {
    /// let before = handle.metrics();
    /// std::thread::sleep(std::time::Duration::from_secs(1));
    /// println!("{:.0} %", 100.0 * handle.metrics().utilisation(&before));
    /// # }
    /// ```
    pub fn utilisation(&self, before: &Metrics) -> f64 {
        match self.up_ns.saturating_sub(before.up_ns) {
            0 => 0.0,
            up => self.busy_ns.saturating_sub(before.busy_ns) as f64 / up as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_add_up_counts_and_gauges() {
        let counts = Counts::default();
        counts.turns.add(3);
        counts.up_ns.set(1000);
        counts.busy_ns.add(250);
        let gauges =
            Gauges { lent_blocks: 1, residents: 2, tasks: 3, services: 4, calls: 5, timers: 6 };
        let one = counts.snapshot(gauges);
        let mut two = one;
        two.add(&one);
        assert_eq!((two.turns, two.tasks, two.timers), (6, 6, 12));
        assert_eq!(one.gauges().map(|(_, value)| value).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert!(two.entries().all(|(name, _)| name != "tasks"));
        assert_eq!(two.utilisation(&Metrics::default()), 0.25);
        assert_eq!(two.utilisation(&one), 0.25);
        assert_eq!(two.utilisation(&two), 0.0);
    }
}
