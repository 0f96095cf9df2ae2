//! Sends in bundles: each connection has a buffer group of its own, since a bundle takes whatever
//! its group holds.

use super::blocks::{BufferRing, GROUP};
use super::connection::{GATHER_MAX, Store};
use super::server::Server;

impl Server<'_> {
    /// Gives a connection its own group to send bundles from. Without memory for it, or on an
    /// older kernel, the connection gathers.
    pub(super) fn add_bundle(&mut self, slot: usize) {
        if let Store::Pieces(pieces) = &mut self.connections[slot].store {
            let ring = BufferRing::new(GATHER_MAX as u16);
            // SAFETY: `remove` unregisters the group before the ring is dropped, and what is put
            // into it are pieces, which stay until their send's end.
            let registered = unsafe { ring.register(&self.submitter, group(slot)) };
            pieces.bundle = registered.is_ok().then_some(ring);
        }
    }

    /// After a short send nobody knows what the group still holds: it is emptied.
    pub(super) fn reset_bundle(&mut self, slot: usize) {
        let Store::Pieces(pieces) = &mut self.connections[slot].store else { return };
        let Some(mut ring) = pieces.bundle.take() else { return };
        self.submitter.unregister_buf_ring(group(slot)).expect("it was registered");
        ring.clear();
        // SAFETY: as in `add_bundle`.
        let registered = unsafe { ring.register(&self.submitter, group(slot)) };
        pieces.bundle = registered.is_ok().then_some(ring);
    }
}

/// The buffer group of a connection; beyond the last number, one that cannot be registered.
pub(super) fn group(slot: usize) -> u16 {
    u16::try_from(slot + 1).unwrap_or(GROUP)
}
