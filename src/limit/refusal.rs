//! Why somebody is refused, and what is said to him.

use std::fmt;

use bytes::Bytes;

use super::bucket::RetryAfter;
use crate::wire::{FrameError, Framing};

/// What a refusal may say at the door, in bytes with its encoding: it must fit into the buffer of a
/// fresh socket, since nobody waits for it.
pub const DOOR_BYTES_MAX: usize = 1024;

/// Why a connection is refused, or a client sent away. Its text is made to be shown to the client.
///
/// ```
/// use skyring::limit::Refusal;
///
/// assert_eq!(Refusal::AddressFull.to_string(), "too many connections from your address");
/// assert!(Refusal::AddressFull.is_at_door() && !Refusal::Silent.is_at_door());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// `SKYRING_CONNECTIONS_MAX` is reached.
    EngineFull,
    /// `SKYRING_CONNECTIONS_PER_IP_MAX` is reached.
    AddressFull,
    /// The address is banned.
    Banned,
    /// The gate has as many clients as it may have (`GateBuilder::clients_max`).
    GateFull,
    /// The gate's service has failed and is being started again.
    GateDown,
    /// The client sent faster than `SKYRING_RATE`, or its address than `SKYRING_RATE_PER_IP`.
    TooFast(RetryAfter),
    /// The client broke the framing.
    Malformed(FrameError),
    /// No frame was whole within `SKYRING_HANDSHAKE`.
    Silent,
    /// Nobody serves the client any more: its service has ended, or none could be made.
    Abandoned,
    /// The engine stops.
    Stopping,
}

impl Refusal {
    /// Those that are said before there is a client.
    const AT_DOOR: [Refusal; 5] = [
        Refusal::EngineFull,
        Refusal::AddressFull,
        Refusal::Banned,
        Refusal::GateFull,
        Refusal::GateDown,
    ];

    /// Whether it is said to somebody who has not come in: nothing was read of him.
    pub fn is_at_door(self) -> bool {
        Refusal::AT_DOOR.contains(&self)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::EngineFull => f.write_str("the server is full"),
            Refusal::AddressFull => f.write_str("too many connections from your address"),
            Refusal::Banned => f.write_str("your address is banned"),
            Refusal::GateFull => f.write_str("there is no place left"),
            Refusal::GateDown => f.write_str("the service is being started again"),
            Refusal::TooFast(retry) => write!(f, "too many requests: {retry}"),
            Refusal::Malformed(error) => write!(f, "malformed: {error}"),
            Refusal::Silent => f.write_str("nothing came in time"),
            Refusal::Abandoned => f.write_str("nobody serves you any more"),
            Refusal::Stopping => f.write_str("the server stops"),
        }
    }
}

/// What a user says to the refused, as the payload of a frame; empty is nothing.
pub(crate) type Say = Box<dyn Fn(Refusal) -> Bytes + Send + Sync>;

/// What the refused of one gate are told.
pub(crate) struct Words {
    framing: Framing,
    say: Say,
    /// Whole frames, in the order of `AT_DOOR`: a flood at the door costs no call and no memory.
    prepared: [Box<[u8]>; Refusal::AT_DOOR.len()],
}

impl Words {
    /// # Panics
    /// When what is said at the door is no frame of this framing, or longer than
    /// [`DOOR_BYTES_MAX`].
    pub(crate) fn new(framing: Framing, say: Say) -> Words {
        let prepared = Refusal::AT_DOOR.map(|refusal| {
            let payload = say(refusal);
            if payload.is_empty() {
                return Box::default();
            }
            let envelope = framing.encode(&payload).unwrap_or_else(|error| {
                panic!("what is said of {refusal:?} is no frame of {framing}: {error}")
            });
            let words = [envelope.head(), &payload, envelope.tail()].concat();
            let len = words.len();
            assert!(len <= DOOR_BYTES_MAX, "{len} bytes are said of {refusal:?}, at most 1024");
            words.into()
        });
        Words { framing, say, prepared }
    }

    /// What is said at the door: a whole frame; empty is nothing.
    pub(crate) fn at_door(&self, refusal: Refusal) -> &[u8] {
        let at = Refusal::AT_DOOR.iter().position(|known| *known == refusal);
        at.map_or(&[], |at| &self.prepared[at])
    }

    /// What is said to a client, a payload; empty is nothing. Calls the user.
    pub(crate) fn say(&self, refusal: Refusal) -> Bytes {
        (self.say)(refusal)
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.framing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LengthPrefix;

    fn words(framing: Framing, len: usize) -> Words {
        Words::new(framing, Box::new(move |_| vec![b'x'; len].into()))
    }

    #[test]
    fn words_at_the_door_are_whole_frames() {
        let say = |refusal: Refusal| Bytes::from(refusal.to_string());
        let words = Words::new(Framing::Line, Box::new(say));
        assert_eq!(words.at_door(Refusal::EngineFull), b"the server is full\n");
        assert_eq!(words.at_door(Refusal::GateDown), b"the service is being started again\n");
        assert_eq!(words.at_door(Refusal::Silent), b"", "that is said to clients only");
        assert_eq!(&words.say(Refusal::Silent)[..], b"nothing came in time");
    }

    #[test]
    fn the_longest_word_is_taken_and_one_byte_more_is_not() {
        let u16 = Framing::from(LengthPrefix::U16);
        let longest = words(u16, DOOR_BYTES_MAX - 2);
        assert_eq!(longest.at_door(Refusal::Banned).len(), DOOR_BYTES_MAX);
        assert_eq!(words(u16, 0).at_door(Refusal::Banned), b"");
    }

    #[test]
    #[should_panic(expected = "1025 bytes are said of EngineFull")]
    fn longer_words_are_refused() {
        let _ = words(LengthPrefix::U16.into(), DOOR_BYTES_MAX - 1);
    }

    #[test]
    #[should_panic(expected = "is no frame of line")]
    fn words_that_are_no_frame_are_refused() {
        let _ = Words::new(Framing::Line, Box::new(|_| Bytes::from_static(b"two\nlines")));
    }
}
