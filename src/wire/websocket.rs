//! WebSocket by RFC 6455, with compression by RFC 7692: bytes in, ranges and bytes out. No socket,
//! no clock.
//!
//! ```text
//!    0               1               2
//!   +-+-+-+-+-------+-+-------------+------------------+---------+---------+
//!   |F|R|0|0| opcode|M| length: 7,  |  or 16 bits, or  | mask, 4 | payload |
//!   |I|S| | |       |A| 126 or 127  |  64 bits         | bytes   |         |
//!   |N|V| | |       |S|             |                  |         |         |
//!   +-+-+-+-+-------+-+-------------+------------------+---------+---------+
//!
//!   received ─▶ Unmasker: masks go, what is behind closes up ─▶ Decoder ─▶ Step: message, ping ...
//! ```
//! A server's peer masks what it sends. The [`Unmasker`] takes the masks out where the bytes lie, so
//! that they are from then on what a server itself would send: an echo goes out as it came. The
//! [`Decoder`] finds frames and puts messages together; whatever lies in one piece is told by its
//! place, and only what spans pieces is copied.
//!
//! ```
//! use skyring::wire::websocket::{Decoder, DecoderLimits, OpCode, Step, Unmasker};
//!
//! // A text "Hello" as a client sends it (RFC 6455, 5.7).
//! let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let plain = Unmasker::default().unmask(&mut bytes);
//! let bytes = &bytes[plain];
//! assert_eq!(bytes, b"\x81\x05Hello");
//!
//! let mut decoder = Decoder::new(DecoderLimits::default(), false);
//! let mut at = 0;
//! let Step::Message(found) = decoder.decode(bytes, &mut at)? else { panic!("it is whole") };
//! assert_eq!((found.opcode, &bytes[found.payload]), (OpCode::Text, &b"Hello"[..]));
//! # Ok::<(), skyring::wire::websocket::ProtocolError>(())
//! ```

mod close;
mod decoder;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod extension;
mod fragments;
mod handshake;
mod head;
mod mask;
mod utf8;

pub use self::close::{Close, is_close_code};
pub use self::decoder::{Decoder, DecoderLimits, Found, Joined, Small, Step};
#[cfg(feature = "deflate")]
pub use self::deflate::{Deflater, Inflater};
pub use self::error::ProtocolError;
pub use self::extension::{Agreement, DeflateOffer};
pub use self::fragments::Fragments;
pub use self::handshake::{
    Answer, BadAnswer, HandshakeError, Offer, RequestPlan, accept_key, read_offer,
};
pub use self::head::{FrameHead, OpCode};
pub use self::mask::{Unmasker, mask};
pub use self::utf8::Utf8;
