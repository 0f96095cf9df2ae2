//! Listeners, and the way from a request to a connection.
//!
//! ```text
//!   client                         network                        listener
//!   connect ─── request ─────────────▶ backlog full? again after 1, 2, 4... s
//!      ◀──── established ───────────── into the backlog ──▶ accept
//!      ◀──── refused ───────────────── nobody listens
//! ```

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;

use super::names::{self, Request};
use super::network::Delivery;
use super::stream::{Phase, Stream};
use super::{Id, Role, State};
use crate::driver::operation::{Descriptor, SocketAddress};

/// A request that finds the backlog full is tried again after 1, 2, 4... seconds, and given up
/// after the sixth time (tcp(7), `tcp_syn_retries`).
const TRIES_MAX: u32 = 6;
/// How long it takes to find out that nobody has an address.
const NO_HOST: Duration = Duration::from_secs(3);

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) at: SocketAddress,
    /// Connections that wait for an accept.
    backlog: VecDeque<Id>,
    backlog_max: usize,
    pub(super) is_shut: bool,
}

impl Listener {
    pub(super) fn new(at: SocketAddress, backlog_max: usize) -> Listener {
        Listener { at, backlog: VecDeque::new(), backlog_max, is_shut: false }
    }

    /// Linux lets one more wait than was asked for (`sk_acceptq_is_full`).
    fn is_full(&self) -> bool {
        self.backlog.len() > self.backlog_max
    }
}

impl State {
    /// Sends the request for a connection.
    pub(super) fn connect(&mut self, id: Id, to: &SocketAddress) -> Result<(), Errno> {
        let host = self.socket(id).host;
        let unix = match &self.socket(id).role {
            Role::Fresh { unix } => *unix,
            Role::Stream(stream) if stream.phase == Phase::Connecting => {
                return Err(Errno::ALREADY);
            }
            Role::Stream(_) | Role::Listener(_) => return Err(Errno::ISCONN),
            Role::Datagram(_) => {
                let to = to.inet().ok_or(Errno::AFNOSUPPORT)?;
                return self.connect_mailbox(id, to);
            }
        };
        let to = match to {
            SocketAddress::Inet(to) => SocketAddress::Inet(names::target(host, *to).1),
            SocketAddress::Unix(_) => to.clone(),
        };
        let local = match &to {
            SocketAddress::Inet(_) if unix => return Err(Errno::INVAL),
            SocketAddress::Unix(_) if !unix => return Err(Errno::AFNOSUPPORT),
            SocketAddress::Unix(_) => SocketAddress::Unix(Default::default()),
            SocketAddress::Inet(at) => {
                let ip = names::source(host, at.ip())?;
                let who = Request { host, datagram: false, shared: false, socket: id };
                SocketAddress::Inet(self.names.bind(who, SocketAddr::new(ip, 0))?)
            }
        };
        let stream = Stream::new(local, to.clone(), Phase::Connecting, None);
        self.socket(id).role = Role::Stream(stream);
        let at = self.arrival(self.now);
        self.network.post(at, Delivery::Request { from: id, to, tries: 0 });
        Ok(())
    }

    /// How the connect went, once that is known. A refused socket is fresh again.
    pub(super) fn poll_connect(&mut self, id: Id) -> Option<Result<(), Errno>> {
        let socket = self.socket(id);
        let (host, unix) = match &socket.role {
            Role::Datagram(_) => return Some(Ok(())),
            Role::Stream(stream) => (socket.host, matches!(stream.local, SocketAddress::Unix(_))),
            Role::Fresh { .. } | Role::Listener(_) => return Some(Err(Errno::INVAL)),
        };
        let stream = self.stream(id)?;
        match stream.phase {
            Phase::Connecting => None,
            Phase::Connected => Some(Ok(())),
            Phase::Dead => Some(Err(stream.error.take().unwrap_or(Errno::CONNRESET))),
            Phase::Refused(errno) => {
                let local = stream.local.inet();
                self.socket(id).role = Role::Fresh { unix };
                if let Some(local) = local {
                    self.names.release(host, false, local.port(), id);
                }
                Some(Err(errno))
            }
        }
    }

    /// A request arrives where it was sent to.
    pub(super) fn handle_request(&mut self, from: Id, to: SocketAddress, tries: u32) {
        let Some(client) = self.stream(from).filter(|client| client.phase == Phase::Connecting)
        else {
            return;
        };
        let local = client.local.clone();
        if self.random.chance(self.faults.connect_error) {
            self.counts.connect_errors += 1;
            const ERRORS: [Errno; 3] = [Errno::CONNREFUSED, Errno::TIMEDOUT, Errno::HOSTUNREACH];
            let errno = ERRORS[self.random.below(3) as usize];
            return self.refuse(from, errno, Duration::ZERO);
        }
        let (listeners, host) = match self.listeners_at(self.sockets[&from].host, &to) {
            Ok(found) => found,
            Err(errno) => return self.refuse(from, errno, NO_HOST),
        };
        if listeners.is_empty() {
            return self.refuse(from, Errno::CONNREFUSED, Duration::ZERO);
        }
        // The real kernel chooses by a hash of both addresses: to its user, by chance.
        let chosen = listeners[self.random.below(listeners.len() as u64) as usize];
        let Role::Listener(listener) = &self.socket(chosen).role else {
            unreachable!("listeners_at finds listeners")
        };
        if listener.is_full() {
            self.counts.backlog_full += 1;
            if tries >= TRIES_MAX {
                return self.refuse(from, Errno::TIMEDOUT, Duration::ZERO);
            }
            let at = self.now + Duration::from_secs(1 << tries);
            return self.network.post(at, Delivery::Request { from, to, tries: tries + 1 });
        }
        let mut server = Stream::new(to, local, Phase::Connected, Some(from));
        server.last_arrival = self.arrival(self.now);
        let at = server.last_arrival;
        let peer = self.insert(host, Role::Stream(server));
        if let Role::Listener(listener) = &mut self.socket(chosen).role {
            listener.backlog.push_back(peer);
        }
        self.network.post(at, Delivery::Established { to: from, peer });
        self.mark(chosen);
    }

    /// The listeners that a request from `host` can reach, and their host.
    fn listeners_at(&self, host: IpAddr, to: &SocketAddress) -> Result<(Vec<Id>, IpAddr), Errno> {
        let (mut found, host) = match to {
            SocketAddress::Unix(path) => (Vec::from_iter(self.names.find_path(host, path)), host),
            SocketAddress::Inet(to) => {
                let (host, to) = names::target(host, *to);
                if !self.cores.iter().any(|core| core.host == host) {
                    return Err(Errno::HOSTUNREACH);
                }
                (self.names.find(host, false, to), host)
            }
        };
        found.retain(
            |id| matches!(&self.sockets[id].role, Role::Listener(listener) if !listener.is_shut),
        );
        Ok((found, host))
    }

    fn refuse(&mut self, to: Id, errno: Errno, after: Duration) {
        let at = self.arrival(self.now + after);
        self.network.post(at, Delivery::Refused { to, errno });
    }

    pub(super) fn handle_refused(&mut self, to: Id, errno: Errno) {
        if let Some(stream) = self.stream(to) {
            stream.phase = Phase::Refused(errno);
            self.mark(to);
        }
    }

    pub(super) fn handle_established(&mut self, to: Id, peer: Id) {
        let Some(stream) = self.stream(to) else { return self.post_reset(peer) };
        stream.phase = Phase::Connected;
        stream.peer = Some(peer);
        self.counts.connections += 1;
        self.mark(to);
    }

    /// The next connection that waits. One that cannot get a descriptor waits on.
    pub(super) fn poll_accept(&mut self, core: usize, id: Id) -> Option<Result<Descriptor, Errno>> {
        let Role::Listener(listener) = &self.socket(id).role else {
            return Some(Err(Errno::INVAL));
        };
        if listener.is_shut {
            return Some(Err(Errno::INVAL));
        }
        let first = *listener.backlog.front()?;
        if self.random.chance(self.faults.accept_error) {
            self.counts.accept_errors += 1;
            const ERRORS: [Errno; 4] =
                [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::CONNABORTED];
            let errno = ERRORS[self.random.below(4) as usize];
            return Some(Err(errno));
        }
        let accepted = self.open(core, first);
        if accepted.is_err() {
            self.counts.accept_errors += 1;
        } else if let Role::Listener(listener) = &mut self.socket(id).role {
            listener.backlog.pop_front();
        }
        Some(accepted)
    }

    /// The connections that nobody accepted are reset, as the real kernel does.
    pub(super) fn close_listener(&mut self, host: IpAddr, id: Id, listener: Listener) {
        match &listener.at {
            SocketAddress::Inet(at) => self.names.release(host, false, at.port(), id),
            SocketAddress::Unix(path) => self.names.release_path(host, path),
        }
        for waiting in listener.backlog {
            if let Some(stream) = self.stream(waiting) {
                stream.is_abortive = true;
            }
            self.destroy(waiting);
        }
    }
}
