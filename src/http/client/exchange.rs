//! One request to its answer's head: a connection, the request, interim answers, redirections, and
//! another try where that is safe.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use super::call::{Body, Call};
use super::error::{ClientError, RedirectError, Wait};
use super::keeper;
use super::limits::ClientLimits;
use super::link::{Link, Sending};
use super::pool::{Grant, Lease, Pool};
use super::sending::{self, Outbound};
use crate::http::outgoing::Mode;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::reactor::within;
use crate::wire::http::{AnswerError, AnswerHead, Fields};

/// Bodies up to this size are written with their heads, in one go.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Interim answers (1xx) to one request.
const INTERIM_MAX: u32 = 16;

/// The head of an answer, and the connection that its body comes over.
pub(super) struct Answered {
    pub(super) head: AnswerHead,
    pub(super) bytes: Frame,
    pub(super) lease: Lease,
}

/// Asks, and follows where that leads.
pub(super) async fn ask(
    pool: &Rc<Pool>,
    call: &mut Call,
    limits: &ClientLimits,
) -> Result<Answered, ClientError> {
    let mut redirects = 0;
    loop {
        let answered = ask_once(pool, call, limits).await?;
        if limits.redirects_max == 0 {
            return Ok(answered);
        }
        let fields = Fields::new(answered.head.fields.bytes(&answered.bytes));
        if !call.redirect(&answered.head, fields.value("location"))? {
            return Ok(answered);
        }
        redirects += 1;
        if redirects > limits.redirects_max {
            return Err(RedirectError::TooMany { max: limits.redirects_max }.into());
        }
        // A short body has come with its head: then the connection can be used again.
        let Answered { lease, .. } = answered;
        if lease.link().skip_body() {
            let now = lease.link().now();
            lease.release(now);
        }
    }
}

/// Asks one server. A kept connection may have ended just now, which shows only when it is used: then
/// another is tried, once, if asking twice does no harm (RFC 9112, 9.3.1).
async fn ask_once(
    pool: &Rc<Pool>,
    call: &mut Call,
    limits: &ClientLimits,
) -> Result<Answered, ClientError> {
    let mut fresh = false;
    loop {
        let wait = Wait::Connection;
        let leased = within(limits.connect_time, lease(pool, call, fresh)).await;
        let limit = limits.connect_time;
        let lease = leased.map_err(|_| ClientError::TimedOut { wait, limit })??;
        let link = lease.link().clone();
        let was_used = link.requests.get() > 0;
        match talk(&link, call, limits).await {
            Ok((head, bytes)) => return Ok(Answered { head, bytes, lease }),
            Err(error) => {
                let is_gone = matches!(error, ClientError::Ended | ClientError::Broken(_));
                let is_silent = is_gone && !link.has_begun();
                if fresh || !was_used || !is_silent || !call.is_repeatable() {
                    return Err(error);
                }
                fresh = true;
            }
        }
    }
}

/// A connection to the origin of the call.
async fn lease(pool: &Rc<Pool>, call: &Call, fresh: bool) -> Result<Lease, ClientError> {
    let url = &call.url;
    let origin = format!("{}://{}:{}", url.scheme(), url.host(), url.port()).into();
    keeper::start(pool);
    match pool.lease(origin, fresh).await? {
        Grant::Kept(lease) => Ok(lease),
        Grant::Place(place) => Ok(place.fill(Link::new(pool.connector.open(url).await?))),
    }
}

/// Sends the request and waits for the head of its answer.
async fn talk(
    link: &Rc<Link>,
    call: &mut Call,
    limits: &ClientLimits,
) -> Result<(AnswerHead, Frame), ClientError> {
    send(link, call, limits)?;
    let to_head = call.is_head();
    for _ in 0..INTERIM_MAX {
        let (head, bytes) = wait_for_head(link, to_head, limits).await?;
        match head.status {
            100 => link.let_send(),
            101 => return Err(AnswerError::UnaskedUpgrade.into()),
            102..200 => {}
            _ => {
                link.refuse_send();
                return Ok((head, bytes));
            }
        }
    }
    Err(AnswerError::TooManyInterim.into())
}

/// Writes what can be written at once, and has the rest written.
fn send(link: &Rc<Link>, call: &mut Call, limits: &ClientLimits) -> Result<(), ClientError> {
    let head = call.head();
    let is_held = call.expects && !matches!(call.body, Body::None);
    link.begin(is_held);
    let stream = &link.stream;
    let at_once = AT_ONCE_BYTES_MAX.min(link.piece_bytes_max());
    let (written, rest) = match &mut call.body {
        Body::None => (stream.write(head), None),
        Body::Whole(body) if body.len() <= at_once && !is_held => {
            (stream.write_vectored([head.into(), copy(body)]), None)
        }
        Body::Whole(body) => (stream.write(head), Some(Outbound::Whole(copy(body)))),
        Body::Stream(write, len) => {
            let write = write.take().expect("a call with a stream is sent once");
            let mode = len.map_or(Mode::Chunked, Mode::Length);
            (stream.write(head), Some(Outbound::Stream(write, mode)))
        }
    };
    match (written, rest) {
        (Ok(()), None) => link.set_sending(Sending::Done(link.now())),
        (Ok(()), Some(rest)) => sending::begin(link, rest, limits.write_time, is_held),
        // Why, the read tells.
        (Err(_), _) => link.set_sending(Sending::Failed),
    }
    Ok(())
}

fn copy(body: &Payload<'static>) -> Payload<'static> {
    body.part(0..body.len())
}

/// Waits for a head; its time runs while nothing of the request is on its way.
async fn wait_for_head(
    link: &Rc<Link>,
    to_head: bool,
    limits: &ClientLimits,
) -> Result<(AnswerHead, Frame), ClientError> {
    let limit = limits.head_time;
    let mut left = limit;
    loop {
        let head = poll_fn(|cx| link.poll_head(&limits.head, to_head, cx));
        if let Ok(head) = within(left, head).await {
            return head;
        }
        left = match link.sending() {
            Sending::Going => limit,
            Sending::Failed => Duration::ZERO,
            Sending::Done(at) => (at + limit).since(link.now()),
        };
        if left.is_zero() {
            return Err(ClientError::TimedOut { wait: Wait::Head, limit });
        }
    }
}
