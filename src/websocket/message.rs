//! Messages, as they come.

use std::fmt;
use std::ops::Deref;

use crate::memory::frame::Frame;

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
pub struct Text(pub(super) Frame);

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
