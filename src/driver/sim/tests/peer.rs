//! A reactor in a nutshell: what the tests of bad weather let run above the seam.

use rustix::io::Errno;

use super::*;
use crate::driver::operation::Shutdown;

/// One connection of a peer.
#[derive(Debug)]
pub(super) struct Line {
    socket: Descriptor,
    /// An echo sends what it gets; a client counts it.
    is_echo: bool,
    connecting: Option<Token>,
    receiving: Option<Token>,
    sending: Option<Token>,
    out: Chain,
    pub(super) got: Vec<u8>,
    has_ended: bool,
    is_shut: bool,
    pub(super) error: Option<Errno>,
    is_cancelled: bool,
    is_closed: bool,
}

/// One completion, in short.
pub(super) type Taken = (u64, u64, bool, u64);

/// A core that serves or uses echoes.
pub(super) struct Peer {
    pub(super) core: Core,
    listener: Option<(Descriptor, Option<Token>)>,
    pub(super) lines: Vec<Line>,
    /// Cancels and re-arms its receives now and then.
    is_restless: bool,
    /// When, which operation, whether more follow, and what came.
    pub(super) trace: Vec<Taken>,
}

impl Peer {
    pub(super) fn new(world: &World, blocks: u32, is_restless: bool) -> Peer {
        let core = Core::with_pool(world, Pool::new(blocks, 512, blocks));
        Peer { core, listener: None, lines: Vec::new(), is_restless, trace: Vec::new() }
    }

    pub(super) fn serve(&mut self, at: &str, options: ListenOptions) -> SocketAddress {
        let listener = self.core.kernel.listen(&address(at), options).expect("free");
        self.listener = Some((listener, None));
        self.core.kernel.local_address(listener).expect("bound")
    }

    /// Connects, sends all, ends, and reads to the end.
    pub(super) fn ask(&mut self, to: &SocketAddress, bytes: &[u8]) {
        let (socket, connecting) = self.core.connect(to);
        let line = Line { connecting: Some(connecting), ..Line::new(socket, chain(bytes)) };
        self.lines.push(line);
    }

    pub(super) fn is_done(&self) -> bool {
        self.lines.iter().all(|line| line.is_closed)
    }

    /// One turn, in the order of a reactor's.
    pub(super) fn turn(&mut self) {
        self.core.kernel.reap(&mut self.core.seen);
        let now = self.core.kernel.now().as_nanos();
        for completion in std::mem::take(&mut self.core.seen) {
            if !completion.more {
                self.core.slots.remove(completion.token.key).expect("it comes once");
            }
            let digest = flight::digest(&completion.event);
            self.trace.push((now, completion.token.to_u64(), completion.more, digest));
            self.handle(completion);
        }
        if let Some((listener, accept @ None)) = &mut self.listener {
            *accept = Some(self.core.submit(Operation::Accept(*listener)));
        }
        for line in self.lines.iter_mut().filter(|line| !line.is_closed) {
            line.go_on(&mut self.core, self.is_restless);
        }
        self.core.pool.provide();
        self.core.kernel.enter(Wait::Forever).expect("a simulated enter succeeds");
    }

    fn handle(&mut self, completion: Completion) {
        let token = Some(completion.token);
        if let Event::Accepted(result) = completion.event {
            if let Ok(socket) = result {
                self.lines.push(Line { is_echo: true, ..Line::new(socket, Chain::default()) });
            }
            if !completion.more {
                self.listener.as_mut().expect("it accepts").1 = None;
            }
            return;
        }
        let line = self
            .lines
            .iter_mut()
            .find(|line| [line.connecting, line.receiving, line.sending].contains(&token));
        line.expect("a completion has a line").handle(completion);
    }

    /// Stops to listen. Lines must be done.
    pub(super) fn stop(&mut self, world: &World) {
        if let Some((_, Some(accept))) = self.listener {
            self.core.kernel.cancel(accept);
            while self.core.kernel.in_flight() > 0 {
                self.core.kernel.enter(Wait::Poll).expect("a simulated enter succeeds");
                world.end_round(true);
                self.core.kernel.reap(&mut self.core.seen);
            }
        }
        if let Some((listener, _)) = self.listener.take() {
            self.core.kernel.close(listener);
        }
    }
}

impl Line {
    fn new(socket: Descriptor, out: Chain) -> Line {
        Line {
            socket,
            is_echo: false,
            connecting: None,
            receiving: None,
            sending: None,
            out,
            got: Vec::new(),
            has_ended: false,
            is_shut: false,
            error: None,
            is_cancelled: false,
            is_closed: false,
        }
    }

    fn handle(&mut self, completion: Completion) {
        match completion.event {
            Event::Connected(result) => {
                self.connecting = None;
                self.error = result.err();
            }
            Event::Received(result) => {
                if !completion.more {
                    self.receiving = None;
                }
                match result {
                    Ok(Some(lease)) if self.is_echo => {
                        self.out.push(crate::memory::frame::Frame::whole(lease).into());
                    }
                    Ok(Some(lease)) => self.got.extend_from_slice(lease.bytes()),
                    Ok(None) => self.has_ended = true,
                    Err(Errno::NOBUFS | Errno::CANCELED) => {}
                    Err(errno) => self.error = Some(errno),
                }
            }
            Event::Sent(result, mut chain) => {
                self.sending = None;
                match result {
                    Ok(sent) => {
                        chain.advance(sent);
                        chain.append(&mut self.out);
                        self.out = chain;
                    }
                    Err(errno) => self.error = Some(errno),
                }
            }
            Event::Accepted(_) | Event::Datagram(_) => unreachable!("not of a line"),
        }
    }

    /// Does what is due, and closes when all is over.
    fn go_on(&mut self, core: &mut Core, is_restless: bool) {
        if self.connecting.is_some() {
            return;
        }
        if self.error.is_none() {
            self.arm(core, is_restless);
        }
        if self.error.is_none() && !(self.has_ended && self.is_shut) {
            return;
        }
        if self.receiving.is_none() && self.sending.is_none() {
            core.kernel.close(self.socket);
            self.is_closed = true;
        } else if !self.is_cancelled {
            core.kernel.cancel_all(self.socket);
            self.is_cancelled = true;
        }
    }

    /// Receives, sends and shuts as is due.
    fn arm(&mut self, core: &mut Core, is_restless: bool) {
        if self.receiving.is_none() && !self.has_ended {
            self.receiving = Some(core.submit(Operation::Receive(self.socket)));
        } else if is_restless && core.kernel.random().is_multiple_of(64) {
            self.receiving.into_iter().for_each(|token| core.kernel.cancel(token));
        }
        if self.sending.is_none() && !self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            self.sending = Some(core.submit(Operation::Send(self.socket, out, Report::Prompt)));
        }
        let is_sent = self.sending.is_none() && self.out.is_empty();
        if is_sent && !self.is_shut && (self.has_ended || !self.is_echo) {
            // The peer may be gone by now; then a receive will say so.
            let _ = core.kernel.shutdown(self.socket, Shutdown::Write);
            self.is_shut = true;
        }
    }
}
