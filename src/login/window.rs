//! The requests of one session, and the replies that are kept for it.
//!
//! ```text
//!   forgotten │ kept  kept  pending  kept  pending │ next
//!             └──────── REPLIES_MAX at most ───────┘
//! ```
//! Numbers count up by one and wrap, so a number tells by itself whether a request is new, was asked
//! before, or leaves a gap. A reply goes to the connection on which its request was asked last:
//! one that becomes ready after a resume, before the client has asked again, waits for that.

use std::collections::VecDeque;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::code::Code;

/// Replies that are kept for a session, and with them the requests that a client may have open.
pub const REPLIES_MAX: usize = 128;

/// Bytes of replies that are kept for a session, unless it is set otherwise: 256 KiB.
pub const REPLIES_BYTES_MAX: usize = 256 * 1024;

/// The number of a session's first request.
pub(super) const FIRST: u32 = 1;

/// What a server's frames begin with after the resume.
pub(super) const REPLY: u8 = 1;
pub(super) const PUSH: u8 = 2;

/// Bytes before the payload of a request.
pub const REQUEST_HEAD_BYTES: usize = 4;
/// Bytes before the payload of a reply.
pub const REPLY_HEAD_BYTES: usize = 7;

/// The longest reply, in bytes: what a frame of [`LengthPrefix::U16`](crate::LengthPrefix) holds.
pub const REPLY_BYTES_MAX: usize = u16::MAX as usize - REPLY_HEAD_BYTES;

/// The longest push, in bytes.
pub const PUSH_BYTES_MAX: usize = u16::MAX as usize - 1;

/// The frame of a reply: `1 | number u32 | code u16 | payload`.
pub fn reply_frame(number: u32, code: Code, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(REPLY_HEAD_BYTES + payload.len());
    frame.put_u8(REPLY);
    frame.put_u32(number);
    frame.put_u16(code.number());
    frame.put_slice(payload);
    frame.freeze()
}

/// The frame of what a server tells unasked: `2 | payload`. It is not kept.
pub fn push_frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(1 + payload.len());
    frame.put_u8(PUSH);
    frame.put_slice(payload);
    frame.freeze()
}

/// The number of a request's frame, `number u32 | payload`; the payload is what follows. `None` if
/// it is too short.
pub fn request_number(frame: &[u8]) -> Option<u32> {
    frame.first_chunk().map(|number| u32::from_be_bytes(*number))
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is new: handle it, and give [`Window::reply`] the reply.
    New,
    /// It was answered: send this frame again.
    Answered(Bytes),
    /// It is being handled: its reply goes to this connection.
    Pending,
    /// It was answered, and the reply is not kept any more: send this frame, which says so.
    Forgotten(Bytes),
}

/// The client does not keep to the protocol; its connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// The number is not the next one, nor one before.
    Gap,
    /// [`REPLIES_MAX`] requests after the oldest that is not answered yet.
    TooManyOpen,
    /// It came on a connection that does not have the session.
    NotConnected,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Gap => f.write_str("a request's number is not the next one"),
            Misuse::TooManyOpen => {
                write!(f, "more than {REPLIES_MAX} requests are not answered yet")
            }
            Misuse::NotConnected => f.write_str("the session is on another connection"),
        }
    }
}

impl std::error::Error for Misuse {}

enum Entry {
    /// Being handled; the index of the connection on which it was asked last.
    Pending(u32),
    Kept(Bytes),
    /// Answered, and given up for its bytes.
    Forgotten,
}

/// The requests of one session: which are new, which were asked before, which reply goes where.
///
/// ```
/// use skyring::login::{Asked, Code, Window, reply_frame};
///
/// let mut window = Window::new(1 << 20);
/// assert!(window.attach(1)); // the connection by which the session began
/// assert_eq!(window.request(1, 1), Ok(Asked::New));
/// let reply = reply_frame(1, Code::Ok, b"done");
/// assert!(window.reply(1, reply.clone())); // goes out, and is lost with the connection
/// assert!(window.attach(2));
/// assert_eq!(window.request(1, 2), Ok(Asked::Answered(reply))); // not handled again
/// ```
pub struct Window {
    /// The number of the next new request.
    next: u32,
    /// Those before it, the newest last.
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// The index of the newest connection; 0 is none yet.
    index: u32,
}

impl Window {
    /// The window of a new session, which keeps so many bytes of replies.
    pub fn new(bytes_max: usize) -> Window {
        Window { next: FIRST, entries: VecDeque::new(), bytes: 0, bytes_max, index: 0 }
    }

    /// The session is on the connection of this index from now on. Whether that is so: an older
    /// connection cannot take it back.
    pub fn attach(&mut self, index: u32) -> bool {
        let is_newer = index > self.index;
        self.index = self.index.max(index);
        is_newer
    }

    /// The index of the connection that has the session, or had it last.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// A request came on the connection of this index.
    ///
    /// # Errors
    /// [`Misuse`]: close the connection.
    pub fn request(&mut self, number: u32, index: u32) -> Result<Asked, Misuse> {
        if index != self.index || index == 0 {
            return Err(Misuse::NotConnected);
        }
        if number == self.next {
            self.make_room()?;
            self.entries.push_back(Entry::Pending(index));
            self.next = number.wrapping_add(1);
            return Ok(Asked::New);
        }
        let age = self.next.wrapping_sub(number);
        if age > u32::MAX / 2 {
            return Err(Misuse::Gap);
        }
        let place = self.entries.len().checked_sub(age as usize);
        Ok(match place.map(|place| &mut self.entries[place]) {
            Some(Entry::Pending(asked)) => {
                *asked = index;
                Asked::Pending
            }
            Some(Entry::Kept(reply)) => Asked::Answered(reply.clone()),
            Some(Entry::Forgotten) | None => {
                Asked::Forgotten(reply_frame(number, Code::Forgotten, b""))
            }
        })
    }

    /// A request was handled. Whether its reply is to be sent now, on the newest connection;
    /// if not, it goes out when the client asks again.
    ///
    /// # Panics
    /// When this request was not new before, or has a reply already.
    pub fn reply(&mut self, number: u32, frame: Bytes) -> bool {
        let age = self.next.wrapping_sub(number) as usize;
        let place = self.entries.len().checked_sub(age).filter(|_| age > 0);
        let entry = place.map(|place| &mut self.entries[place]);
        let Some(entry @ Entry::Pending(_)) = entry else {
            panic!("request {number} is not being handled");
        };
        self.bytes += frame.len();
        let Entry::Pending(asked) = std::mem::replace(entry, Entry::Kept(frame)) else {
            unreachable!("matched above");
        };
        self.shrink();
        asked == self.index
    }

    /// Requests that are being handled.
    pub fn pending(&self) -> impl Iterator<Item = u32> + '_ {
        let first = self.next.wrapping_sub(self.entries.len() as u32);
        let numbered = self.entries.iter().zip(0..);
        numbered.filter_map(move |(entry, at)| {
            matches!(entry, Entry::Pending(_)).then_some(first.wrapping_add(at))
        })
    }

    /// Bytes of replies that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Room for one more request.
    fn make_room(&mut self) -> Result<(), Misuse> {
        if self.entries.len() < REPLIES_MAX {
            return Ok(());
        }
        if matches!(self.entries.front(), Some(Entry::Pending(_))) {
            return Err(Misuse::TooManyOpen);
        }
        self.forget(0);
        self.entries.pop_front();
        Ok(())
    }

    /// Gives up the oldest replies until the rest is within the bound.
    fn shrink(&mut self) {
        while self.bytes > self.bytes_max {
            let oldest = self.entries.iter().position(|entry| matches!(entry, Entry::Kept(_)));
            self.forget(oldest.expect("the bytes are somewhere"));
        }
        // At the front, forgotten is as good as not there.
        while let Some(Entry::Forgotten) = self.entries.front() {
            self.entries.pop_front();
        }
    }

    fn forget(&mut self, place: usize) {
        if let Entry::Kept(reply) = std::mem::replace(&mut self.entries[place], Entry::Forgotten) {
            self.bytes -= reply.len();
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { next, entries, bytes, index, .. } = self;
        write!(f, "Window(next {next}, {} known, {bytes} bytes, index {index})", entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(bytes_max: usize) -> Window {
        let mut window = Window::new(bytes_max);
        assert!(window.attach(1));
        window
    }

    fn frame(number: u32) -> Bytes {
        reply_frame(number, Code::Ok, &number.to_be_bytes())
    }

    fn answer(window: &mut Window, number: u32) {
        assert_eq!(window.request(number, window.index()), Ok(Asked::New));
        assert!(window.reply(number, frame(number)));
    }

    fn is_forgotten(window: &mut Window, number: u32) -> bool {
        let asked = window.request(number, window.index()).expect("asked before");
        asked == Asked::Forgotten(reply_frame(number, Code::Forgotten, b""))
    }

    #[test]
    fn the_last_128_replies_are_kept_and_the_one_before_is_refused() {
        let mut window = connected(usize::MAX);
        (1..=128).for_each(|number| answer(&mut window, number));
        assert_eq!(window.request(1, 1), Ok(Asked::Answered(frame(1))));
        answer(&mut window, 129);
        assert!(is_forgotten(&mut window, 1));
        assert_eq!(window.request(2, 1), Ok(Asked::Answered(frame(2))));
        assert_eq!(window.request(129, 1), Ok(Asked::Answered(frame(129))));
    }

    #[test]
    fn replies_are_kept_to_the_last_byte_and_the_oldest_given_up_for_the_next() {
        let size = frame(1).len();
        let mut window = connected(3 * size);
        (1..=3).for_each(|number| answer(&mut window, number));
        assert_eq!(window.bytes(), 3 * size);
        assert_eq!(window.request(1, 1), Ok(Asked::Answered(frame(1))));
        answer(&mut window, 4);
        assert_eq!(window.bytes(), 3 * size);
        assert!(is_forgotten(&mut window, 1));
        assert_eq!(window.request(2, 1), Ok(Asked::Answered(frame(2))));
        // One that is above the bound by itself is sent, and not kept.
        assert_eq!(window.request(5, 1), Ok(Asked::New));
        assert!(window.reply(5, reply_frame(5, Code::Ok, &vec![0; 4 * size])));
        assert_eq!(window.bytes(), 0);
        assert!(is_forgotten(&mut window, 5) && is_forgotten(&mut window, 4));
    }

    #[test]
    fn bytes_are_given_up_behind_a_request_that_is_being_handled() {
        let size = frame(1).len();
        let mut window = connected(size);
        assert_eq!(window.request(1, 1), Ok(Asked::New));
        answer(&mut window, 2);
        answer(&mut window, 3);
        assert!(is_forgotten(&mut window, 2));
        assert_eq!(window.request(3, 1), Ok(Asked::Answered(frame(3))));
        assert_eq!(window.pending().collect::<Vec<_>>(), [1]);
        assert!(window.reply(1, frame(1)), "the oldest goes at once");
        assert!(is_forgotten(&mut window, 1));
        assert_eq!(window.bytes(), size);
    }

    #[test]
    fn requests_are_open_up_to_128_and_no_more() {
        let mut window = connected(usize::MAX);
        for number in 1..=128 {
            assert_eq!(window.request(number, 1), Ok(Asked::New));
        }
        assert_eq!(window.request(129, 1), Err(Misuse::TooManyOpen));
        assert!(window.reply(2, frame(2)));
        assert_eq!(window.request(129, 1), Err(Misuse::TooManyOpen), "1 is the oldest");
        assert!(window.reply(1, frame(1)));
        assert_eq!(window.request(129, 1), Ok(Asked::New));
        assert_eq!(window.request(130, 1), Ok(Asked::New));
        assert_eq!(window.request(131, 1), Err(Misuse::TooManyOpen));
    }

    #[test]
    fn a_reply_goes_to_the_connection_that_asked_last() {
        let mut window = connected(usize::MAX);
        assert_eq!(window.request(1, 1), Ok(Asked::New));
        assert_eq!(window.request(2, 1), Ok(Asked::New));
        assert!(window.attach(5));
        assert!(!window.reply(1, frame(1)), "nobody has asked on the new one");
        assert_eq!(window.request(1, 5), Ok(Asked::Answered(frame(1))));
        assert_eq!(window.request(2, 5), Ok(Asked::Pending));
        assert!(window.reply(2, frame(2)));
    }

    #[test]
    fn an_older_connection_has_no_say() {
        let mut window = connected(usize::MAX);
        assert!(window.attach(3));
        assert!(!window.attach(3) && !window.attach(2));
        assert_eq!(window.request(1, 1), Err(Misuse::NotConnected));
        assert_eq!(window.request(1, 3), Ok(Asked::New));
        assert_eq!(Window::new(0).request(1, 0), Err(Misuse::NotConnected));
    }

    #[test]
    fn a_gap_is_misuse_and_what_was_never_asked_is_not_kept() {
        let mut window = connected(usize::MAX);
        assert_eq!(window.request(2, 1), Err(Misuse::Gap));
        assert_eq!(window.request(u32::MAX / 2, 1), Err(Misuse::Gap));
        assert!(is_forgotten(&mut window, 0));
        assert_eq!(window.request(1, 1), Ok(Asked::New));
    }

    #[test]
    fn numbers_wrap() {
        let mut window = connected(usize::MAX);
        window.next = u32::MAX - 1;
        for number in [u32::MAX - 1, u32::MAX, 0, 1] {
            answer(&mut window, number);
        }
        for number in [u32::MAX - 1, u32::MAX, 0, 1] {
            assert_eq!(window.request(number, 1), Ok(Asked::Answered(frame(number))));
        }
        assert_eq!(window.request(3, 1), Err(Misuse::Gap));
    }
}
