//! One connection: its requests in order, those sent before those that wait.

use std::collections::VecDeque;

use crate::protocol::Dialogue;

/// Bytes of one send at most, so that a connection's turn ends.
const SEND_BYTES_MAX: usize = 256 << 10;

/// A closed loop's request has no due time until it is sent.
pub(super) const DUE_WHEN_SENT: u64 = u64::MAX;

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) sequence: u64,
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
    /// The slice it belongs to: an answer after its slice's end is checked, but not measured.
    pub(super) slice: u64,
}

/// The state of a connection beside its socket.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// The first `outstanding` are sent, the others wait for room.
    queue: VecDeque<Request>,
    outstanding: usize,
    next_sequence: u64,
    out: Vec<u8>,
    pub(super) is_dirty: bool,
    pub(super) is_lost: bool,
}

impl Connection {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Requests that are not sent yet.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() - self.outstanding
    }

    /// Adds a request. Its sequence holds the connection's number too, so that a reply on the
    /// wrong connection does not match.
    #[inline]
    pub(super) fn add(&mut self, number: u32, intended_ns: u64, slice: u64) {
        let sequence = u64::from(number) << 40 | self.next_sequence;
        self.next_sequence += 1;
        self.queue.push_back(Request { sequence, intended_ns, sent_ns: 0, slice });
    }

    /// Says something beside the requests.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes what may be sent now behind each other and returns it, with the count.
    #[inline]
    pub(super) fn write(
        &mut self,
        dialogue: &Dialogue,
        bound: usize,
        now_ns: u64,
    ) -> (&mut Vec<u8>, usize) {
        let before = self.outstanding;
        while self.outstanding < bound.min(self.queue.len()) && self.out.len() < SEND_BYTES_MAX {
            let request = &mut self.queue[self.outstanding];
            if request.intended_ns == DUE_WHEN_SENT {
                request.intended_ns = now_ns;
            }
            request.sent_ns = now_ns;
            dialogue.write(request.sequence, request.intended_ns, &mut self.out);
            self.outstanding += 1;
        }
        let count = self.outstanding - before;
        (&mut self.out, count)
    }

    /// The request that the next reply answers.
    #[inline]
    pub(super) fn front(&self) -> Option<&Request> {
        self.queue.front().filter(|_| self.outstanding > 0)
    }

    /// Takes the answered request off.
    #[inline]
    pub(super) fn answered(&mut self) {
        let _answered = self.queue.pop_front();
        self.outstanding -= 1;
    }

    /// Forgets the requests that were never sent; returns those of `slice` that were, in order.
    pub(super) fn give_up(&mut self, slice: u64) -> (usize, impl Iterator<Item = &Request>) {
        let waiting = self.waiting();
        self.queue.truncate(self.outstanding);
        (waiting, self.queue.iter().filter(move |request| request.slice == slice))
    }

    /// Forgets everything: the connection is gone. Returns how many were outstanding.
    pub(super) fn clear(&mut self) -> usize {
        self.queue.clear();
        std::mem::take(&mut self.outstanding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;
    use crate::payload::Payload;

    fn dialogue() -> Dialogue {
        Dialogue::Frames(Payload::new(Framing::U16, 64, 1).expect("64 is allowed"))
    }

    #[test]
    fn no_more_than_the_bound_goes_out() {
        let mut connection = Connection::new();
        (0..5).for_each(|n| connection.add(3, 1000 + n, 1));
        let (bytes, count) = connection.write(&dialogue(), 2, 2000);
        assert_eq!((bytes.len(), count), (2 * 66, 2));
        bytes.clear();
        assert_eq!((connection.outstanding(), connection.waiting()), (2, 3));
        assert_eq!(connection.write(&dialogue(), 2, 3000).1, 0);
        let first = *connection.front().expect("two are outstanding");
        assert_eq!((first.sequence, first.intended_ns, first.sent_ns), (3 << 40, 1000, 2000));
        connection.answered();
        assert_eq!(connection.write(&dialogue(), 2, 3000).1, 1);
    }

    #[test]
    fn a_closed_loops_request_is_due_when_it_is_sent() {
        let mut connection = Connection::new();
        connection.add(0, DUE_WHEN_SENT, 1);
        connection.write(&dialogue(), 1, 777);
        assert_eq!(connection.front().map(|request| request.intended_ns), Some(777));
    }

    #[test]
    fn giving_up_keeps_what_was_sent_for_late_answers() {
        let mut connection = Connection::new();
        (0..3).for_each(|_| connection.add(0, 5, 1));
        connection.write(&dialogue(), 2, 6);
        let (waiting, sent) = connection.give_up(1);
        assert_eq!((waiting, sent.count()), (1, 2));
        assert_eq!((connection.outstanding(), connection.waiting()), (2, 0));
        assert_eq!(connection.clear(), 2);
        assert!(connection.front().is_none());
    }
}
