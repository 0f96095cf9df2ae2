//! The last messages of a room, for who comes later.

use std::collections::VecDeque;

use bytes::Bytes;

/// The last messages, as they were sent: bounded in number and in bytes.
#[derive(Debug)]
pub struct History {
    messages: VecDeque<Bytes>,
    bytes: usize,
    max: usize,
    bytes_max: usize,
}

impl History {
    /// Keeps so many messages of so many bytes at most.
    pub fn new(max: usize, bytes_max: usize) -> History {
        History { messages: VecDeque::new(), bytes: 0, max, bytes_max }
    }

    /// Adds a message; the oldest go to make room.
    pub fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > self.max || self.bytes > self.bytes_max {
            let oldest = self.messages.pop_front().expect("what is too much is something");
            self.bytes -= oldest.len();
        }
    }

    /// The messages, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.messages.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(history: &History) -> Vec<&[u8]> {
        history.iter().map(|message| &message[..]).collect()
    }

    #[test]
    fn the_last_messages_are_kept() {
        let mut history = History::new(2, 100);
        for message in ["a", "b", "c"] {
            history.push(message.into());
        }
        assert_eq!(kept(&history), [b"b", b"c"]);
        let mut none = History::new(0, 100);
        none.push("a".into());
        assert!(kept(&none).is_empty());
    }

    #[test]
    fn the_last_byte_fits_and_one_more_does_not() {
        let mut history = History::new(10, 6);
        history.push("abc".into());
        history.push("def".into());
        assert_eq!(kept(&history), [b"abc", b"def"]);
        history.push("g".into());
        assert_eq!(kept(&history), [&b"def"[..], b"g"]);
        history.push("1234567".into());
        assert!(kept(&history).is_empty() && history.bytes == 0, "longer than all of it");
    }
}
