//! A handler that works on a request, to its answer: in time, or not; a panic of his ends the request,
//! and nothing else.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::http::handler::{Run, Spot};
use crate::http::link::Link;
use crate::http::refusal::{answer, internal, refused, said};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::reactor::guarded;
use crate::wire::http::RequestError;

/// What a handler has come to.
pub(super) struct Answered {
    pub(super) response: Response,
    /// The connection cannot go on.
    pub(super) closes: bool,
}

/// A handler that works. A panic of his ends the request, and nothing else.
pub(super) struct Work {
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
    pub(super) fn start(link: &Rc<Link>, spot: Spot, request: Request) -> Work {
        let mut place = spot.take();
        link.allow_work(Some(link.limits.answer_time));
        place.start(request);
        Work { spot, place: Some(place) }
    }

    pub(super) fn poll(&mut self, link: &Link, cx: &mut Context<'_>) -> Poll<Answered> {
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
        let waits_for_body = link.waits_for_body();
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
