//! The client's side of a message server: it resumes, and asks again what was not answered.

use std::collections::VecDeque;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::client::LoggedIn;
use super::code::Code;
use super::error::LoginError;
use super::fields::Reader;
use super::resume;
use super::window::{FIRST, PUSH, REPLIES_MAX, REPLY, REQUEST_HEAD_BYTES};
use crate::error::Error;

/// The longest request, in bytes: what a frame of [`LengthPrefix::U16`](crate::LengthPrefix) holds.
pub const REQUEST_BYTES_MAX: usize = u16::MAX as usize - REQUEST_HEAD_BYTES;

/// A client of a message server: takes frames that came, gives frames to send. It outlives its
/// connections; each request gets one reply, whatever breaks between.
///
/// ```text
///   loop {
///       connect; send resume();
///       while connected { send what poll_send() gives; give receive() what comes }
///       lost();
///   }
/// ```
pub struct Requester {
    session: LoggedIn,
    /// The index of the newest connection.
    index: u32,
    state: State,
    /// The number of the next new request.
    next: u32,
    /// The frames of those before it that are not answered, the newest last; `None` is answered.
    open: VecDeque<Option<Bytes>>,
    /// Frames to send.
    sends: VecDeque<Bytes>,
}

enum State {
    Lost,
    /// Waits for the answer to this frame.
    Resuming(Vec<u8>),
    Connected,
}

/// What a frame of the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session is on this connection now. What is not answered yet is asked again.
    Resumed,
    /// The reply to a request; it is the only one.
    Reply {
        /// The request.
        number: u32,
        /// [`Code::Ok`], [`Code::Failed`], or [`Code::Forgotten`] if the server kept its reply no
        /// longer.
        code: Code,
        /// What the server said.
        payload: Bytes,
    },
    /// The server tells something unasked.
    Push(Bytes),
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// [`REPLIES_MAX`] requests after the oldest that is not answered: wait for that one.
    Full,
    /// It has so many bytes, and may have [`REQUEST_BYTES_MAX`].
    TooLong(usize),
    /// All indexes of the session are used: log in again.
    IndexUsedUp,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Full => write!(
                f,
                "{REPLIES_MAX} requests wait for the oldest one's reply; wait for it, too"
            ),
            RequestError::TooLong(len) => {
                write!(f, "a request has {REQUEST_BYTES_MAX} bytes at most, this one has {len}")
            }
            RequestError::IndexUsedUp => {
                f.write_str("the session has had all connections that it can; log in again")
            }
        }
    }
}

impl std::error::Error for RequestError {}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Error {
        Error::Other(error.into())
    }
}

impl Requester {
    /// A client of a session that was never connected.
    pub fn new(session: LoggedIn) -> Requester {
        Requester {
            session,
            index: 0,
            state: State::Lost,
            next: FIRST,
            open: VecDeque::new(),
            sends: VecDeque::new(),
        }
    }

    /// The first frame of a new connection. Whatever was on its way by another one is lost.
    ///
    /// # Errors
    /// [`RequestError::IndexUsedUp`].
    pub fn resume(&mut self) -> Result<Bytes, RequestError> {
        self.lost();
        self.index = self.index.checked_add(1).ok_or(RequestError::IndexUsedUp)?;
        let frame = resume::write(&self.session.name, self.index, &self.session.secret);
        self.state = State::Resuming(frame.clone());
        Ok(frame.into())
    }

    /// The connection is lost.
    pub fn lost(&mut self) {
        self.state = State::Lost;
        self.sends.clear();
    }

    /// A new request: its number. It is sent when the session is on a connection.
    ///
    /// # Errors
    /// [`RequestError::Full`], [`RequestError::TooLong`].
    pub fn request(&mut self, payload: &[u8]) -> Result<u32, RequestError> {
        if payload.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong(payload.len()));
        }
        if self.open.len() == REPLIES_MAX {
            return Err(RequestError::Full);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        let mut frame = BytesMut::with_capacity(REQUEST_HEAD_BYTES + payload.len());
        frame.put_u32(number);
        frame.put_slice(payload);
        let frame = frame.freeze();
        if self.is_connected() {
            self.sends.push_back(frame.clone());
        }
        self.open.push_back(Some(frame));
        Ok(number)
    }

    /// The next frame to send.
    pub fn poll_send(&mut self) -> Option<Bytes> {
        self.sends.pop_front()
    }

    /// A frame came. `None` is a reply that this client has already.
    ///
    /// # Errors
    /// [`LoginError`]: close the connection. [`LoginError::Refused`] with [`Code::NotFound`] means
    /// that the session is over; with [`Code::Busy`], to come back later.
    pub fn receive(&mut self, frame: &[u8]) -> Result<Option<Event>, LoginError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Lost => Err(LoginError::Malformed),
            State::Resuming(asked) => {
                resume::check(frame, &asked, &self.session.secret)?;
                self.state = State::Connected;
                self.sends = self.open.iter().flatten().cloned().collect();
                Ok(Some(Event::Resumed))
            }
            State::Connected => {
                let event = self.read(frame).ok_or(LoginError::Malformed)?;
                self.state = State::Connected;
                Ok(event)
            }
        }
    }

    fn read(&mut self, frame: &[u8]) -> Option<Option<Event>> {
        let mut reader = Reader::new(frame);
        match reader.u8()? {
            PUSH => Some(Some(Event::Push(Bytes::copy_from_slice(reader.rest())))),
            REPLY => {
                let number = reader.u32()?;
                let code = Code::from_number(reader.u16()?)?;
                let age = self.next.wrapping_sub(number);
                (1..=u32::MAX / 2).contains(&age).then_some(())?; // a request that was made
                let payload = Bytes::copy_from_slice(reader.rest());
                let fresh = self.close(age as usize);
                Some(fresh.then_some(Event::Reply { number, code, payload }))
            }
            _ => None,
        }
    }

    /// Whether the request that is so many numbers old was open until now.
    fn close(&mut self, age: usize) -> bool {
        let place = self.open.len().checked_sub(age);
        let was = place.and_then(|place| self.open[place].take()).is_some();
        while let Some(None) = self.open.front() {
            self.open.pop_front();
        }
        was
    }

    /// Whether the session is on a connection.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// Requests that wait for their replies.
    pub fn open(&self) -> usize {
        self.open.iter().flatten().count()
    }

    /// The session.
    pub fn session(&self) -> &LoggedIn {
        &self.session
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open();
        write!(f, "Requester({}, index {}, {open} open)", self.session.name, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::Name;
    use super::super::secret::Secret;
    use super::*;

    #[test]
    fn the_last_index_is_used_and_then_no_more() {
        let name = Name::new("ann", "games", 7).expect("a name");
        let mut client = Requester::new(LoggedIn { name, secret: Secret::from([1; 32]) });
        client.index = u32::MAX - 1;
        assert!(client.resume().is_ok());
        assert_eq!(client.resume(), Err(RequestError::IndexUsedUp));
    }
}
