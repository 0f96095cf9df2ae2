//! How fast one client may send: its own rate, and that of its address over all cores.

use std::cell::RefCell;
use std::sync::Arc;

use crate::clock::Now;
use crate::limit::{Limit, Network, Prefixes, Rate, RetryAfter};
use crate::net::connection::Connection;
use crate::reactor::shared::Shared;

/// The rates that hold for one client.
pub(super) struct Pace {
    own: RefCell<Rate>,
    /// Whose rate counts over all cores.
    network: Option<Network>,
    shared: Arc<Shared>,
}

impl Pace {
    /// The pace of a connection; none when nothing limits it.
    pub(super) fn of(connection: &Connection) -> Option<Box<Pace>> {
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

    /// One more request.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn take(&self, now: Now) -> Result<(), RetryAfter> {
        self.own.borrow_mut().take(now, 1)?;
        self.network.as_ref().map_or(Ok(()), |network| self.shared.rates.take(network, now, 1))
    }
}
