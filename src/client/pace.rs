//! How fast one client may send: its own rate, and that of its address over all cores.

use std::cell::RefCell;
use std::sync::Arc;

use crate::clock::Now;
use crate::limit::{Limit, Network, Prefixes, Rate, RetryAfter};
use crate::net::connection::Connection;
use crate::reactor::shared::Shared;

/// The rates that hold for one client.
pub(crate) struct Pace {
    own: RefCell<Rate>,
    /// Whose rate counts over all cores.
    network: Option<Network>,
    shared: Arc<Shared>,
}

impl Pace {
    /// The pace of a connection; none when nothing limits it.
    pub(crate) fn of(connection: &Connection) -> Option<Box<Pace>> {
        let reactor = &connection.reactor;
        let own = Limit::per_connection(&reactor.settings);
        let shared = &reactor.shared;
        if own.is_unlimited() && shared.rates.is_unlimited() {
            return None;
        }
        let peer = connection.peer().and_then(|peer| peer.inet());
        let peer = peer.filter(|_| !shared.rates.is_unlimited());
        let network = peer.map(|peer| Prefixes::of(&reactor.settings).network(peer.ip()));
        let own = RefCell::new(Rate::new(own));
        Some(Box::new(Pace { own, network, shared: shared.clone() }))
    }

    /// One more request, which costs so much of both rates.
    ///
    /// # Errors
    /// It is one too many; nothing is taken of either.
    pub(crate) fn take(&self, now: Now, cost: u32) -> Result<(), RetryAfter> {
        let mut own = self.own.borrow_mut();
        let mut after = *own;
        after.take(now, cost)?;
        if let Some(network) = &self.network {
            self.shared.rates.take(network, now, cost)?;
        }
        *own = after;
        Ok(())
    }
}
