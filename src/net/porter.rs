//! Who stands at the listeners of a gate: knows its proxies and its places, and hands connections on.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::Connection;
use crate::limit::quota::Places;
use crate::limit::{Networks, Refusal};
use crate::memory::frame::Frame;
use crate::reactor::Reactor;

/// What is done with an accepted connection, reads off. One that a proxy has brought comes with what
/// was received behind its header, be it nothing.
type HandOn = Box<dyn Fn(Rc<Connection>, Option<Frame>)>;

/// A gate's at its listeners of one core.
pub(crate) struct Porter {
    /// Of all cores.
    places: Arc<Places>,
    proxies: Arc<Networks>,
    hand_on: HandOn,
}

impl Porter {
    pub(crate) fn new(
        places: Arc<Places>,
        proxies: Arc<Networks>,
        hand_on: impl Fn(Rc<Connection>, Option<Frame>) + 'static,
    ) -> Rc<Porter> {
        Rc::new(Porter { places, proxies, hand_on: Box::new(hand_on) })
    }

    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Whether it matters to it who is at the other end.
    pub(super) fn asks_peer(&self) -> bool {
        !self.proxies.is_empty()
    }

    /// Whether who is at the other end must say whose connection he brings.
    pub(super) fn is_proxy(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.proxies.contains(peer))
    }

    pub(super) fn hand_on(&self, connection: Rc<Connection>, rest: Option<Frame>) {
        (self.hand_on)(connection, rest);
    }

    /// Whether a connection that a proxy has brought may stay: what is looked at for others when
    /// they are accepted.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), Refusal> {
        let reactor = &connection.reactor;
        let peer = connection.peer().and_then(|peer| peer.inet()).map(|peer| peer.ip());
        if let Some(peer) = peer {
            if reactor.shared.bans.find(peer, reactor.now()).is_some() {
                return Err(Refusal::Banned);
            }
            connection.count_for(peer)?;
        }
        connection.occupy(self.places.take().ok_or(Refusal::GateFull)?);
        Ok(())
    }

    /// Counts and closes a connection that is refused.
    pub(crate) fn turn_away(&self, connection: &Rc<Connection>, refusal: Refusal) {
        turn_away(connection, &self.places, refusal);
    }
}

/// Counts and closes a connection that its gate refuses: after a word, if there is one.
pub(crate) fn turn_away(connection: &Rc<Connection>, places: &Places, refusal: Refusal) {
    let peer = connection.peer().and_then(|peer| peer.inet()).map(|peer| peer.ip());
    report(&connection.reactor, refusal, peer);
    connection.dismiss(places.words().map_or(&[], |words| words.at_door(refusal)));
}

/// Counts a connection that was refused at the door. The log hears of the first, the second, the
/// fourth, and so on: who floods us with connections must not flood the log, too.
pub(super) fn report(reactor: &Reactor, refusal: Refusal, peer: Option<IpAddr>) {
    let metrics = &reactor.metrics;
    let count = match refusal {
        Refusal::EngineFull => &metrics.refused,
        Refusal::AddressFull => &metrics.refused_per_ip,
        Refusal::Banned => &metrics.banned,
        _ => &metrics.refused_by_gate,
    };
    count.add(1);
    let so_far = count.value();
    if so_far.is_power_of_two() {
        let peer = peer.map(tracing::field::display);
        tracing::warn!(peer, told = %refusal, so_far, "connection refused");
    }
}
