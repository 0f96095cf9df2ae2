//! A message that goes to many: encoded once on each core.
//!
//! ```text
//!   Prepared ─▶ core 0: plain ─▶ its bytes are shared by all sockets of the core that take it so
//!           │          └ for each window that was agreed on: compressed, likewise
//!           └─▶ core 1: ...          no core touches what another one counts
//! ```

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

#[cfg(feature = "deflate")]
use super::deflate::Style;
use crate::reactor::Reactor;
use crate::wire::websocket::{FrameHead, OpCode};

/// Sizes of windows: 9 to 15 bits.
#[cfg(feature = "deflate")]
const WINDOWS: usize = 7;

/// A message for many sockets. A core encodes it when it first sends it there, and from then on all
/// its sockets share the bytes; compressed ones too, if the server forgets
/// ([`Deflate::forgetful`](super::Deflate::forgetful)).
///
/// It may be sent to other cores, as the value of a [`Group`](crate::service::Group), say. A clone is
/// another handle to the same.
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
pub struct Prepared(Arc<Inner>);

struct Inner {
    opcode: OpCode,
    payload: Bytes,
    /// By core.
    encoded: Box<[OnceLock<Box<Encoded>>]>,
}

/// Heads and payload on one core, as a server sends them.
#[derive(Default)]
struct Encoded {
    plain: OnceLock<Bytes>,
    /// By the bits of the window, from 9 on. A window's level is that of whoever asked first, which
    /// any peer can read.
    #[cfg(feature = "deflate")]
    compressed: [OnceLock<Bytes>; WINDOWS],
}

impl Prepared {
    pub(super) fn of(opcode: OpCode, payload: Bytes) -> Prepared {
        let cores = Reactor::current().settings.cores.len();
        let encoded = (0..cores).map(|_| OnceLock::new()).collect();
        Prepared(Arc::new(Inner { opcode, payload, encoded }))
    }

    /// The message without its head.
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    pub(super) fn opcode(&self) -> OpCode {
        self.0.opcode
    }

    /// Gives `send` what was encoded on this core, by `encode` if it was not.
    fn with<R>(
        &self,
        reactor: &Reactor,
        place: impl Fn(&Encoded) -> &OnceLock<Bytes>,
        encode: impl Fn() -> Bytes,
        send: impl FnOnce(Bytes) -> R,
    ) -> R {
        let encode = || {
            reactor.metrics.websocket_encodings.add(1);
            encode()
        };
        // One of an engine with more cores than its maker's.
        let Some(core) = self.0.encoded.get(reactor.index) else { return send(encode()) };
        let core = core.get_or_init(Box::default);
        send(place(core).get_or_init(encode).clone())
    }

    /// The whole frame.
    pub(super) fn plain<R>(&self, reactor: &Reactor, send: impl FnOnce(Bytes) -> R) -> R {
        let encode = || encode(self.0.opcode, false, &self.0.payload);
        self.with(reactor, |core| &core.plain, encode, send)
    }

    /// The whole frame, compressed without regard to what was sent before.
    #[cfg(feature = "deflate")]
    pub(super) fn compressed<R>(
        &self,
        reactor: &Reactor,
        style: Style,
        send: impl FnOnce(Bytes) -> R,
    ) -> R {
        let window = usize::from(style.window_bits) - 9;
        let encode = || {
            let small = style.deflater().deflate(&self.0.payload);
            encode(self.0.opcode, true, &small)
        };
        self.with(reactor, |core| &core.compressed[window], encode, send)
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
