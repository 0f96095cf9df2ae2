//! Messages, as they go.

use bytes::Bytes;

use super::message::{Message, Text};
use super::prepared::Prepared;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::wire::websocket::OpCode;

/// What [`WebSocket::send`](super::WebSocket::send) takes: whatever is a text goes as a text (`&str`,
/// `String`, a received [`Text`]), bytes as binary (a [`Frame`], `Bytes`, a `Vec`, a slice), a
/// received [`Message`] as what it is, and a [`Prepared`] as it was prepared.
#[derive(Debug)]
pub struct Outgoing<'a>(pub(super) Kind<'a>);

#[derive(Debug)]
pub(super) enum Kind<'a> {
    Plain(OpCode, Payload<'a>),
    Prepared(&'a Prepared),
}

impl<'a> Outgoing<'a> {
    /// A text of bytes that are UTF-8: a value that was encoded as JSON, say. They are not looked
    /// at; a peer closes when they are none.
    pub fn text(payload: impl Into<Payload<'a>>) -> Self {
        Outgoing(Kind::Plain(OpCode::Text, payload.into()))
    }

    /// Bytes, of a text too.
    pub fn binary(payload: impl Into<Payload<'a>>) -> Self {
        Outgoing(Kind::Plain(OpCode::Binary, payload.into()))
    }
}

impl From<Message> for Outgoing<'_> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => text.into(),
            Message::Binary(frame) => frame.into(),
        }
    }
}

impl From<Text> for Outgoing<'_> {
    fn from(text: Text) -> Self {
        Outgoing::text(text.0)
    }
}

impl<'a> From<&'a Prepared> for Outgoing<'a> {
    fn from(prepared: &'a Prepared) -> Self {
        Outgoing(Kind::Prepared(prepared))
    }
}

macro_rules! goes_as {
    ($kind:ident: $($type:ty),+) => {$(
        impl<'a> From<$type> for Outgoing<'a> {
            fn from(payload: $type) -> Self {
                Outgoing::$kind(payload)
            }
        }
    )+};
}

goes_as!(text: &'a str, &'a String, String);
goes_as!(binary: Frame, Bytes, Vec<u8>, &'a [u8], &'a Vec<u8>);

impl<'a, const N: usize> From<&'a [u8; N]> for Outgoing<'a> {
    fn from(array: &'a [u8; N]) -> Self {
        Outgoing::binary(array)
    }
}

impl Prepared {
    /// Takes what [`WebSocket::send`](super::WebSocket::send) takes.
    ///
    /// # Panics
    /// Outside of a reactor.
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
        Prepared::of(opcode, payload)
    }
}
