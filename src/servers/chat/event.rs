//! What a client hears: one JSON object a frame, encoded once for all who get it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use super::clock::Stamp;

/// Names that are listed of one room.
pub const USERS_SHOWN_MAX: usize = 500;
/// Rooms that are listed.
pub const ROOMS_SHOWN_MAX: usize = 250;

/// An object, told apart by its `type`. The first five are the tutorial's, with a `room` or a moment
/// (`at`, RFC 3339) beside its fields.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "docs/CHAT.md describes each field")]
pub enum Event<'a> {
    /// Somebody has entered; the newcomer hears it, too.
    Join { room: &'a str, user: &'a str, message: String },
    /// Somebody has left.
    Leave { room: &'a str, user: &'a str, message: String },
    /// Somebody says something. Ids of a room grow by one.
    Message { id: u64, user: &'a str, text: &'a str, time: &'a str, at: &'a str },
    /// To the newcomer: what the room looks like; `history` messages follow.
    RoomJoined { room: &'a str, users: &'a [&'a str], count: usize, history: usize },
    /// Somebody has another name.
    NickChange { old_name: &'a str, new_name: &'a str, message: String },

    /// The first object of all: what the client is called.
    Welcome { user: &'a str, message: &'a str },
    /// To the speaker, where all others hear the message of this id.
    Sent { id: u64, time: &'a str, at: &'a str },
    /// To who has left.
    RoomLeft { room: &'a str },
    /// The answer to WHO.
    Who { room: &'a str, users: &'a [&'a str], count: usize },
    /// The answer to LIST: the largest rooms.
    List { rooms: &'a [Listed<'a>], count: usize },
    /// Somebody says something to this client alone.
    Whisper { user: &'a str, text: &'a str, time: &'a str, at: &'a str },
    /// To who has whispered: it has been delivered.
    Whispered { to: &'a str },
    /// Something was refused, or has failed.
    Error { code: &'a str, message: Cow<'a, str> },
}

/// A room of a list.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "docs/CHAT.md describes each field")]
pub struct Listed<'a> {
    pub room: &'a str,
    pub users: u32,
}

impl Event<'_> {
    /// The object as it is sent.
    pub fn encode(&self) -> Bytes {
        let json = serde_json::to_vec(self);
        json.expect("texts, numbers and lists of them have a form in JSON").into()
    }

    /// An error object.
    pub fn error(code: &'static str, message: impl Into<Cow<'static, str>>) -> Bytes {
        Event::Error { code, message: message.into() }.encode()
    }
}

/// The two forms of a moment that objects carry.
pub(super) struct Moment {
    pub(super) time: String,
    pub(super) at: String,
}

impl Moment {
    /// This one.
    pub(super) fn now() -> Moment {
        let stamp = Stamp::new(crate::unix_time());
        Moment { time: stamp.time(), at: stamp.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_begin_with_their_type_and_have_the_tutorials_fields() {
        let message = Event::Message {
            id: 7,
            user: "ann",
            text: "a \"b\"\n\u{e9}",
            time: "12:00:00",
            at: "2026-01-01T12:00:00.000Z",
        };
        let json = r#"{"type":"message","id":7,"user":"ann","text":"a \"b\"\né","time":"12:00:00","at":"2026-01-01T12:00:00.000Z"}"#;
        assert_eq!(message.encode(), json.as_bytes());
        let joined = Event::RoomJoined { room: "x", users: &["ann"], count: 1, history: 0 };
        let json = r#"{"type":"room_joined","room":"x","users":["ann"],"count":1,"history":0}"#;
        assert_eq!(joined.encode(), json.as_bytes());
        let error = r#"{"type":"error","code":"no_room","message":"why"}"#;
        assert_eq!(Event::error("no_room", "why"), error.as_bytes());
    }

    #[test]
    fn the_longest_objects_fit_a_frame_of_64_kib() {
        let name = "𐌰".repeat(super::super::name::NAME_CHARS_MAX);
        let users = vec![name.as_str(); USERS_SHOWN_MAX];
        let who = Event::RoomJoined { room: &name, users: &users, count: 9999, history: 50 };
        assert!(who.encode().len() <= usize::from(u16::MAX));
        let rooms: Vec<_> =
            (0..ROOMS_SHOWN_MAX).map(|_| Listed { room: &name, users: u32::MAX }).collect();
        let list = Event::List { rooms: &rooms, count: 99_999 };
        assert!(list.encode().len() <= usize::from(u16::MAX));
        let text = "\"".repeat(super::super::limits::TEXT_BYTES_MAX);
        let (time, at) = ("12:00:00", "2026-01-01T12:00:00.000Z");
        let message = Event::Message { id: u64::MAX, user: &name, text: &text, time, at };
        assert!(message.encode().len() <= usize::from(u16::MAX));
    }
}
