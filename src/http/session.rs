//! One connection from its first request to its last: requests in order, each answered before the
//! next is looked at.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use super::body::Body;
use super::handler::Spot;
use super::link::{Heard, Link, QUEUED_BYTES_MAX};
use super::outgoing::{Mode, Outgoing};
use super::refusal::{answer, internal, refused, said};
use super::request::Request;
use super::response::{Content, Response, Writing};
use super::site::Site;
use super::upgrade;
use crate::error::Result;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::reactor::guarded;
use crate::wire::http::{BodyLength, Head, RequestError, ResponseHead, Version, write_head};

/// A body that nobody has read is read and dropped up to this size; else the connection closes.
const SKIPPED_BYTES_MAX: u64 = 64 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(link: &Rc<Link>, site: &Site) {
    let budget = link.reactor.settings.task_budget;
    let mut left = budget;
    loop {
        link.allow(link.limits.idle_time);
        let goes_on = match poll_fn(|cx| link.poll_head(cx)).await {
            Heard::Head(head, bytes) => exchange(link, site, head, bytes).await,
            Heard::Refused(error) => refuse(link, site, error),
            Heard::Expired { begun: true } => refuse(link, site, RequestError::TooSlow),
            Heard::Expired { begun: false } | Heard::Ended | Heard::Drained => false,
        };
        if !goes_on {
            return;
        }
        left -= 1;
        if left == 0 {
            left = budget;
            let mut yielded = false;
            poll_fn(|_| match std::mem::replace(&mut yielded, true) {
                true => Poll::Ready(()),
                false => {
                    link.yield_turn();
                    Poll::Pending
                }
            })
            .await;
        }
    }
}

/// Answers what is no request, or one too much. The connection ends.
#[cold]
fn refuse(link: &Rc<Link>, site: &Site, error: RequestError) -> bool {
    link.reactor.metrics.http_requests.add(1);
    link.reactor.metrics.http_refused.add(1);
    let peer = link.stream.peer().map(tracing::field::display);
    tracing::debug!(peer, status = error.status(), why = %error, "HTTP request refused");
    let response = refused(error);
    if let Content::Whole(body) = response.content {
        let head = ResponseHead {
            status: response.status,
            date: &site.date(&link.reactor),
            content_type: response.content_type,
            length: Some(BodyLength::Bytes(body.len() as u64)),
            fields: &[],
            keep_alive: false,
            version: Version::Http11,
        };
        link.write_head(|out| write_head(out, &head));
        let _ = link.write(body); // the connection ends in any case
    }
    false
}

/// One request and its answer. Whether the connection goes on.
async fn exchange(link: &Rc<Link>, site: &Site, head: Head, bytes: Frame) -> bool {
    if matches!(head.body, BodyLength::Bytes(len) if len > link.limits.body_bytes_max) {
        return refuse(link, site, RequestError::BodyTooLong);
    }
    link.reactor.metrics.http_requests.add(1);
    let started = link.reactor.now();
    let number = link.begin(&head);
    let log = site.router.logs_access.then(|| bytes.clone());
    let is_head = head.method.bytes(&bytes) == b"HEAD";
    let mut request = Request::new(head, bytes, Body::new(link.clone(), number));
    #[cfg(feature = "gzip")]
    let accepts_gzip = site.router.gzip_bytes_min.is_some() && super::gzip::is_accepted(&request);
    let answered = match site.router.route(&mut request) {
        Ok(spot) => handle(link, &spot, request).await,
        Err(response) => {
            drop(request);
            Answered { response, closes: false }
        }
    };
    #[cfg(feature = "gzip")]
    let answered = match (accepts_gzip, site.router.gzip_bytes_min) {
        (true, Some(min)) => {
            Answered { response: super::gzip::compress(answered.response, min).await, ..answered }
        }
        _ => answered,
    };
    let status = answered.response.status;
    let goes_on = respond(link, site, &head, is_head, answered).await;
    if let Some(bytes) = log {
        let took = link.reactor.now().since(started);
        let (method, target) = (head.method.of(&bytes), head.target.of(&bytes));
        let peer = link.stream.peer().map(tracing::field::display);
        tracing::info!(target: "skyring::http::access", peer, method, target, status, ?took);
    }
    goes_on && finish_body(link).await
}

/// What a handler has come to.
struct Answered {
    response: Response,
    /// The connection cannot go on.
    closes: bool,
}

/// Runs a handler. A panic of his ends the request, and nothing else.
async fn handle(link: &Rc<Link>, spot: &Spot, request: Request) -> Answered {
    enum Ended {
        Answer(Result<Response>),
        Panicked,
        Expired,
    }
    let metrics = &link.reactor.metrics;
    let mut place = spot.take();
    link.allow_work(Some(link.limits.answer_time));
    place.start(request);
    let ended = poll_fn(|cx| {
        if link.take_expired() {
            return Poll::Ready(Ended::Expired);
        }
        match guarded(metrics, "an HTTP handler panicked", || place.poll(cx)) {
            Some(Poll::Ready(answer)) => Poll::Ready(Ended::Answer(answer)),
            Some(Poll::Pending) => Poll::Pending,
            None => Poll::Ready(Ended::Panicked),
        }
    })
    .await;
    if guarded(metrics, "an HTTP handler panicked", || place.clear()).is_some() {
        spot.keep(place);
    }
    match ended {
        Ended::Answer(Ok(response)) => Answered { response, closes: false },
        Ended::Answer(Err(error)) => Answered { response: answer(&error), closes: false },
        Ended::Panicked => Answered { response: internal(), closes: false },
        Ended::Expired if link.waits_for_body.get() => {
            metrics.http_refused.add(1);
            Answered { response: refused(RequestError::TooSlow), closes: true }
        }
        Ended::Expired => {
            tracing::warn!(time = ?link.limits.answer_time, "an HTTP handler has not answered");
            Answered { response: said(503, "No answer in time"), closes: true }
        }
    }
}

/// Writes the answer. Whether the connection may go on.
async fn respond(
    link: &Rc<Link>,
    site: &Site,
    head: &Head,
    is_head: bool,
    answered: Answered,
) -> bool {
    let Answered { mut response, closes } = answered;
    // What writes a body may read the request's meanwhile.
    if !matches!(response.content, Content::Stream(..)) {
        link.skip_body();
    }
    if link.is_broken() {
        link.reactor.metrics.http_refused.add(1);
    }
    if matches!(response.content, Content::Upgrade(_)) && !head.upgrade {
        response = said(426, "Ask for the upgrade that is served here.");
    }
    let body_left = link.body_left();
    if matches!(response.content, Content::Upgrade(_)) && body_left != Some(0) {
        response = said(400, "A request for an upgrade has no body.");
    }
    let streams = matches!(response.content, Content::Stream(..));
    let old = head.version == Version::Http10;
    let is_read = body_left == Some(0)
        || !link.is_continue_due() && body_left.is_some_and(|left| left <= SKIPPED_BYTES_MAX);
    let can_go_on = head.keep_alive && !closes && !link.draining.get();
    let mut keep_alive = can_go_on && (is_read || streams);
    let bodiless = matches!(response.status, 101 | 204 | 304);
    let (length, mode) = match &response.content {
        _ if bodiless => (None, Mode::Silent),
        Content::Whole(body) => (Some(BodyLength::Bytes(body.len() as u64)), Mode::Silent),
        Content::Stream(_, Some(len)) => (Some(BodyLength::Bytes(*len)), Mode::Length(*len)),
        Content::Stream(..) if old => {
            keep_alive = false;
            (None, Mode::Close)
        }
        Content::Stream(..) => (Some(BodyLength::Chunked), Mode::Chunked),
        Content::Upgrade(_) => (None, Mode::Silent),
    };
    let date = site.date(&link.reactor);
    link.write_head(|out| {
        write_head(
            out,
            &ResponseHead {
                status: response.status,
                date: &date,
                content_type: response.content_type,
                length,
                fields: &response.fields,
                keep_alive: keep_alive || response.status == 101,
                version: head.version,
            },
        );
    });
    let written = match response.content {
        Content::Upgrade(serve) => {
            upgrade::begin(link, serve);
            return false;
        }
        _ if is_head || bodiless => true,
        Content::Whole(body) => write_whole(link, body).await,
        Content::Stream(write, _) => stream(link, write, mode).await,
    };
    written && keep_alive
}

/// Writes a body; in pieces, while the peer takes them, if it is long.
async fn write_whole(link: &Rc<Link>, body: Payload<'static>) -> bool {
    if body.len() <= QUEUED_BYTES_MAX {
        return link.write(body).is_ok() && (!link.is_behind() || wait_sent(link).await);
    }
    let body: Bytes = match body {
        Payload::Bytes(bytes) => bytes,
        Payload::Frame(frame) => frame.into_bytes(),
        Payload::Slice(slice) => Bytes::from_static(slice),
    };
    for start in (0..body.len()).step_by(QUEUED_BYTES_MAX) {
        let piece = body.slice(start..body.len().min(start + QUEUED_BYTES_MAX));
        if link.write(piece.into()).is_err() || !wait_sent(link).await {
            return false;
        }
    }
    true
}

/// Waits until the peer has taken what was written. Whether it has.
async fn wait_sent(link: &Rc<Link>) -> bool {
    link.allow(link.limits.write_time);
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
async fn stream(link: &Rc<Link>, write: Writing, mode: Mode) -> bool {
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

/// Reads and drops what nobody has read of the body, so that the next request is found behind it.
async fn finish_body(link: &Rc<Link>) -> bool {
    if link.body_left() == Some(0) {
        return true;
    }
    if link.is_continue_due() || link.body_left().is_none_or(|left| left > SKIPPED_BYTES_MAX) {
        return false;
    }
    link.allow_work(Some(link.limits.body_time));
    poll_fn(|cx| {
        loop {
            if link.take_expired() {
                return Poll::Ready(false);
            }
            match link.poll_rest(cx) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
