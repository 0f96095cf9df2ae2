//! What the real driver does by plain system calls: set up and asked at once, in virtual time 0.

use std::io;

use rustix::io::Errno;

use super::Kernel;
use super::stream::Readable;
use crate::driver::operation::{Descriptor, ListenOptions, Protocol, Shutdown, SocketAddress};
use crate::memory::chain::Chain;

impl Kernel {
    pub(crate) fn open(
        &mut self,
        at: &SocketAddress,
        protocol: Protocol,
    ) -> io::Result<Descriptor> {
        self.world.0.borrow_mut().open_fresh(self.core, at, protocol)
    }

    pub(crate) fn bind_datagram(&mut self, at: &SocketAddress) -> io::Result<Descriptor> {
        self.world.0.borrow_mut().bind_datagram(self.core, at)
    }

    pub(crate) fn listen(
        &mut self,
        at: &SocketAddress,
        options: ListenOptions,
    ) -> io::Result<Descriptor> {
        self.world.0.borrow_mut().listen(self.core, at, options)
    }

    /// Another descriptor of the same socket, owned by this core.
    pub(crate) fn duplicate(&mut self, socket: Descriptor) -> io::Result<Descriptor> {
        let mut state = self.world.0.borrow_mut();
        let id = state.resolve(socket);
        Ok(state.open(self.core, id)?)
    }

    /// Fails when somebody holds the address, shared or not.
    pub(crate) fn probe_free(&mut self, at: &SocketAddress) -> io::Result<()> {
        let alone = ListenOptions { backlog: 0, shared: false };
        let mut state = self.world.0.borrow_mut();
        let probe = state.listen(self.core, at, alone)?;
        state.close(probe);
        Ok(())
    }

    pub(crate) fn local_address(&self, socket: Descriptor) -> io::Result<SocketAddress> {
        let state = self.world.0.borrow();
        Ok(state.local_address(state.resolve(socket)))
    }

    pub(crate) fn peer_address(&self, socket: Descriptor) -> io::Result<SocketAddress> {
        let state = self.world.0.borrow();
        state.peer_address(state.resolve(socket))
    }

    pub(crate) fn unsent(&self, socket: Descriptor) -> io::Result<u32> {
        let mut state = self.world.0.borrow_mut();
        let id = state.resolve(socket);
        Ok(u32::try_from(state.unsent(id)).unwrap_or(u32::MAX))
    }

    pub(crate) fn is_readable(&self, socket: Descriptor) -> bool {
        let mut state = self.world.0.borrow_mut();
        let id = state.resolve(socket);
        state.is_readable(id)
    }

    /// Whether the weather makes receives miss the ends of their streams.
    pub(crate) fn misses_ends(&self) -> bool {
        self.world.0.borrow().faults.missed_end > 0.0
    }

    /// Changes nothing: no Nagle is simulated. Refused where the real kernel refuses it.
    pub(crate) fn set_nodelay(&mut self, socket: Descriptor, _on: bool) -> io::Result<()> {
        let state = self.world.0.borrow();
        let is_unix = state.is_unix(state.resolve(socket));
        if is_unix { Err(Errno::OPNOTSUPP.into()) } else { Ok(()) }
    }

    pub(crate) fn shutdown(&mut self, socket: Descriptor, how: Shutdown) -> io::Result<()> {
        let mut state = self.world.0.borrow_mut();
        let id = state.resolve(socket);
        Ok(state.shutdown(id, how)?)
    }

    /// As the real one; it drops all that has come.
    pub(crate) fn dismiss(&mut self, socket: Descriptor, words: &[u8]) -> bool {
        let mut state = self.world.0.borrow_mut();
        let id = state.resolve(socket);
        let mut chain = Chain::default();
        chain.push(words.into());
        let sent = state.poll_send(id, &chain);
        let _ = state.shutdown(id, Shutdown::Write);
        if let Some(Readable::Bytes(len)) = state.poll_readable(id) {
            state.consume(id, len);
        }
        sent == Some(Ok(words.len()))
    }

    pub(crate) fn set_abortive(&mut self, socket: Descriptor) -> io::Result<()> {
        let mut state = self.world.0.borrow_mut();
        let id = state.resolve(socket);
        state.set_abortive(id);
        Ok(())
    }
}
