//! What operations in flight own, and the entries that point at it.

use std::mem;
use std::net::SocketAddr;

use io_uring::types::{Fd, RecvMsgOut};
use io_uring::{opcode, squeue};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{SocketAddrAny, SocketAddrUnix};

use crate::driver::operation::{Datagram, SocketAddress};
use crate::memory::chain::Chain;
use crate::memory::frame::Frame;
use crate::memory::pool::Lease;

/// At most this many pieces leave in one gathered send (the kernel takes 1,024, IOV_MAX).
const PIECES_MAX: usize = 256;
/// Spare messages kept for the next sends.
const SPARE_MAX: usize = 1024;
/// A peer that is gone must not raise SIGPIPE, and a send should not come back short.
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// Room for the sender's address in front of a datagram.
const NAME_BYTES: usize = mem::size_of::<libc::sockaddr_in6>();

/// What an operation in flight owns. Two words: there is one for each slot.
pub(super) enum Held {
    Nothing,
    /// A send: the entry points at the box, or at the only piece of its chain.
    Message(Box<Message>),
    /// The address of a connect.
    SocketAddress(#[expect(dead_code, reason = "the kernel reads it")] Box<SocketAddrAny>),
}

/// A send. Of several pieces the header points at the vectors, these at the pieces of the chain.
pub(super) struct Message {
    header: libc::msghdr,
    vectors: Vec<libc::iovec>,
    to: Option<SocketAddrAny>,
    chain: Chain,
    /// Its success makes no completion of the kernel's.
    lazy: bool,
}

/// Messages at rest, for the next sends.
#[derive(Default)]
pub(super) struct Spare(
    #[expect(
        clippy::vec_box,
        reason = "entries point at the boxes, which go in and out as they are"
    )]
    Vec<Box<Message>>,
);

impl Spare {
    fn take(&mut self) -> Box<Message> {
        self.0.pop().unwrap_or_else(|| {
            Box::new(Message {
                header: empty_header(),
                vectors: Vec::new(),
                to: None,
                chain: Chain::default(),
                lazy: false,
            })
        })
    }

    fn give(&mut self, message: Box<Message>) {
        if self.0.len() < SPARE_MAX {
            self.0.push(message);
        }
    }
}

impl Message {
    /// Points the header at the pieces of `chain`, which this owns from now on.
    fn load(&mut self, chain: Chain, to: Option<SocketAddr>) {
        self.chain = chain;
        self.to = to.map(|to| to.as_any());
        self.vectors.clear();
        self.vectors.extend(self.chain.slices().take(PIECES_MAX).map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        }));
        self.header = empty_header();
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.vectors.len();
        if let Some(to) = &self.to {
            self.header.msg_name = to.as_ptr().cast_mut().cast();
            self.header.msg_namelen = to.addr_len() as libc::socklen_t;
        }
    }
}

impl Held {
    /// Whether it is a send whose success the kernel does not tell.
    pub(super) fn is_lazy(&self) -> bool {
        matches!(self, Held::Message(message) if message.lazy)
    }

    /// The chain of a send that has completed.
    pub(super) fn take_chain(&mut self, spare: &mut Spare) -> Chain {
        match mem::replace(self, Held::Nothing) {
            Held::Message(mut message) => {
                let chain = mem::take(&mut message.chain);
                message.lazy = false;
                spare.give(message);
                chain
            }
            Held::Nothing | Held::SocketAddress(_) => unreachable!("a send holds a chain"),
        }
    }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: a msghdr of zeros is valid: null pointers with zero lengths.
    unsafe { mem::zeroed() }
}

/// The entry that sends the front of `chain`, and what must be held for it. A `lazy` one is
/// performed within the enter, and completed by the kernel only if it failed or was short.
pub(super) fn send(fd: i32, chain: Chain, lazy: bool, spare: &mut Spare) -> (Held, squeue::Entry) {
    let lazy = lazy && chain.pieces() <= PIECES_MAX;
    let flags = if lazy { SEND_FLAGS | libc::MSG_DONTWAIT } else { SEND_FLAGS };
    let mut message = spare.take();
    message.lazy = lazy;
    let entry = if chain.pieces() == 1 {
        message.chain = chain;
        let piece = message.chain.slices().next().expect("there is one");
        let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        opcode::Send::new(Fd(fd), piece.as_ptr(), len).flags(flags).build()
    } else {
        message.load(chain, None);
        opcode::SendMsg::new(Fd(fd), &message.header).flags(flags as u32).build()
    };
    let entry = if lazy { entry.flags(squeue::Flags::SKIP_SUCCESS) } else { entry };
    (Held::Message(message), entry)
}

/// The entry that sends `chain` as one datagram, and what must be held for it.
pub(super) fn send_to(
    fd: i32,
    chain: Chain,
    to: SocketAddr,
    spare: &mut Spare,
) -> (Held, squeue::Entry) {
    let mut message = spare.take();
    message.load(chain, Some(to));
    let flags = libc::MSG_NOSIGNAL as u32;
    let entry = opcode::SendMsg::new(Fd(fd), &message.header).flags(flags).build();
    (Held::Message(message), entry)
}

/// An address as the kernel reads it.
pub(super) fn address(to: &SocketAddress) -> Result<Box<SocketAddrAny>, Errno> {
    Ok(Box::new(match to {
        SocketAddress::Inet(to) => to.as_any(),
        SocketAddress::Unix(path) => SocketAddrUnix::new(path)?.as_any(),
    }))
}

/// The shape of a received datagram: the sender's address, no control data, the payload.
pub(super) fn datagram_shape() -> libc::msghdr {
    let mut header = empty_header();
    header.msg_namelen = NAME_BYTES as libc::socklen_t;
    header
}

/// Reads what a multishot recvmsg has put in a block.
pub(super) fn datagram(lease: Lease) -> Result<Datagram, Errno> {
    let frame = Frame::whole(lease);
    let out = RecvMsgOut::parse(&frame, &datagram_shape()).map_err(|()| Errno::BADMSG)?;
    let from = parse_name(out.name_data()).ok_or(Errno::AFNOSUPPORT)?;
    let len = out.payload_data().len();
    let truncated = out.is_payload_truncated();
    let payload = frame.slice(frame.len() - len..);
    Ok(Datagram { from, payload, truncated })
}

/// An internet address from the bytes of a `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)).
fn parse_name(name: &[u8]) -> Option<SocketAddr> {
    let field = |at: usize, len: usize| name.get(at..at + len);
    let family = u16::from_ne_bytes(field(0, 2)?.try_into().ok()?);
    let port = u16::from_be_bytes(field(2, 2)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = field(4, 4)?.try_into().ok()?;
            Some(SocketAddr::from((ip, port)))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = field(8, 16)?.try_into().ok()?;
            let flow = u32::from_be_bytes(field(4, 4)?.try_into().ok()?);
            let scope = u32::from_ne_bytes(field(24, 4)?.try_into().ok()?);
            Some(std::net::SocketAddrV6::new(ip.into(), port, flow, scope).into())
        }
        _ => None,
    }
}
