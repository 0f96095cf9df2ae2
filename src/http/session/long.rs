//! Answers that take longer than a poll: long bodies, those that a user writes by and by, and the wait
//! for a peer that lags.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::http::link::Link;
use crate::http::outgoing::{Mode, Outgoing};
use crate::http::response::Writing;
use crate::memory::chain::Payload;
use crate::reactor::guarded;

/// Writes a long body in pieces, while the peer takes them.
pub(super) async fn write_long(link: &Rc<Link>, body: Payload<'static>) -> bool {
    let (len, most) = (body.len(), link.piece_bytes_max());
    for start in (0..len).step_by(most) {
        let piece = body.part(start..len.min(start + most));
        if link.write(piece).is_err() || !wait_sent(link).await {
            return false;
        }
    }
    true
}

/// Waits until the peer has taken what was written. Whether it has.
pub(in crate::http) async fn wait_sent(link: &Rc<Link>) -> bool {
    link.allow_push();
    let sent = poll_fn(|cx| match link.poll_sent(cx) {
        Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
        Poll::Pending if link.take_expired() => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    })
    .await;
    if !sent {
        link.stream.shutdown();
    }
    sent
}

/// Lets a user write a body. Whether it is whole; else the connection is reset.
pub(super) async fn stream(link: &Rc<Link>, write: Writing, mode: Mode) -> bool {
    const PANICKED: &str = "the writer of an HTTP body panicked";
    let metrics = &link.reactor.metrics;
    link.allow_work(None);
    let out = Outgoing::new(link.clone(), mode);
    let Some(mut writing) = guarded(metrics, PANICKED, || write(out)) else {
        link.stream.shutdown();
        return false;
    };
    let written = poll_fn(|cx| {
        if link.take_expired() {
            return Poll::Ready(None);
        }
        match guarded(metrics, PANICKED, || writing.as_mut().poll(cx)) {
            Some(polled) => polled.map(Some),
            None => Poll::Ready(None),
        }
    })
    .await;
    guarded(metrics, PANICKED, || drop(writing));
    let is_whole = match written {
        Some((out, Ok(()))) => out.end(),
        Some((_, Err(error))) => {
            tracing::debug!(%error, "the body of an HTTP answer was given up");
            false
        }
        None => false,
    };
    if !is_whole {
        link.stream.shutdown();
    }
    is_whole
}
