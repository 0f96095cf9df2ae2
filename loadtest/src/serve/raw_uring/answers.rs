//! What the bare loop answers to HTTP: the same words to whatever ends like a head.
//!
//! ```text
//!   received: [ head | head | he·ad ]     whole: an answer for each end, of the one buffer
//! ```
//! Nothing is parsed and nothing is composed, so a server of HTTP on this ring can come near it and
//! not below. It is no server: any bytes will do for a request, and a body is taken for one.

use memchr::memmem;

const END: &[u8] = b"\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Sat, 28 Nov 2026 00:00:00 GMT\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\n\r\nHello, World!";
/// Answers that leave with one send.
const ANSWERS_MAX: usize = 64;

/// Answers that are due to one connection.
pub(super) struct Answers {
    /// Bytes of them.
    pub(super) whole: usize,
    /// Bytes of the answer at the front that have left.
    left: usize,
    /// Bytes of a head's end that the last piece ended with.
    matched: usize,
    /// Many answers behind each other; the program's own, for ever.
    bytes: &'static [u8],
}

/// The answers behind each other, made once for all connections.
pub(super) fn bytes() -> &'static [u8] {
    ANSWER.repeat(ANSWERS_MAX).leak()
}

impl Answers {
    pub(super) fn new(bytes: &'static [u8]) -> Answers {
        Answers { whole: 0, left: 0, matched: 0, bytes }
    }

    pub(super) fn received(&mut self, mut bytes: &[u8]) {
        // The end of a head that an earlier piece began.
        while self.matched > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.matched = match byte == END[self.matched] {
                true => self.matched + 1,
                false => usize::from(byte == END[0]),
            };
            if self.matched == END.len() {
                self.matched = 0;
                self.whole += ANSWER.len();
            }
        }
        let mut behind = 0;
        for at in memmem::find_iter(bytes, END) {
            self.whole += ANSWER.len();
            behind = at + END.len();
        }
        let rest = &bytes[behind..];
        let ends_with = |len: &usize| rest.ends_with(&END[..*len]);
        self.matched = (1..END.len()).rev().find(ends_with).unwrap_or(0);
    }

    /// What to send next.
    pub(super) fn output(&self) -> &'static [u8] {
        let rest = &self.bytes[self.left..];
        &rest[..rest.len().min(self.whole)]
    }

    pub(super) fn sent(&mut self, n: usize) {
        self.whole -= n;
        self.left = (self.left + n) % ANSWER.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_for_each_head_however_it_is_cut() {
        let heads = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /\r\n\r\n";
        for first in 0..=heads.len() {
            for second in first..=heads.len() {
                let mut answers = Answers::new(bytes());
                for piece in [&heads[..first], &heads[first..second], &heads[second..]] {
                    answers.received(piece);
                }
                assert_eq!(answers.whole, 2 * ANSWER.len(), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn answers_leave_in_parts_of_any_size() {
        let mut answers = Answers::new(bytes());
        for _ in 0..2 * ANSWERS_MAX {
            answers.received(END);
        }
        let (mut sent, mut size) = (Vec::new(), 1);
        while answers.whole > 0 {
            let part = &answers.output()[..size.min(answers.output().len())];
            sent.extend_from_slice(part);
            answers.sent(part.len());
            size = size * 7 % 5003 + 1;
        }
        assert!(sent == ANSWER.repeat(2 * ANSWERS_MAX), "in order and whole");
    }
}
