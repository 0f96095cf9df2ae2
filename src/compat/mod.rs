//! hyper on skyring's streams: HTTP/2, gRPC-style services, and whatever else asks for hyper's traits.
//!
//! ```text
//!   hyper        Read, Write         ◀── TcpStream, UnixStream: as they are, no wrapper
//!   (h1, h2)     Executor            ◀── Executor: tasks of this core, futures that are not Send too
//!                Timer               ◀── Timer: the reactor's timers, simulated ones in a simulation
//! ```
//! A server of HTTP/2 without TLS (by prior knowledge). It runs here in the simulated kernel, against
//! hyper's own client:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::service::service_fn;
//! use hyper::{Request, Response, client, server};
//! use skyring::compat::{Executor, Timer};
//! use skyring::net::{TcpListener, TcpStream};
//! use skyring::prelude::*;
//! use skyring::sim::Simulation;
//!
//! async fn serve(listener: TcpListener) -> Result<()> {
//!     while let Ok(stream) = listener.accept().await {
//!         spawn(async move {
//!             let answer = service_fn(async |_request| {
//!                 Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("Hello, HTTP/2!"))))
//!             });
//!             let mut http2 = server::conn::http2::Builder::new(Executor);
//!             http2.timer(Timer).serve_connection(stream, answer).await
//!         });
//!     }
//!     Ok(())
//! }
//!
//! fn main() -> Result<()> {
//!     Simulation::new(1).run(async {
//!         spawn(serve(TcpListener::bind("127.0.0.1:80")?));
//!         let stream = TcpStream::connect("127.0.0.1:80").await?;
//!         let (mut requests, connection) =
//!             client::conn::http2::handshake(Executor, stream).await?;
//!         spawn(connection);
//!         let request = Request::new(Empty::<Bytes>::new());
//!         let response = requests.send_request(request).await?;
//!         let body = response.into_body().collect().await?.to_bytes();
//!         assert_eq!(body, "Hello, HTTP/2!");
//!         Ok(())
//!     })?
//! }
//! ```
//!
//! (Feature `compat`, which is on by default.) docs/HTTP2.md goes on from here: streams both ways,
//! trailers, TLS.
//!
//! What hyper reads is copied once, from the block where the kernel put it into hyper's buffer; what
//! it writes is copied once into the send queue. A writer waits while 256 KiB are queued.

mod io;
mod timer;

pub use self::timer::{Sleep, Timer};

use crate::error::Error;
use crate::reactor::spawn;

/// Runs the futures of a library as tasks of the core that it is called on. They need not be `Send`.
///
/// # Panics
/// [`execute`](hyper::rt::Executor::execute) panics outside of a reactor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        drop(spawn(future));
    }
}

impl From<hyper::Error> for Error {
    fn from(error: hyper::Error) -> Error {
        Error::Other(error.into())
    }
}
