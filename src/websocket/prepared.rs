//! A message that goes to many: encoded once.

use std::cell::OnceCell;
#[cfg(feature = "deflate")]
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

#[cfg(feature = "deflate")]
use super::deflate::Style;
use super::message::{Kind, Outgoing};
use crate::memory::chain::Payload;
use crate::reactor::Reactor;
use crate::wire::websocket::{FrameHead, OpCode};

/// A message for many sockets of a core, encoded when it first goes out; from then on all of them
/// share its bytes. A clone is another handle to the same.
///
/// ```
/// use skyring::websocket::{Prepared, WebSocket};
///
/// fn tell(guests: &[WebSocket], text: &str) {
///     let message = Prepared::new(text);
///     for guest in guests {
///         let _ = guest.send(&message); // one that is gone is noticed by whoever reads it
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Prepared(Rc<Inner>);

struct Inner {
    opcode: OpCode,
    payload: Bytes,
    /// Head and payload, as a server sends them.
    plain: OnceCell<Bytes>,
    /// The same compressed, for each way that was agreed on: few, since a server has one way of its
    /// own and windows have seven sizes.
    #[cfg(feature = "deflate")]
    compressed: RefCell<Vec<(Style, Bytes)>>,
}

impl Prepared {
    /// Takes what [`WebSocket::send`](super::WebSocket::send) takes.
    pub fn new<'a>(message: impl Into<Outgoing<'a>>) -> Prepared {
        let (opcode, payload) = match message.into().0 {
            Kind::Prepared(prepared) => return prepared.clone(),
            Kind::Plain(opcode, payload) => (opcode, payload),
        };
        let payload = match payload {
            Payload::Frame(frame) => frame.into_bytes(),
            Payload::Bytes(bytes) => bytes,
            Payload::Slice(slice) => Bytes::copy_from_slice(slice),
        };
        Prepared(Rc::new(Inner {
            opcode,
            payload,
            plain: OnceCell::new(),
            #[cfg(feature = "deflate")]
            compressed: RefCell::default(),
        }))
    }

    pub(super) fn opcode(&self) -> OpCode {
        self.0.opcode
    }

    pub(super) fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// Head and payload, not compressed, as a server sends them.
    pub(super) fn plain(&self, reactor: &Reactor) -> Bytes {
        let encode = || {
            reactor.metrics.websocket_encodings.add(1);
            encode(self.0.opcode, false, &self.0.payload)
        };
        self.0.plain.get_or_init(encode).clone()
    }

    /// Head and payload, compressed without regard to what was sent before.
    #[cfg(feature = "deflate")]
    pub(super) fn compressed(&self, reactor: &Reactor, style: Style) -> Bytes {
        let mut known = self.0.compressed.borrow_mut();
        if let Some((_, bytes)) = known.iter().find(|(of, _)| *of == style) {
            return bytes.clone();
        }
        reactor.metrics.websocket_encodings.add(1);
        let small = style.deflater().deflate(&self.0.payload);
        let bytes = encode(self.0.opcode, true, &small);
        known.push((style, bytes.clone()));
        bytes
    }
}

/// A whole frame, as a server sends it.
fn encode(opcode: OpCode, rsv1: bool, payload: &[u8]) -> Bytes {
    let head = FrameHead { fin: true, rsv1, opcode, mask: None, len: payload.len() as u64 };
    let mut bytes = [0; FrameHead::BYTES_MAX];
    let len = head.encode(&mut bytes);
    [&bytes[..len], payload].concat().into()
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?}, {} bytes)", self.0.opcode, self.0.payload.len())
    }
}
