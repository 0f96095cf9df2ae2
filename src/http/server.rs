//! A server on one core: its listeners' connections, each with a task, and the way down.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::link::Link;
use super::router::Router;
use super::session;
use super::site::Site;
use crate::client::pace::Pace;
use crate::error::Result;
use crate::gate::Listen;
use crate::gate::listen::Door;
use crate::limit::Refusal;
use crate::limit::quota::Places;
use crate::limit::refusal::Words;
use crate::memory::frame::Frame;
use crate::net::Stream;
use crate::net::connection::Connection;
use crate::net::handshake::Greet;
use crate::net::porter::Porter;
use crate::reactor::engine::Engine;
use crate::reactor::kind::Kind;
use crate::reactor::shared::Core;
use crate::reactor::{Reactor, spawn, stopping};
use crate::wire::Framing;

/// Told to a connection that finds no place.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 5\r\nretry-after: 1\r\nconnection: close\r\n\r\nBusy\n";

/// A last answer up to this size is left to the close, which sends it and the end together: a kernel has
/// room for so much.
const LAST_BYTES_MAX: usize = 16 * 1024;

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

    /// Serves a connection. `rest` is what came behind a proxy's header.
    fn admit(self: &Rc<Self>, connection: Rc<Connection>, rest: Option<Frame>) {
        let reactor = connection.reactor.clone();
        let pace = Pace::of(&connection);
        let stream = Stream::owned(connection);
        rest.into_iter().for_each(|rest| stream.unread_front(rest));
        let link = Link::new(&reactor, stream, self.site.limits.clone(), pace);
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

/// What who is refused at the door is told; the banned nothing.
fn say(refusal: Refusal) -> Bytes {
    match refusal {
        Refusal::Banned => Bytes::new(),
        _ => Bytes::from_static(BUSY),
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
        let buffer = &place.hall.site.buffer;
        link.borrow_buffer(buffer);
        let polled = served.as_mut().poll(cx);
        link.return_buffer(buffer);
        polled
    })
    .await;
    // The times that hold for all answers hold for the last one, too.
    if link.stream.queued() > LAST_BYTES_MAX && !link.stream.is_handed_over() {
        Box::pin(session::wait_sent(&link)).await;
    }
    link.stream.close_later();
}

impl Engine {
    /// Serves HTTP/1.1 on `listen`, on each core by a router of its own, which `make` makes there.
    /// Listens where [`Engine::gate`] may, and reads the headers of the proxies that
    /// `SKYRING_PROXIES` names, as gates do. Who finds no place is told so, with 503.
    ///
    /// See [`http`](crate::http).
    pub fn http<F>(self, listen: impl Into<Listen>, make: F) -> Engine
    where
        F: Fn(&Core) -> Router + Send + Sync + 'static,
    {
        self.serve_http(listen.into(), None, make)
    }

    /// As [`Engine::http`], encrypted by TLS. A port speaks either the one or the other: who speaks
    /// plain text there is refused, and counted (`tls_failed`).
    ///
    /// ```no_run
    /// use skyring::http::{Response, Router};
    /// use skyring::prelude::*;
    /// use skyring::tls;
    ///
    /// fn main() -> Result<()> {
    ///     let tls = tls::Server::from_pem_files("cert.pem", "key.pem")?;
    ///     let router = |_core: &skyring::Core| {
    ///         Router::new().get("/", async |_request| Ok(Response::html("<h1>Welcome</h1>")))
    ///     };
    ///     Engine::new(Config::from_env()?)
    ///         .http("0.0.0.0:8080", router)
    ///         .https("0.0.0.0:8443", &tls, router)
    ///         .run()
    /// }
    /// ```
    #[cfg(feature = "tls")]
    pub fn https<F>(self, listen: impl Into<Listen>, tls: &crate::tls::Server, make: F) -> Engine
    where
        F: Fn(&Core) -> Router + Send + Sync + 'static,
    {
        self.serve_http(listen.into(), Some(tls.greet()), make)
    }

    fn serve_http<F>(self, listen: Listen, greet: Option<Arc<dyn Greet>>, make: F) -> Engine
    where
        F: Fn(&Core) -> Router + Send + Sync + 'static,
    {
        let door = Door::new(listen);
        let places = Places::new(u32::MAX, Some(Words::new(Framing::Raw, Box::new(say))));
        self.setup(move |core| -> Result<()> {
            let reactor = Reactor::current();
            let mut router = make(core);
            if let Some(error) = router.failed.take() {
                return Err(error);
            }
            let hall = Hall::new(router);
            let admit = hall.clone();
            let proxies = Arc::new(reactor.settings.proxies.iter().copied().collect());
            let hand_on = move |connection, rest| admit.admit(connection, rest);
            let porter = Porter::new(places.clone(), proxies, greet.clone(), hand_on);
            door.open(&reactor, core, porter)?;
            spawn(async move {
                stopping().await;
                hall.drain();
            });
            Ok(())
        })
    }
}
