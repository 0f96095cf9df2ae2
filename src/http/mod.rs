//! HTTP/1.1 servers and clients.
//!
//! A page and an API that takes JSON:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use skyring::http::{Refusal, Request, Response, Router};
//! use skyring::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Data {
//!     numbers: Vec<i64>,
//! }
//!
//! #[derive(Serialize)]
//! struct Sum {
//!     sum: i64,
//! }
//!
//! async fn add(mut request: Request) -> Result<Response> {
//!     let data: Data = request.json().await?;
//!     let sum = data.numbers.iter().try_fold(0, |sum: i64, n| sum.checked_add(*n));
//!     let sum = sum.ok_or(Refusal::new(400, "their sum is too large"))?;
//!     Response::json(&Sum { sum })
//! }
//!
//! fn main() -> Result<()> {
//!     let router = |_core: &skyring::Core| {
//!         Router::new()
//!             .get("/", async |_request| Ok(Response::html("<h1>Welcome</h1>")))
//!             .post("/api/data", add)
//!     };
//!     Engine::new(Config::from_env()?).http("0.0.0.0:8080", router).run()
//! }
//! ```
//!
//! docs/HTTP.md teaches it from the beginning. (Feature `http`, which is on by default.)
//!
//! A connection is a task of its core. Its requests are handled one at a time and in order, several
//! that came together too; what they are answered leaves in one send. Heads stay where they were
//! received. Peers are bounded by [`Limits`]: in time, too.

mod access;
mod body;
mod client;
mod error;
mod files;
#[cfg(feature = "gzip")]
mod gzip;
mod handler;
mod input;
mod limits;
mod link;
mod outgoing;
mod params;
mod push;
mod ranges;
mod refusal;
mod request;
mod response;
mod router;
mod routes;
mod server;
mod session;
mod sink;
mod site;
pub(crate) mod upgrade;

pub use self::body::Body;
pub use self::client::{
    Client, ClientBody, ClientError, ClientLimits, ClientRequest, ClientResponse, RedirectError,
    Wait,
};
pub use self::error::{BadField, BodyError};
pub use self::limits::Limits;
pub use self::outgoing::Outgoing;
pub use self::refusal::Refusal;
pub use self::request::Request;
pub use self::response::Response;
pub use self::router::Router;
pub use self::upgrade::Upgraded;
pub use crate::wire::http::{
    AnswerError, Fields, HeadLimits, RequestError, Url, UrlError, Version, parse_date, write_date,
};
