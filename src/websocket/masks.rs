//! Where a client's masks come from.

use std::cell::RefCell;

use crate::reactor::Reactor;

/// Random bytes that a client gets at once: a system call for so many masks.
const MASK_BYTES: usize = 64;

/// The masks of a client: unpredictable, as RFC 6455, 10.3 wants them.
pub(super) struct Masks {
    bytes: [u8; MASK_BYTES],
    used: usize,
}

impl Masks {
    pub(super) fn new() -> Box<RefCell<Masks>> {
        Box::new(RefCell::new(Masks { bytes: [0; MASK_BYTES], used: MASK_BYTES }))
    }

    pub(super) fn next(&mut self, reactor: &Reactor) -> [u8; 4] {
        if self.used == MASK_BYTES {
            reactor.driver(|driver| driver.fill_random(&mut self.bytes));
            self.used = 0;
        }
        self.used += 4;
        *self.bytes[self.used - 4..].first_chunk().expect("four are left")
    }
}
