//! One connection from its first request to its last: requests in order, each answered before the
//! next is looked at.

mod answer;
mod long;
mod work;

use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use self::answer::{Rest, write_answer};
pub(super) use self::long::wait_sent;
use self::work::{Answered, Work};
use super::access::{Log, log_refused};
use super::body::Body;
use super::link::{Heard, Link};
use super::refusal::{refused, said};
use super::request::Request;
use super::response::{Content, Response};
use super::site::Site;
use crate::limit::RetryAfter;
use crate::memory::frame::Frame;
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
    match heard {
        Heard::Head(head, bytes) => match head.body {
            BodyLength::Bytes(len) if len > link.limits.body_bytes_max => {
                refuse(link, site, Some(&bytes), RequestError::BodyTooLong);
            }
            _ => return Some(begin(link, site, head, bytes)),
        },
        Heard::Refused(error) => refuse(link, site, None, error),
        Heard::Expired { begun: true } => refuse(link, site, None, RequestError::TooSlow),
        Heard::Expired { begun: false } | Heard::Ended | Heard::Drained => {}
    }
    None
}

#[cfg(feature = "gzip")]
async fn compress(answered: Answered, bytes_min: usize) -> Answered {
    let Answered { response, closes } = answered;
    Answered { response: super::gzip::compress(response, bytes_min).await, closes }
}

/// Answers what is no request, or one too much. The connection ends. `head`: if it was whole.
#[cold]
fn refuse(link: &Rc<Link>, site: &Site, head: Option<&[u8]>, error: RequestError) {
    link.reactor.metrics.http_requests.add(1);
    link.reactor.metrics.http_refused.add(1);
    let peer = link.stream.peer().map(tracing::field::display);
    tracing::debug!(peer, status = error.status(), why = %error, "HTTP request refused");
    if site.router.logs_access {
        match head {
            Some(head) => log_refused(link, head, error),
            None => link.look_at_head(|head| log_refused(link, head, error)),
        }
    }
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
    let log = logs.then(|| Log::begin(&link.reactor, head, bytes.clone()));
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
