//! The frames that a client has sent and its service is about to handle.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::handle::Client;
use super::session::{Batch, Session};
use crate::memory::frame::Frame;
use crate::reactor::Waiter;

/// Output of one turn and client at which its service waits for the flush, or half of the send cap
/// if that is less.
const FRESH_BYTES_MAX: usize = 256 * 1024;

/// The frames of one client that had come when its service was told, in order, cut one at a time
/// where they lie. What comes later is told of anew.
///
/// Frames that are not taken before this is dropped are dropped and counted
/// (`frames_undelivered`). If the client is forwarded first, they go to the next service.
pub struct Frames {
    session: Rc<Session>,
    batch: Batch,
}

impl Frames {
    /// The frames that a client has for its service, see [`Session::has_batch`].
    #[inline]
    pub(crate) fn of(client: &Client) -> Frames {
        let session = client.session();
        Frames { session: session.clone(), batch: session.next_batch() }
    }

    /// The next frame; `None` after the last. It waits only when this service has had its share of
    /// the turn, or has queued so much output that the kernel must have a chance to take it.
    ///
    /// A client that breaks the framing or its rate sends no more frames: `None`, and its service
    /// hears of the end.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it waits, as an iterator cannot")]
    pub fn next(&mut self) -> impl Future<Output = Option<Frame>> {
        poll_fn(|cx| {
            if !self.may_go_on(cx) {
                return Poll::Pending;
            }
            Poll::Ready(self.session.cut(self.batch))
        })
    }

    /// Whether the service may handle another frame now. If not, it is polled again when it may.
    #[inline]
    fn may_go_on(&self, cx: &mut Context<'_>) -> bool {
        let connection = &self.session.connection;
        let settings = &connection.reactor.settings;
        // What a client sent at once may be answered by more than its send queue takes, although it
        // reads: the kernel must have its chance before that counts against it.
        if connection.fresh() >= FRESH_BYTES_MAX.min(settings.send_queue_bytes_max / 2) {
            match connection.reactor.waiter(cx.waker()) {
                Waiter::Task(task) => connection.reactor.schedule_after_flush(task),
                Waiter::Other(waker) => waker.wake(),
            }
            return false;
        }
        let may = self.session.try_spend();
        if !may {
            cx.waker().wake_by_ref();
        }
        may
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.session.done_reading(self.batch);
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({})", self.session.id)
    }
}
