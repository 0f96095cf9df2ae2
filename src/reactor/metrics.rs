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

    pub(crate) fn value(&self) -> u64 {
        self.0.get()
    }
}

macro_rules! counts {
    ($($(#[doc = $meaning:literal])+ $name:ident,)+) => {
        /// The counts of one core as it keeps them.
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $($(#[doc = $meaning])+ pub(crate) $name: Count,)+ }

        /// What the cores of an engine have counted since their start, added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics { $($(#[doc = $meaning])+ pub $name: u64,)+ }

        impl Counts {
            /// The values now.
            pub(crate) fn snapshot(&self) -> Metrics {
                Metrics { $($name: self.$name.value(),)+ }
            }
        }

        impl Metrics {
            /// Adds another core's counts.
            pub(crate) fn add(&mut self, other: &Metrics) {
                $(self.$name += other.$name;)+
            }

            /// Name and value of each count, in a fixed order.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counts! {
    /// Turns of the reactors.
    turns,
    /// Passes of a spin: mail of other cores was handled, and the kernel was not entered.
    passes,
    /// Completions of operations.
    completions,
    /// Polls of tasks.
    polls,
    /// Panics of what users wrote: tasks and agents, and payloads that were dropped.
    panics,
    /// Messages handled by services.
    messages,
    /// Messages that came from other cores or threads and found their service dead or its mailbox
    /// full.
    messages_undelivered,
    /// Answers that came when nobody waited for them any more.
    late_answers,
    /// Messages and answers that came from other cores.
    fabric_received,
    /// Messages and answers for other cores that found their ring full and waited beside it.
    fabric_spilled,
    /// Sleeping cores that were woken for a message.
    bells,
    /// Connections accepted.
    accepted,
    /// Connections opened from here.
    connected,
    /// Connections closed, for whatever reason.
    closed,
    /// Connections refused at accept because a limit was reached.
    refused,
    /// Times an accept failed, out of descriptors for example; it goes on after a pause.
    accept_errors,
    /// Connections closed because they received nothing for too long.
    idled,
    /// Connections closed because their send queue reached its cap.
    kicked,
    /// Connections closed because their peer broke the framing.
    malformed,
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
    /// Times a connection's reads paused because its reader lagged.
    paused,
}
