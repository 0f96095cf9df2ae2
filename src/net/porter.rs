//! Who stands at the listeners of a gate: knows its proxies and its places, and hands connections on.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::Connection;
use super::handshake::{self, Failure, Greet, handshake_limit};
use crate::limit::quota::Places;
use crate::limit::refusal::Words;
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
    /// Speaks a handshake with each connection before it is handed on.
    greet: Option<Arc<dyn Greet>>,
}

impl Porter {
    pub(crate) fn new(
        places: Arc<Places>,
        proxies: Arc<Networks>,
        greet: Option<Arc<dyn Greet>>,
        hand_on: impl Fn(Rc<Connection>, Option<Frame>) + 'static,
    ) -> Rc<Porter> {
        Rc::new(Porter { places, proxies, hand_on: Box::new(hand_on), greet })
    }

    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// What is said to those who are refused at the door; nothing where they expect a handshake.
    pub(super) fn words(&self) -> Option<&Words> {
        if self.greet.is_some() { None } else { self.places.words() }
    }

    /// Whether it matters to it who is at the other end.
    pub(super) fn asks_peer(&self) -> bool {
        !self.proxies.is_empty()
    }

    /// Whether who is at the other end must say whose connection he brings.
    pub(super) fn is_proxy(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.proxies.contains(peer))
    }

    /// Hands a connection on, after the handshake if there is to be one. `rest` came behind a proxy's
    /// header.
    pub(super) fn hand_on(self: &Rc<Self>, connection: Rc<Connection>, rest: Option<Frame>) {
        match &self.greet {
            None => (self.hand_on)(connection, rest),
            Some(greet) => self.shake(greet, connection, rest),
        }
    }

    fn shake(
        self: &Rc<Self>,
        greet: &Arc<dyn Greet>,
        connection: Rc<Connection>,
        first: Option<Frame>,
    ) {
        if let Err(failure) = handshake::admit(connection.peer()) {
            report_failure(&connection, &failure);
            return connection.abort_now();
        }
        let handshake = match greet.begin() {
            Ok(handshake) => handshake,
            Err(why) => {
                connection.reactor.metrics.tls_failed.add(1);
                report_failure(&connection, &Failure::Refused(why));
                return connection.abort_now();
            }
        };
        let limit = handshake_limit();
        let porter = self.clone();
        let first = first.map_or_else(Vec::new, |first| first.to_vec());
        handshake::speak(
            connection,
            handshake,
            first,
            limit,
            move |connection, result| match result {
                Ok(rest) => (porter.hand_on)(connection, Some(rest)),
                Err(failure) => report_failure(&connection, &failure),
            },
        );
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

    /// Counts and closes a connection that is refused before it is handed on.
    pub(super) fn turn_away(&self, connection: &Rc<Connection>, refusal: Refusal) {
        if self.greet.is_none() {
            return turn_away(connection, &self.places, refusal);
        }
        let peer = connection.peer().and_then(|peer| peer.inet()).map(|peer| peer.ip());
        report(&connection.reactor, refusal, peer);
        connection.abort_now();
    }
}

/// Tells the log of a handshake that failed: the first, the second, the fourth, and so on.
fn report_failure(connection: &Connection, why: &Failure) {
    let metrics = &connection.reactor.metrics;
    let so_far = match why {
        Failure::TooFast(_) => metrics.tls_too_fast.value(),
        _ => metrics.tls_failed.value(),
    };
    if !matches!(why, Failure::Stopping | Failure::Closed) && so_far.is_power_of_two() {
        let peer = connection.peer().map(tracing::field::display);
        tracing::warn!(peer, %why, so_far, "no TLS with a connection; it is closed");
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
