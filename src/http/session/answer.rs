//! The head of an answer, and what follows it: nothing, what leaves at once, or what takes its time.

use std::mem;
use std::rc::Rc;

use super::long::{stream, wait_sent, write_long};
use super::work::Answered;
use super::{Asked, SKIPPED_BYTES_MAX};
use crate::http::link::Link;
use crate::http::outgoing::Mode;
use crate::http::refusal::said;
use crate::http::response::{Content, Response};
use crate::http::site::Site;
use crate::http::upgrade;
use crate::memory::chain::Payload;
use crate::wire::http::{BodyLength, ResponseHead, Version, write_head};

/// What is left of an answer when all was written that can be at once; and whether the connection may
/// go on behind it.
pub(super) enum Rest {
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
pub(super) fn write_answer(
    link: &Rc<Link>,
    site: &Site,
    asked: &Asked,
    answered: Answered,
) -> Rest {
    let Answered { mut response, closes } = answered;
    // Before it is dropped: what is refused must not hang on how much has come.
    let has_body = link.body_left() != Some(0);
    // What writes a body may read the request's meanwhile.
    if !matches!(response.content, Content::Stream(..)) {
        link.skip_body();
    }
    let broken = link.broken();
    if broken.is_some() {
        link.reactor.metrics.http_refused.add(1);
    }
    if matches!(response.content, Content::Upgrade(_)) {
        response = check_upgrade(response, asked, has_body);
    }
    if let Some(log) = &asked.log {
        log.answered(response.status, broken);
    }
    let streams = matches!(response.content, Content::Stream(..));
    let can_go_on = asked.keep_alive && !closes && !link.draining.get();
    let mut keep_alive = can_go_on && (streams || is_read(link));
    let bodiless = matches!(response.status, 101 | 204 | 304);
    let (length, mode) = match bodiless {
        true => (None, Mode::Silent),
        false => shape(&response.content, asked.version),
    };
    keep_alive &= mode != Mode::Close;
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
    let silent = asked.is_head || bodiless;
    match response.content {
        Content::Upgrade(serve) => {
            upgrade::begin(link, serve);
            Rest::None { goes_on: false }
        }
        _ if silent => Rest::None { goes_on: keep_alive },
        Content::Whole(body) => write_whole(link, body, keep_alive),
        Content::Stream(write, _) => {
            let link = link.clone();
            let write = Box::pin(async move { stream(&link, write, mode).await });
            Rest::Some { write, goes_on: keep_alive }
        }
    }
}

/// What is answered instead of an upgrade that was not asked for, or cannot be.
fn check_upgrade(mut response: Response, asked: &Asked, has_body: bool) -> Response {
    if has_body {
        // What comes of it would be taken for the other protocol.
        return said(400, "A request for an upgrade has no body.");
    }
    if asked.upgrade {
        return response;
    }
    let fields = mem::take(&mut response.fields); // RFC 9110, 15.5.22: they name the protocol
    response = said(426, "Ask for the upgrade that is served here.");
    response.fields = fields;
    response
}

/// Whether what is left of the request's body is soon read and dropped.
fn is_read(link: &Link) -> bool {
    let left = link.body_left();
    left == Some(0) || !link.is_continue_due() && left.is_some_and(|left| left <= SKIPPED_BYTES_MAX)
}

/// What the head says of the body's length, and how its end shows.
fn shape(content: &Content, version: Version) -> (Option<BodyLength>, Mode) {
    match content {
        Content::Whole(body) => (Some(BodyLength::Bytes(body.len() as u64)), Mode::Silent),
        Content::Stream(_, Some(len)) => (Some(BodyLength::Bytes(*len)), Mode::Length(*len)),
        Content::Stream(..) if version == Version::Http10 => (None, Mode::Close),
        Content::Stream(..) => (Some(BodyLength::Chunked), Mode::Chunked),
        Content::Upgrade(_) => (None, Mode::Silent),
    }
}

/// Writes a body that is there: at once, if the send queue has room.
#[inline]
fn write_whole(link: &Rc<Link>, body: Payload<'static>, goes_on: bool) -> Rest {
    if body.len() > link.piece_bytes_max() {
        let link = link.clone();
        let write = Box::pin(async move { write_long(&link, body).await });
        return Rest::Some { write, goes_on };
    }
    let is_written = link.write(body).is_ok();
    if !is_written || !link.is_behind() {
        return Rest::None { goes_on: is_written && goes_on };
    }
    let link = link.clone();
    Rest::Some { write: Box::pin(async move { wait_sent(&link).await }), goes_on }
}
