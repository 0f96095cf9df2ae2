//! A handler behind its route, and the places its futures run in: each is used again, so that a
//! request allocates none.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::request::Request;
use super::response::Response;
use crate::error::Result;

/// Places that a route keeps for the next requests; more run at once in places of their own.
const SPARES_MAX: usize = 64;

/// A place for one future of a handler.
pub(super) trait Run {
    /// Begins to handle a request.
    fn start(&mut self, request: Request);
    /// Goes on with it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response>>;
    /// Drops what is left of it.
    fn clear(&mut self);
}

struct Place<M, F> {
    make: M,
    /// Set in place: the box outlives the futures.
    future: Pin<Box<Option<F>>>,
}

impl<M, F> Run for Place<M, F>
where
    M: Fn(Request) -> F,
    F: Future<Output = Result<Response>>,
{
    fn start(&mut self, request: Request) {
        let future = (self.make)(request);
        self.future.set(Some(future));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response>> {
        self.future.as_mut().as_pin_mut().expect("it was started").poll(cx)
    }

    fn clear(&mut self) {
        self.future.set(None);
    }
}

fn place<M, F>(make: M) -> Box<dyn Run>
where
    M: Fn(Request) -> F + 'static,
    F: Future<Output = Result<Response>> + 'static,
{
    Box::new(Place { make, future: Box::pin(None) })
}

/// One handler of one core.
pub(super) struct Spot(Rc<Inner>);

struct Inner {
    make: Box<dyn Fn() -> Box<dyn Run>>,
    spares: RefCell<Vec<Box<dyn Run>>>,
}

impl Spot {
    pub(super) fn new<H>(handler: H) -> Spot
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        let handler = Rc::new(handler);
        let make = move || {
            let handler = handler.clone();
            place(move |request| {
                let handler = handler.clone();
                async move { (*handler)(request).await }
            })
        };
        Spot(Rc::new(Inner { make: Box::new(make), spares: RefCell::default() }))
    }

    /// A place for a request.
    pub(super) fn take(&self) -> Box<dyn Run> {
        let spare = self.0.spares.borrow_mut().pop();
        spare.unwrap_or_else(|| (self.0.make)())
    }

    /// Keeps a place that was cleared.
    pub(super) fn keep(&self, place: Box<dyn Run>) {
        let mut spares = self.0.spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(place);
        }
    }

    #[cfg(test)]
    pub(super) fn nowhere() -> Spot {
        Spot::new(async |_| Ok(Response::new(204)))
    }
}

impl Clone for Spot {
    fn clone(&self) -> Spot {
        Spot(self.0.clone())
    }
}
