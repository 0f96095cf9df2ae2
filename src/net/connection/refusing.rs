//! What a connection has to do with limits: whom it counts for, and the words that end it.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::Connection;
use crate::driver::operation::SocketAddress;
use crate::limit::Refusal;
use crate::limit::quota::{Place, Places, Refused};
use crate::memory::chain::Payload;
use crate::reactor::guarded;
use crate::wire::ENVELOPE_BYTES_MAX;

impl Connection {
    /// Keeps a place at a gate until its socket is closed.
    pub(crate) fn occupy(&self, place: Place) {
        if let Some(mut permit) = self.permit.take() {
            permit.occupy(place);
            self.permit.set(Some(permit));
        }
    }

    /// Counts for this address from now on.
    ///
    /// # Errors
    /// The address has all it may have.
    pub(crate) fn count_for(&self, address: IpAddr) -> Result<(), Refused> {
        let Some(mut permit) = self.permit.take() else { return Ok(()) };
        let counted = permit.count_for(address);
        self.permit.set(Some(permit));
        counted
    }

    /// Says who is at the other end, behind a proxy, or before the kernel forgets it. Nobody has asked
    /// yet.
    pub(crate) fn set_peer(&self, peer: SocketAddress) {
        let set = self.peer.set(Box::new(peer));
        debug_assert!(set.is_ok(), "it is said before anybody asks");
    }

    /// The places of its gate.
    fn places(&self) -> Option<Arc<Places>> {
        let permit = self.permit.take();
        let places = permit.as_ref().and_then(|permit| permit.places().cloned());
        self.permit.set(permit);
        places
    }

    /// Closes after these words, or at once when there are none.
    pub(crate) fn dismiss(self: &Rc<Self>, words: &[u8]) {
        if words.is_empty() || self.write(b"", Payload::from(words), b"").is_err() {
            return self.abort_now();
        }
        self.reactor.metrics.refusals_told.add(1);
        self.close();
    }

    /// Queues what its gate says to a client that is sent away, if it says anything and there is
    /// room for it. The caller closes.
    pub(crate) fn last_words(self: &Rc<Self>, refusal: Refusal) {
        let places = self.places().filter(|_| self.is_open());
        let Some(words) = places.as_ref().and_then(|places| places.words()) else { return };
        let metrics = &self.reactor.metrics;
        let said = guarded(metrics, "what is said to the refused panicked", || words.say(refusal));
        let Some(payload) = said.filter(|payload| !payload.is_empty()) else { return };
        let len = payload.len() + ENVELOPE_BYTES_MAX;
        if self.queued() + len > self.reactor.settings.send_queue_bytes_max {
            return; // who reads nothing is not kicked for what is said to him
        }
        match words.framing().encode(&payload) {
            Ok(envelope) => {
                let queued = self.write(envelope.head(), payload.into(), envelope.tail());
                metrics.refusals_told.add(u64::from(queued.is_ok()));
            }
            Err(error) => {
                tracing::warn!(?refusal, %error, "what is said to the refused is no frame")
            }
        }
    }
}
