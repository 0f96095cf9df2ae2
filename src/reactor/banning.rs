//! The ban list of the running engine, from within and from other threads.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::Reactor;
use super::engine::Handle;
use crate::limit::{Ban, BansFull, Network};

/// Bans an address or a network from connecting to this engine, on all its cores: for a while, or
/// with `None` for ever. Connections that it has stay. At most `SKYRING_BANS_MAX` at once.
///
/// ```no_run
/// use skyring::limit::Network;
/// use skyring::prelude::*;
/// use std::time::Duration;
///
/// struct Guarded;
/// impl Agent for Guarded {
///     async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
///         if &frame[..] == b"cheat" {
///             if let Some(peer) = client.peer().and_then(|peer| peer.inet()) {
///                 let ten_minutes = Duration::from_secs(600);
///                 let _ = skyring::ban(Network::from(peer.ip()), Some(ten_minutes));
///             }
///             client.kick();
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// # Errors
/// The list is full.
///
/// # Panics
/// Outside of a reactor; other threads have [`Handle::ban`].
pub fn ban(network: Network, duration: Option<Duration>) -> Result<(), BansFull> {
    ban_on(&Reactor::current(), network, duration)
}

/// Takes a ban back; whether there was one. Bans of networks around it or within it stay.
///
/// # Panics
/// Outside of a reactor; other threads have [`Handle::unban`].
pub fn unban(network: Network) -> bool {
    Reactor::current().shared.bans.unban(network)
}

fn ban_on(reactor: &Reactor, network: Network, duration: Option<Duration>) -> Result<(), BansFull> {
    let now = reactor.now();
    reactor.shared.bans.ban(network, duration.map(|duration| now + duration), now)
}

impl Handle {
    /// As [`ban`](crate::ban), from a thread that is not a core of the engine. Waits for a turn of
    /// a core. An engine that has stopped accepts nobody anyway.
    ///
    /// # Errors
    /// The list is full.
    pub fn ban(&self, network: Network, duration: Option<Duration>) -> Result<(), BansFull> {
        self.ask(move |reactor| ban_on(reactor, network, duration)).unwrap_or(Ok(()))
    }

    /// Takes a ban back; whether there was one.
    pub fn unban(&self, network: Network) -> bool {
        self.shared.bans.unban(network)
    }

    /// The bans that are not over, in the order of their addresses. Waits as [`Handle::ban`].
    pub fn bans(&self) -> Vec<Ban> {
        self.ask(|reactor| reactor.shared.bans.list(reactor.now())).unwrap_or_default()
    }

    /// What the first core answers; `None` once it has ended.
    fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&Reactor) -> R + Send + 'static,
    ) -> Option<R> {
        assert!(Reactor::try_current().is_none(), "a core must not wait for another");
        let (sender, answer) = sync_channel(1); // room for all: nobody waits to tell
        self.inboxes.first()?.send(move |reactor| {
            let _ = sender.send(question(reactor));
        });
        answer.recv().ok()
    }
}
