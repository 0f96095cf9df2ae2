//! The handlers of a server, by method and path.

use std::fmt;
use std::path::Path;

use super::files::Folder;
use super::handler::Spot;
use super::limits::Limits;
use super::refusal::said;
use super::request::Request;
use super::response::Response;
use super::routes::Routes;
use crate::error::{Error, Result};
use crate::wire::http::Form;

/// Methods that every server knows of, whether it has a handler for them or not.
const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// The handlers of a server, by method and path. Each core has a router of its own, so handlers may
/// share state of their core by an `Rc`, and need no lock.
///
/// A route is a path of names and parameters: `/rooms/{room}/users` fits `/rooms/7/users`, and
/// `/files/{*path}` fits everything below `/files/`. A name comes before a parameter, that before
/// the rest of a path. A handler of GET answers HEAD, too.
///
/// What no handler answers: 404 for a path without a route, 405 with `Allow` for a method that the
/// path does not have, 204 with `Allow` for OPTIONS, and 501 for a method that no path has.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// use skyring::http::{Response, Router};
///
/// let visits = Rc::new(Cell::new(0)); // of this core
/// let router = Router::new()
///     .get("/", async move |_request| {
///         visits.set(visits.get() + 1);
///         Ok(Response::text(format!("visit {}", visits.get())))
///     })
///     .get("/hello/{name}", async |request| {
///         let name = request.param("name").unwrap_or_default();
///         Ok(Response::text(format!("Hello, {name}!")))
///     });
/// ```
pub struct Router {
    routes: Routes,
    /// Methods that are not among the usual ones.
    methods: Vec<Box<str>>,
    fallback: Option<Spot>,
    /// What could not be made ready.
    pub(super) failed: Option<Error>,
    pub(super) limits: Limits,
    pub(super) logs_access: bool,
    /// Bodies of so many bytes are compressed.
    #[cfg(feature = "gzip")]
    pub(super) gzip_bytes_min: Option<usize>,
}

impl Router {
    /// A router without routes.
    #[must_use]
    pub fn new() -> Router {
        Router {
            routes: Routes::default(),
            methods: Vec::new(),
            fallback: None,
            failed: None,
            limits: Limits::default(),
            logs_access: false,
            #[cfg(feature = "gzip")]
            gzip_bytes_min: None,
        }
    }

    /// Handles `method` at `path`.
    ///
    /// A [`Refusal`](super::Refusal) of the handler is answered as it says. Every other error, and a
    /// panic, is logged, and answered 500.
    ///
    /// # Panics
    /// When the path does not begin with a slash, is malformed, or has a handler of this method.
    #[must_use]
    pub fn on<H>(mut self, method: &str, path: &str, handler: H) -> Router
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        if !KNOWN.contains(&method) && self.methods.iter().all(|known| **known != *method) {
            self.methods.push(method.into());
        }
        self.routes.add(method, path, Spot::new(handler));
        self
    }

    /// Handles GET, and HEAD, at `path`. See [`Router::on`].
    #[must_use]
    pub fn get<H>(self, path: &str, handler: H) -> Router
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        self.on("GET", path, handler)
    }

    /// Handles POST at `path`. See [`Router::on`].
    #[must_use]
    pub fn post<H>(self, path: &str, handler: H) -> Router
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        self.on("POST", path, handler)
    }

    /// Handles PUT at `path`. See [`Router::on`].
    #[must_use]
    pub fn put<H>(self, path: &str, handler: H) -> Router
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        self.on("PUT", path, handler)
    }

    /// Handles DELETE at `path`. See [`Router::on`].
    #[must_use]
    pub fn delete<H>(self, path: &str, handler: H) -> Router
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        self.on("DELETE", path, handler)
    }

    /// Serves the files of a folder, and below it, by GET at `path` and below it. A folder is
    /// answered with its `index.html`.
    ///
    /// The kernel resolves each name beneath the folder, so that neither `..` nor a symbolic link
    /// leads out; names that begin with a dot are not there, but `.well-known` is. Files are read off
    /// the reactor, long ones while the peer takes them. `ETag`, `Last-Modified`, conditional requests and single ranges are served.
    ///
    /// When the folder is not there the engine does not start.
    ///
    /// # Panics
    /// As [`Router::on`].
    #[must_use]
    pub fn files(mut self, path: &str, folder: impl AsRef<Path>) -> Router {
        let folder = match Folder::open(folder.as_ref()) {
            Ok(folder) => folder,
            Err(error) => {
                self.failed.get_or_insert(error);
                return self;
            }
        };
        let route = format!("{}/{{*path}}", path.trim_end_matches('/'));
        self.get(&route, async move |request| folder.serve(&request).await)
    }

    /// Handles whatever has no route, of all methods and forms of targets.
    #[must_use]
    pub fn fallback<H>(mut self, handler: H) -> Router
    where
        H: AsyncFn(Request) -> Result<Response> + 'static,
    {
        self.fallback = Some(Spot::new(handler));
        self
    }

    /// Other limits than [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Router {
        self.limits = limits;
        self
    }

    /// Tells the log of each request, at level INFO of target `skyring::http::access`: `peer`,
    /// `method`, `target`, `status`, and how long it `took` from its whole head to the end of its
    /// answer. What is refused before it is a request has `why` instead, and of `method` and `target`
    /// what has come. For that the clock is read twice a request.
    #[must_use]
    pub fn log_access(mut self) -> Router {
        self.logs_access = true;
        self
    }

    /// Compresses bodies of text, JSON and the like that have `bytes_min` bytes at least, for peers
    /// that accept gzip.
    #[cfg(feature = "gzip")]
    #[must_use]
    pub fn gzip(mut self, bytes_min: usize) -> Router {
        self.gzip_bytes_min = Some(bytes_min);
        self
    }

    /// Who handles a request, or what is answered when nobody does.
    pub(super) fn route(&self, request: &mut Request) -> Result<Spot, Response> {
        let Some((route, params)) = self.routes.find(request.path_bytes()) else {
            return match &self.fallback {
                Some(spot) => Ok(spot.clone()),
                None if request.target_form() == Form::Asterisk => {
                    Err(allow(204, &KNOWN.join(", ")))
                }
                None if !self.has(request.method()) => Err(unknown_method()),
                None => Err(said(404, "Not found")),
            };
        };
        if let Some(spot) = route.spot(request.method_bytes()) {
            let spot = spot.clone();
            if !route.names().is_empty() {
                request.routed(route.names().clone(), params);
            }
            return Ok(spot);
        }
        match request.method() {
            "OPTIONS" => Err(allow(204, &route.allows())),
            method if !self.has(method) => Err(unknown_method()),
            _ => Err(allow(405, &route.allows())),
        }
    }

    /// Whether this is a method that anything has.
    fn has(&self, method: &str) -> bool {
        KNOWN.contains(&method) || self.methods.iter().any(|known| **known == *method)
    }
}

fn unknown_method() -> Response {
    said(501, "This server does not know the method.")
}

fn allow(status: u16, methods: &str) -> Response {
    let response = match status {
        204 => Response::new(204),
        _ => said(status, "The method is not allowed here."),
    };
    response.header("allow", methods).expect("methods of routes are tokens")
}

impl Default for Router {
    fn default() -> Router {
        Router::new()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("limits", &self.limits).finish_non_exhaustive()
    }
}
