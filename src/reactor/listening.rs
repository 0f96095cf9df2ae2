//! Where an engine listens, over all of its cores.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::driver::operation::SocketAddress;

/// The addresses of an engine's listeners. Touched when one opens or closes.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// Each address once, in the order of opening, and by how many listeners it is held.
    addresses: Mutex<Vec<(SocketAddress, usize)>>,
    /// Held by a core while it opens a listener that others may share.
    binding: Mutex<()>,
}

impl Listening {
    /// A listener was opened.
    pub(crate) fn add(&self, address: SocketAddress) {
        let mut addresses = self.lock();
        match addresses.iter_mut().find(|(known, _)| *known == address) {
            Some((_, listeners)) => *listeners += 1,
            None => addresses.push((address, 1)),
        }
    }

    /// A listener was closed.
    pub(crate) fn remove(&self, address: &SocketAddress) {
        let mut addresses = self.lock();
        let Some(at) = addresses.iter().position(|(known, _)| known == address) else { return };
        addresses[at].1 -= 1;
        if addresses[at].1 == 0 {
            addresses.remove(at);
        }
    }

    /// Whether a core of this engine listens there.
    pub(crate) fn contains(&self, address: &SocketAddress) -> bool {
        self.lock().iter().any(|(known, _)| known == address)
    }

    /// The addresses now.
    pub(crate) fn addresses(&self) -> Vec<SocketAddress> {
        self.lock().iter().map(|(address, _)| address.clone()).collect()
    }

    /// Keeps the other cores from opening listeners until it is dropped.
    pub(crate) fn bind_alone(&self) -> MutexGuard<'_, ()> {
        self.binding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(SocketAddress, usize)>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_once_until_its_last_listener_closes() {
        let listening = Listening::default();
        let address = SocketAddress::Unix("/run/x".into());
        listening.add(address.clone());
        listening.add(address.clone());
        assert_eq!(listening.addresses().len(), 1);
        listening.remove(&address);
        assert!(listening.contains(&address));
        listening.remove(&address);
        listening.remove(&address);
        assert!(!listening.contains(&address));
    }
}
