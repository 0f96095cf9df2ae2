//! The sockets of a world and the descriptors that name them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::datagram::Mailbox;
use super::listener::Listener;
use super::names::{Request, unspecified};
use super::{Id, Open, Role, Socket, State};
use crate::driver::operation::{Descriptor, ListenOptions, Protocol, SocketAddress};
use crate::driver::token::Token;

impl State {
    /// A socket that no descriptor names yet.
    pub(super) fn insert(&mut self, host: IpAddr, role: Role) -> Id {
        let id = Id(self.next_socket);
        self.next_socket += 1;
        self.sockets.insert(id, Socket { host, role, flights: Vec::new(), descriptors: 0 });
        id
    }

    /// Names a socket. Numbers are never used again, unlike those of the real kernel: a use after
    /// the close is always caught, never by chance another socket's.
    pub(super) fn open(&mut self, core: usize, socket: Id) -> Result<Descriptor, Errno> {
        if self.descriptors.len() >= self.faults.descriptors_max {
            return Err(Errno::MFILE);
        }
        let descriptor = Descriptor(self.next_descriptor);
        self.next_descriptor += 1;
        self.descriptors.insert(descriptor, Open { socket, core, closing: false });
        self.socket(socket).descriptors += 1;
        Ok(descriptor)
    }

    /// The socket that an open descriptor names.
    pub(super) fn resolve(&self, descriptor: Descriptor) -> Id {
        let open = self.descriptors.get(&descriptor);
        let open = open.unwrap_or_else(|| panic!("{descriptor:?} is closed, or never was open"));
        assert!(!open.closing, "{descriptor:?} is used after its close");
        open.socket
    }

    pub(super) fn socket(&mut self, id: Id) -> &mut Socket {
        self.sockets.get_mut(&id).expect("a socket lives as long as a descriptor names it")
    }

    /// Queues the close: nothing may use the descriptor from here on.
    pub(super) fn will_close(&mut self, descriptor: Descriptor) {
        let id = self.resolve(descriptor);
        let flights = &self.sockets[&id].flights;
        let under_way = flights.iter().find(|flight| flight.descriptor == descriptor);
        assert!(under_way.is_none(), "{descriptor:?} is closed under {under_way:?}");
        self.descriptors.get_mut(&descriptor).expect("resolved above").closing = true;
    }

    /// Closes for good.
    pub(super) fn close(&mut self, descriptor: Descriptor) {
        let open = self.descriptors.remove(&descriptor).expect("a close happens once");
        let socket = self.socket(open.socket);
        socket.descriptors -= 1;
        if socket.descriptors == 0 {
            self.destroy(open.socket);
        }
    }

    /// The socket goes; what that means to others depends on what it is.
    pub(super) fn destroy(&mut self, id: Id) {
        let socket = self.sockets.remove(&id).expect("a socket is destroyed once");
        match socket.role {
            Role::Fresh { .. } => {}
            Role::Stream(stream) => self.close_stream(socket.host, id, stream),
            Role::Listener(listener) => self.close_listener(socket.host, id, listener),
            Role::Datagram(mailbox) => {
                if let Some(local) = mailbox.local {
                    self.names.release(socket.host, true, local.port(), id);
                }
            }
        }
    }

    /// The descriptor is this core's from now on.
    pub(super) fn adopt(&mut self, descriptor: Descriptor, core: usize) {
        if let Some(open) = self.descriptors.get_mut(&descriptor) {
            open.core = core;
        }
    }

    /// What the core has left open.
    pub(super) fn descriptors_of(&self, core: usize) -> Vec<Descriptor> {
        let of_core = self.descriptors.iter().filter(|(_, open)| open.core == core);
        of_core.map(|(descriptor, _)| *descriptor).collect()
    }

    /// The core's operations on a socket, in the order of their submission.
    pub(super) fn flights_on(&self, id: Id, core: usize) -> Vec<Token> {
        let Some(socket) = self.sockets.get(&id) else { return Vec::new() };
        let of_core = socket.flights.iter().filter(|flight| flight.core == core);
        of_core.map(|flight| flight.token).collect()
    }

    /// The core's operations that were submitted by this descriptor.
    pub(super) fn flights_at(&self, descriptor: Descriptor, core: usize) -> Vec<Token> {
        let Some(open) = self.descriptors.get(&descriptor) else { return Vec::new() };
        let flights = self.sockets[&open.socket].flights.iter();
        let here = flights.filter(|flight| flight.core == core && flight.descriptor == descriptor);
        here.map(|flight| flight.token).collect()
    }

    /// The last completion of an operation was taken.
    pub(super) fn land(&mut self, id: Id, core: usize, token: Token) {
        let flights = &mut self.socket(id).flights;
        let at = flights.iter().position(|flight| flight.core == core && flight.token == token);
        flights.remove(at.expect("every operation in flight is known to its socket"));
    }

    /// A fresh socket.
    pub(super) fn open_fresh(
        &mut self,
        core: usize,
        address: &SocketAddress,
        protocol: Protocol,
    ) -> io::Result<Descriptor> {
        let unix = matches!(address, SocketAddress::Unix(_));
        let role = match protocol {
            Protocol::Stream => Role::Fresh { unix },
            Protocol::Datagram if unix => return Err(Errno::OPNOTSUPP.into()),
            Protocol::Datagram => Role::Datagram(Mailbox::default()),
        };
        self.open_as(core, role).map(|(descriptor, _)| descriptor)
    }

    fn open_as(&mut self, core: usize, role: Role) -> io::Result<(Descriptor, Id)> {
        let host = self.cores[core].host;
        let id = self.insert(host, role);
        match self.open(core, id) {
            Ok(descriptor) => Ok((descriptor, id)),
            Err(errno) => {
                self.sockets.remove(&id);
                Err(errno.into())
            }
        }
    }

    /// A bound datagram socket.
    pub(super) fn bind_datagram(
        &mut self,
        core: usize,
        at: &SocketAddress,
    ) -> io::Result<Descriptor> {
        let SocketAddress::Inet(at) = at else { return Err(Errno::OPNOTSUPP.into()) };
        let (descriptor, id) = self.open_as(core, Role::Datagram(Mailbox::default()))?;
        if let Err(errno) = self.bind_mailbox(id, *at) {
            self.close(descriptor);
            return Err(errno.into());
        }
        Ok(descriptor)
    }

    /// A listener.
    pub(super) fn listen(
        &mut self,
        core: usize,
        at: &SocketAddress,
        options: ListenOptions,
    ) -> io::Result<Descriptor> {
        let unix = matches!(at, SocketAddress::Unix(_));
        let (descriptor, socket) = self.open_as(core, Role::Fresh { unix })?;
        let host = self.cores[core].host;
        let who = Request { host, datagram: false, shared: options.shared, socket };
        let bound = match at {
            SocketAddress::Inet(at) => self.names.bind(who, *at).map(SocketAddress::Inet),
            SocketAddress::Unix(path) => self.names.bind_path(who, path).map(|()| at.clone()),
        };
        match bound {
            Ok(at) => {
                let listener = Listener::new(at, options.backlog as usize);
                self.socket(socket).role = Role::Listener(listener);
                Ok(descriptor)
            }
            Err(errno) => {
                self.close(descriptor);
                Err(errno.into())
            }
        }
    }

    /// Where the socket is bound.
    pub(super) fn local_address(&self, id: Id) -> SocketAddress {
        let socket = &self.sockets[&id];
        let nowhere = || SocketAddr::new(unspecified(socket.host), 0);
        match &socket.role {
            Role::Fresh { unix: true } => SocketAddress::Unix(Default::default()),
            Role::Fresh { unix: false } => SocketAddress::Inet(nowhere()),
            Role::Stream(stream) => stream.local.clone(),
            Role::Listener(listener) => listener.at.clone(),
            Role::Datagram(mailbox) => SocketAddress::Inet(mailbox.local.unwrap_or_else(nowhere)),
        }
    }

    /// Who is at the other end.
    pub(super) fn peer_address(&self, id: Id) -> io::Result<SocketAddress> {
        match &self.sockets[&id].role {
            Role::Stream(stream) if stream.is_connected() => Ok(stream.remote.clone()),
            Role::Datagram(Mailbox { peer: Some(peer), .. }) => Ok(SocketAddress::Inet(*peer)),
            _ => Err(Errno::NOTCONN.into()),
        }
    }

    /// Whether the socket is one of paths, which know no options of TCP.
    pub(super) fn is_unix(&self, id: Id) -> bool {
        matches!(self.local_address(id), SocketAddress::Unix(_))
    }
}
