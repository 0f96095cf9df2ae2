//! A client of HTTP/1.1: asks, keeps its connections, follows redirections.
//!
//! ```text
//!   Client ─▶ ClientRequest ─await─▶ exchange ─▶ pool ─▶ connect      one place that opens
//!                                       │          └──◀─ keeper       drops what ends or is too old
//!                                       ▼
//!              ClientResponse ◀─ head ─ link ─▶ sending               a long body, in its own task
//!              └ ClientBody ◀─ pieces ─┘
//! ```

mod call;
mod connect;
mod error;
mod exchange;
mod keeper;
mod limits;
mod link;
mod pool;
mod request;
mod response;
mod sending;
#[cfg(feature = "gzip")]
mod unpack;

use std::fmt;
use std::rc::Rc;

pub use self::error::{ClientError, RedirectError, Wait};
pub use self::limits::ClientLimits;
pub use self::request::ClientRequest;
pub use self::response::{ClientBody, ClientResponse};

use self::connect::Connector;
use self::pool::Pool;
#[cfg(feature = "tls")]
use crate::tls;

/// A client of HTTP/1.1 with connections that it keeps. It belongs to a core; clones are cheap and
/// share the connections, so make one for each core and clone it.
///
/// ```
/// use skyring::http::{Client, Response, Router};
/// use skyring::prelude::*;
/// use skyring::sim::Simulation;
///
/// fn main() -> Result<()> {
///     let mut sim = Simulation::new(1);
///     sim.start(Engine::new(Config::new()).http("127.0.0.1:80", |_core| {
///         Router::new().post("/shout", async |mut request| {
///             Ok(Response::text(request.text().await?.to_uppercase()))
///         })
///     }))?;
///     sim.run(async {
///         let client = Client::new();
///         let mut response = client.post("http://127.0.0.1/shout").body("hello").await?;
///         assert_eq!((response.status(), &*response.text().await?), (200, "HELLO"));
///         Ok(())
///     })?
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    pool: Rc<Pool>,
}

impl Client {
    /// A client with the [default limits](ClientLimits::default).
    pub fn new() -> Client {
        Client::with(ClientLimits::default())
    }

    /// A client with these limits.
    pub fn with(limits: ClientLimits) -> Client {
        Client { pool: Pool::new(limits, Connector::default()) }
    }

    /// A client with the same limits and connections of its own, that trusts whom `tls` trusts.
    /// Without this an `https` server has to be known to the authorities that this machine trusts.
    ///
    /// ```no_run
    /// # async fn example() -> skyring::Result<()> {
    /// use skyring::{http, tls};
    ///
    /// let ours = tls::Client::builder().ca("/etc/ours.pem").build()?;
    /// let client = http::Client::new().tls(ours);
    /// println!("{}", client.get("https://inside.example/").await?.status());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self, tls: tls::Client) -> Client {
        Client { pool: Pool::new(self.pool.limits, Connector::trusting(tls)) }
    }

    /// Asks for what is at `url`.
    pub fn get(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request("GET", url)
    }

    /// Asks for the head of what is at `url`.
    pub fn head(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request("HEAD", url)
    }

    /// Sends something to `url`.
    pub fn post(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request("POST", url)
    }

    /// Puts something at `url`.
    pub fn put(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request("PUT", url)
    }

    /// Removes what is at `url`.
    pub fn delete(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request("DELETE", url)
    }

    /// Asks with any method but CONNECT.
    pub fn request(&self, method: &str, url: impl AsRef<str>) -> ClientRequest {
        ClientRequest::new(self.clone(), method, url.as_ref())
    }

    /// The limits.
    pub fn limits(&self) -> ClientLimits {
        self.pool.limits
    }

    fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }
}

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("limits", &self.pool.limits).finish_non_exhaustive()
    }
}
