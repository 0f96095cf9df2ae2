//! Messages, as they come and as they go.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use super::prepared::Prepared;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::wire::websocket::OpCode;

/// A message that was received. One that came in one piece lies where the kernel put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(Text),
    /// Any bytes.
    Binary(Frame),
}

impl Message {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// Its bytes, of a text too.
    pub fn into_frame(self) -> Frame {
        match self {
            Message::Text(text) => text.into_frame(),
            Message::Binary(frame) => frame,
        }
    }
}

/// Its bytes, of a text too.
impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Message::Text(text) => &text.0,
            Message::Binary(frame) => frame,
        }
    }
}

/// A text that was received: a [`Frame`] that holds UTF-8.
///
/// It was checked when it came, and is sent on without a look. As a `str` it is checked again, by
/// the fastest means there are: keep the `&str` where it is looked at often.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Frame);

impl Text {
    /// Of bytes that were checked.
    pub(super) fn checked(frame: Frame) -> Text {
        debug_assert!(std::str::from_utf8(&frame).is_ok(), "checked by the decoder");
        Text(frame)
    }

    /// Its bytes.
    pub fn into_frame(self) -> Frame {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        simdutf8::basic::from_utf8(&self.0).expect("checked when it was received")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0[..] == *other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

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
