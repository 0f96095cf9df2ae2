//! Datagrams: whole or not at all, in any order, and to nobody without a word.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::names::{self, Request, unspecified};
use super::network::Delivery;
use super::{Id, Role, State};

/// The largest payload over IPv4: 65,535 without the headers of IP and UDP.
const PAYLOAD_BYTES_MAX: usize = 65_507;

/// A datagram socket.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) local: Option<SocketAddr>,
    /// Where a send without an address goes.
    pub(super) peer: Option<SocketAddr>,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
}

impl State {
    pub(super) fn bind_mailbox(&mut self, socket: Id, at: SocketAddr) -> Result<(), Errno> {
        let host = self.socket(socket).host;
        let who = Request { host, datagram: true, shared: false, socket };
        let local = self.names.bind(who, at)?;
        self.mailbox(socket)?.local = Some(local);
        Ok(())
    }

    fn mailbox(&mut self, id: Id) -> Result<&mut Mailbox, Errno> {
        match &mut self.socket(id).role {
            Role::Datagram(mailbox) => Ok(mailbox),
            Role::Fresh { .. } | Role::Stream(_) | Role::Listener(_) => Err(Errno::OPNOTSUPP),
        }
    }

    /// Sends one datagram, to the connected peer unless told where.
    pub(super) fn send_datagram(
        &mut self,
        id: Id,
        bytes: Vec<u8>,
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let host = self.socket(id).host;
        let mailbox = self.mailbox(id)?;
        let to = to.or(mailbox.peer).ok_or(Errno::DESTADDRREQ)?;
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(Errno::MSGSIZE);
        }
        if mailbox.local.is_none() {
            self.bind_mailbox(id, SocketAddr::new(unspecified(to.ip()), 0))?;
        }
        let mut from = self.mailbox(id)?.local.expect("bound above");
        if from.is_ipv4() != to.is_ipv4() {
            return Err(Errno::AFNOSUPPORT);
        }
        if from.ip().is_unspecified() {
            from.set_ip(names::source(host, to.ip())?);
        }
        let len = bytes.len();
        let (host, to) = names::target(host, to);
        self.post_datagram(from, to, host, bytes);
        Ok(len)
    }

    fn post_datagram(&mut self, from: SocketAddr, to: SocketAddr, host: IpAddr, bytes: Vec<u8>) {
        if self.random.chance(self.faults.datagram_loss) {
            self.counts.datagrams_lost += 1;
            return;
        }
        if self.random.chance(self.faults.datagram_twice) {
            self.counts.datagrams_twice += 1;
            let at = self.arrival(self.now);
            self.network.post(at, Delivery::Datagram { from, to, host, bytes: bytes.clone() });
        }
        let at = self.arrival(self.now);
        self.network.post(at, Delivery::Datagram { from, to, host, bytes });
    }

    /// A datagram arrives: at the first socket that is bound there, if it has room.
    pub(super) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        host: IpAddr,
        bytes: Vec<u8>,
    ) {
        let Some(&id) = self.names.find(host, true, to).first() else { return };
        let room = self.faults.socket_bytes_max;
        let Ok(mailbox) = self.mailbox(id) else { return };
        let is_stranger = mailbox.peer.is_some_and(|peer| peer != from);
        if is_stranger || mailbox.bytes + bytes.len() > room {
            self.counts.datagrams_lost += u64::from(!is_stranger);
            return;
        }
        mailbox.bytes += bytes.len();
        mailbox.inbox.push_back((from, bytes));
        self.counts.datagrams += 1;
        self.mark(id);
    }

    /// The first datagram that waits.
    pub(super) fn take_datagram(&mut self, id: Id) -> Option<Result<(SocketAddr, Vec<u8>), Errno>> {
        let mailbox = match self.mailbox(id) {
            Ok(mailbox) => mailbox,
            Err(errno) => return Some(Err(errno)),
        };
        let (from, bytes) = mailbox.inbox.pop_front()?;
        mailbox.bytes -= bytes.len();
        Some(Ok((from, bytes)))
    }

    pub(super) fn has_datagram(&mut self, id: Id) -> bool {
        self.mailbox(id).is_ok_and(|mailbox| !mailbox.inbox.is_empty())
    }

    /// Remembers the peer; nothing is sent.
    pub(super) fn connect_mailbox(&mut self, id: Id, to: SocketAddr) -> Result<(), Errno> {
        let host = self.socket(id).host;
        let (_, to) = names::target(host, to);
        self.mailbox(id)?.peer = Some(to);
        Ok(())
    }
}
