//! A server on one core: its listeners' connections, each with a task, and the way down.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};

use slab::Slab;

use super::link::Link;
use super::router::Router;
use super::session;
use super::site::Site;
use crate::error::Result;
use crate::gate::Listen;
use crate::gate::listen::Door;
use crate::net::Stream;
use crate::net::connection::Connection;
use crate::reactor::engine::Engine;
use crate::reactor::kind::Kind;
use crate::reactor::shared::Core;
use crate::reactor::{Reactor, spawn, stopping};

/// A server on one core.
pub(super) struct Hall {
    site: Site,
    /// The connections now.
    links: RefCell<Slab<Weak<Link>>>,
}

impl Hall {
    fn new(router: Router) -> Rc<Hall> {
        Rc::new(Hall { site: Site::new(router), links: RefCell::default() })
    }

    fn admit(self: &Rc<Self>, connection: Rc<Connection>) {
        let reactor = connection.reactor.clone();
        let link = Link::new(&reactor, Stream::owned(connection), self.site.router.limits);
        let place = self.links.borrow_mut().insert(Rc::downgrade(&link));
        let task = run(link.clone(), Place { hall: self.clone(), place });
        let kind = Kind::of(&reactor, "an HTTP connection");
        link.serve_by(reactor.spawn_boxed(kind, Box::pin(task)));
    }

    /// The engine stops: what was begun is finished.
    fn drain(&self) {
        let links: Vec<Rc<Link>> =
            self.links.borrow().iter().filter_map(|(_, link)| link.upgrade()).collect();
        links.iter().for_each(|link| link.drain());
    }
}

/// The place of a connection among those of its core.
struct Place {
    hall: Rc<Hall>,
    place: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.hall.links.borrow_mut().try_remove(self.place));
    }
}

/// The task of a connection. What a poll has written leaves in one write at its end.
async fn run(link: Rc<Link>, place: Place) {
    let mut served = pin!(session::serve(&link, &place.hall.site));
    poll_fn(|cx| {
        let polled = served.as_mut().poll(cx);
        let _ = link.send(); // a connection that broke shows in the next read
        polled
    })
    .await;
    link.stream.close_later();
}

impl Engine {
    /// Serves HTTP/1.1 on `listen`, on each core by a router of its own, which `make` makes there.
    /// Listens where [`Engine::gate`] may.
    ///
    /// See [`http`](crate::http).
    pub fn http<F>(self, listen: impl Into<Listen>, make: F) -> Engine
    where
        F: Fn(&Core) -> Router + Send + Sync + 'static,
    {
        let door = Door::new(listen.into());
        self.setup(move |core| -> Result<()> {
            let mut router = make(core);
            if let Some(error) = router.failed.take() {
                return Err(error);
            }
            let hall = Hall::new(router);
            let admit = hall.clone();
            let on_accept = Rc::new(move |connection| admit.admit(connection));
            door.open(&Reactor::current(), core, on_accept)?;
            spawn(async move {
                stopping().await;
                hall.drain();
            });
            Ok(())
        })
    }
}
