//! The body of a request, as it comes.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use super::error::BodyError;
use super::link::Link;
use crate::memory::frame::Frame;
use crate::wire::http::Fields;

/// Room that is made at once for a body that comes in pieces; more only as it comes.
const ROOM_BYTES_MAX: u64 = 64 * 1024;

/// The body of a request: read as it comes, where it was received. While nobody reads it, the peer
/// is not read either, beyond `SKYRING_RECEIVE_BYTES_MAX`.
///
/// It ends with its request: once that is answered, a body that was kept gives [`BodyError::Over`].
pub struct Body {
    link: Rc<Link>,
    exchange: u32,
}

impl Body {
    pub(super) fn new(link: Rc<Link>, exchange: u32) -> Body {
        Body { link, exchange }
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// The next piece, as it was received; `None` at the end of the body. Dropping the future loses
    /// no byte.
    ///
    /// A peer that waits for it is told `100 Continue` by the first read.
    ///
    /// # Errors
    /// [`BodyError`]
    pub async fn read(&mut self) -> Result<Option<Frame>, BodyError> {
        /// Ends the wait when it is given up, too.
        struct Wait<'a>(&'a Rc<Link>, u32);
        impl Drop for Wait<'_> {
            fn drop(&mut self) {
                self.0.end_body_wait(self.1);
            }
        }
        let wait = Wait(&self.link, self.exchange);
        poll_fn(|cx| wait.0.poll_body(wait.1, cx)).await
    }

    /// All that is left of the body. Nothing is copied when it came in one piece.
    ///
    /// # Errors
    /// [`BodyError`]
    pub async fn read_to_end(&mut self) -> Result<Frame, BodyError> {
        let left = self.link.body_left();
        let Some(first) = self.read().await? else { return Ok(Frame::empty()) };
        if left == Some(first.len() as u64) {
            return Ok(first);
        }
        let room = left.unwrap_or(0).min(ROOM_BYTES_MAX) as usize;
        let mut whole = Vec::with_capacity(room.max(first.len()));
        whole.extend_from_slice(&first);
        drop(first); // the block goes home
        while let Some(piece) = self.read().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(Frame::from(whole))
    }

    /// The value of a trailer field, once the body has been read to its end.
    pub fn trailer(&self, name: &str) -> Option<String> {
        let find = |lines: &[u8]| {
            Fields::new(lines).value(name).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        self.link.trailers(self.exchange, find)?
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.link.body_left()).finish_non_exhaustive()
    }
}
