//! One connection from its first request to its last: requests in order, each answered before the
//! next is looked at.

use std::cell::Cell;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::body::Body;
use super::handler::{Run, Spot};
use super::link::{Heard, Link};
use super::outgoing::{Mode, Outgoing};
use super::refusal::{answer, internal, refused, said};
use super::request::Request;
use super::response::{Content, Response, Writing};
use super::site::Site;
use super::upgrade;
use crate::clock::Now;
use crate::error::Result;
use crate::limit::RetryAfter;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::reactor::guarded;
use crate::wire::http::{BodyLength, Head, RequestError, ResponseHead, Version, write_head};

/// A body that nobody has read is read and dropped up to this size; else the connection closes.
const SKIPPED_BYTES_MAX: u64 = 64 * 1024;

/// Serves a connection until it ends.
///
/// What takes room lives in functions that do not wait, or in boxes where it has to wait after all: the
/// future of a connection is as large as what it ever holds across a wait, and most are idle.
pub(super) async fn serve(link: &Rc<Link>, site: &Site) {
    let budget = link.reactor.settings.task_budget;
    let mut left = budget;
    loop {
        link.allow(link.limits.idle_time);
        let heard = poll_fn(|cx| link.poll_head(cx).map(|heard| hear(link, site, heard)));
        let Some((asked, begun)) = heard.await else { return };
        let answered = match begun {
            Begun::Work(mut work) => poll_fn(|cx| work.poll(link, cx)).await,
            Begun::Answered(answered) => answered,
        };
        #[cfg(feature = "gzip")]
        let answered = match (asked.accepts_gzip, site.router.gzip_bytes_min) {
            (true, Some(min)) => Box::pin(compress(answered, min)).await,
            _ => answered,
        };
        let goes_on = match write_answer(link, site, &asked, answered) {
            Rest::None { goes_on } => goes_on,
            Rest::Some { write, goes_on } => write.await && goes_on,
        };
        if let Some(log) = asked.log {
            log.write(link);
        }
        link.end_exchange();
        if !goes_on || !finish_body(link).await {
            return;
        }
        left -= 1;
        if left == 0 {
            left = budget;
            let mut yielded = false;
            poll_fn(|_| match mem::replace(&mut yielded, true) {
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

/// What a wait for a head leads to; `None`: the connection ends.
fn hear(link: &Rc<Link>, site: &Site, heard: Heard) -> Option<(Asked, Begun)> {
    let error = match heard {
        Heard::Head(head, bytes) => match head.body {
            BodyLength::Bytes(len) if len > link.limits.body_bytes_max => RequestError::BodyTooLong,
            _ => return Some(begin(link, site, head, bytes)),
        },
        Heard::Refused(error) => error,
        Heard::Expired { begun: true } => RequestError::TooSlow,
        Heard::Expired { begun: false } | Heard::Ended | Heard::Drained => return None,
    };
    refuse(link, site, error);
    None
}

#[cfg(feature = "gzip")]
async fn compress(answered: Answered, bytes_min: usize) -> Answered {
    let Answered { response, closes } = answered;
    Answered { response: super::gzip::compress(response, bytes_min).await, closes }
}

/// Answers what is no request, or one too much. The connection ends.
#[cold]
fn refuse(link: &Rc<Link>, site: &Site, error: RequestError) {
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
}

/// What of a request counts when it is answered.
struct Asked {
    version: Version,
    keep_alive: bool,
    upgrade: bool,
    is_head: bool,
    #[cfg(feature = "gzip")]
    accepts_gzip: bool,
    /// Boxed: few servers log each request.
    log: Option<Box<Log>>,
}

/// A line of the access log.
struct Log {
    head: Head,
    bytes: Frame,
    started: Now,
    status: Cell<u16>,
}

impl Log {
    fn write(&self, link: &Link) {
        let Log { head, bytes, started, status } = self;
        let status = status.get();
        let took = link.reactor.now().since(*started);
        let (method, target) = (head.method.of(bytes), head.target.of(bytes));
        let peer = link.stream.peer().map(tracing::field::display);
        tracing::info!(target: "skyring::http::access", peer, method, target, status, ?took);
    }
}

/// What a request has come to at once.
enum Begun {
    Work(Work),
    Answered(Answered),
}

/// Finds who handles a request, and gives it to him.
fn begin(link: &Rc<Link>, site: &Site, head: Head, bytes: Frame) -> (Asked, Begun) {
    link.reactor.metrics.http_requests.add(1);
    let number = link.begin(&head);
    let logs = site.router.logs_access;
    let started = link.reactor.now();
    let log =
        logs.then(|| Box::new(Log { head, bytes: bytes.clone(), started, status: Cell::new(0) }));
    let is_head = head.method.bytes(&bytes) == b"HEAD";
    let mut request = Request::new(head, bytes, Body::new(link.clone(), number));
    let asked = Asked {
        version: head.version,
        keep_alive: head.keep_alive,
        upgrade: head.upgrade,
        is_head,
        #[cfg(feature = "gzip")]
        accepts_gzip: site.router.gzip_bytes_min.is_some() && super::gzip::is_accepted(&request),
        log,
    };
    let routed = match too_fast(link) {
        None => site.router.route(&mut request),
        Some(response) => Err(response),
    };
    let begun = match routed {
        Ok(spot) => Begun::Work(Work::start(link, spot, request)),
        Err(response) => Begun::Answered(Answered { response, closes: false }),
    };
    (asked, begun)
}

/// What is answered to a request that is one too many for its connection or its address.
#[inline]
fn too_fast(link: &Link) -> Option<Response> {
    let pace = link.pace.as_ref()?;
    pace.take(link.reactor.now(), 1).err().map(|retry| slow_down(link, retry))
}

#[cold]
fn slow_down(link: &Link, retry: RetryAfter) -> Response {
    link.reactor.metrics.http_too_fast.add(1);
    // Whole seconds, so that who comes back then is served.
    let up = Duration::from_nanos(999_999_999);
    let seconds = retry.duration().map_or(1, |after| (after + up).as_secs().max(1));
    let mut response = said(429, "Too many requests");
    response.fields.extend_from_slice(format!("retry-after: {seconds}\r\n").as_bytes());
    response
}

/// What a handler has come to.
struct Answered {
    response: Response,
    /// The connection cannot go on.
    closes: bool,
}

/// A handler that works. A panic of his ends the request, and nothing else.
struct Work {
    spot: Spot,
    /// Gone when it has finished.
    place: Option<Box<dyn Run>>,
}

enum Ended {
    Answer(Result<Response>),
    Panicked,
    Expired,
}

impl Work {
    fn start(link: &Rc<Link>, spot: Spot, request: Request) -> Work {
        let mut place = spot.take();
        link.allow_work(Some(link.limits.answer_time));
        place.start(request);
        Work { spot, place: Some(place) }
    }

    fn poll(&mut self, link: &Link, cx: &mut Context<'_>) -> Poll<Answered> {
        if link.take_expired() {
            return Poll::Ready(self.finish(link, Ended::Expired));
        }
        let place = self.place.as_mut().expect("it is polled until it is finished");
        let metrics = &link.reactor.metrics;
        match guarded(metrics, "an HTTP handler panicked", || place.poll(cx)) {
            Some(Poll::Ready(answer)) => Poll::Ready(self.finish(link, Ended::Answer(answer))),
            Some(Poll::Pending) => Poll::Pending,
            None => Poll::Ready(self.finish(link, Ended::Panicked)),
        }
    }

    fn finish(&mut self, link: &Link, ended: Ended) -> Answered {
        let mut place = self.place.take().expect("it is finished once");
        let waits_for_body = link.waits_for_body.get();
        let metrics = &link.reactor.metrics;
        if guarded(metrics, "an HTTP handler panicked", || place.clear()).is_some() {
            self.spot.keep(place);
        }
        match ended {
            Ended::Answer(Ok(response)) => Answered { response, closes: false },
            Ended::Answer(Err(error)) => Answered { response: answer(&error), closes: false },
            Ended::Panicked => Answered { response: internal(), closes: false },
            Ended::Expired if waits_for_body => {
                metrics.http_refused.add(1);
                Answered { response: refused(RequestError::TooSlow), closes: true }
            }
            Ended::Expired => {
                tracing::warn!(time = ?link.limits.answer_time, "an HTTP handler has not answered");
                Answered { response: said(503, "No answer in time"), closes: true }
            }
        }
    }
}

/// What is left of an answer when all was written that can be at once; and whether the connection may
/// go on behind it.
enum Rest {
    None {
        goes_on: bool,
    },
    /// Whether all of it was written, in the end.
    Some {
        write: upgrade::Local<bool>,
        goes_on: bool,
    },
}

/// Writes the head of the answer, and its body if that is short.
fn write_answer(link: &Rc<Link>, site: &Site, asked: &Asked, answered: Answered) -> Rest {
    let Answered { mut response, closes } = answered;
    // Before it is dropped: what is refused must not hang on how much has come.
    let has_body = link.body_left() != Some(0);
    // What writes a body may read the request's meanwhile.
    if !matches!(response.content, Content::Stream(..)) {
        link.skip_body();
    }
    if link.is_broken() {
        link.reactor.metrics.http_refused.add(1);
    }
    if matches!(response.content, Content::Upgrade(_)) {
        if has_body {
            // What comes of it would be taken for the other protocol.
            response = said(400, "A request for an upgrade has no body.");
        } else if !asked.upgrade {
            let fields = mem::take(&mut response.fields); // RFC 9110, 15.5.22: they name the protocol
            response = said(426, "Ask for the upgrade that is served here.");
            response.fields = fields;
        }
    }
    if let Some(log) = &asked.log {
        log.status.set(response.status);
    }
    let body_left = link.body_left();
    let streams = matches!(response.content, Content::Stream(..));
    let is_read = body_left == Some(0)
        || !link.is_continue_due() && body_left.is_some_and(|left| left <= SKIPPED_BYTES_MAX);
    let can_go_on = asked.keep_alive && !closes && !link.draining.get();
    let mut keep_alive = can_go_on && (is_read || streams);
    let bodiless = matches!(response.status, 101 | 204 | 304);
    let (length, mode) = match &response.content {
        _ if bodiless => (None, Mode::Silent),
        Content::Whole(body) => (Some(BodyLength::Bytes(body.len() as u64)), Mode::Silent),
        Content::Stream(_, Some(len)) => (Some(BodyLength::Bytes(*len)), Mode::Length(*len)),
        Content::Stream(..) if asked.version == Version::Http10 => {
            keep_alive = false;
            (None, Mode::Close)
        }
        Content::Stream(..) => (Some(BodyLength::Chunked), Mode::Chunked),
        Content::Upgrade(_) => (None, Mode::Silent),
    };
    // Behind the head there is no place for that word.
    if streams && !asked.is_head {
        link.let_send();
    }
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
                version: asked.version,
            },
        );
    });
    match response.content {
        Content::Upgrade(serve) => {
            upgrade::begin(link, serve);
            Rest::None { goes_on: false }
        }
        _ if asked.is_head || bodiless => Rest::None { goes_on: keep_alive },
        Content::Whole(body) => {
            if body.len() <= link.piece_bytes_max() {
                let is_written = link.write(body).is_ok();
                if !is_written || !link.is_behind() {
                    return Rest::None { goes_on: is_written && keep_alive };
                }
                let link = link.clone();
                let write = Box::pin(async move { wait_sent(&link).await });
                return Rest::Some { write, goes_on: keep_alive };
            }
            let link = link.clone();
            let write = Box::pin(async move { write_long(&link, body).await });
            Rest::Some { write, goes_on: keep_alive }
        }
        Content::Stream(write, _) => {
            let link = link.clone();
            let write = Box::pin(async move { stream(&link, write, mode).await });
            Rest::Some { write, goes_on: keep_alive }
        }
    }
}

/// Writes a long body in pieces, while the peer takes them.
async fn write_long(link: &Rc<Link>, body: Payload<'static>) -> bool {
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
pub(super) async fn wait_sent(link: &Rc<Link>) -> bool {
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
