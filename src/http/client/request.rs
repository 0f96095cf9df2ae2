//! A request while it is put together.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;

use super::Client;
use super::call::{Body, Call};
use super::error::{ClientError, Wait};
use super::exchange::ask;
use super::limits::ClientLimits;
use super::response::ClientResponse;
use crate::error::Result as EngineResult;
use crate::http::error::BadField;
use crate::http::outgoing::Outgoing;
use crate::http::response::Writing;
use crate::memory::chain::Payload;
use crate::reactor::{Reactor, within};
use crate::wire::http::{Url, is_field_name, is_field_value};

/// What the engine writes itself.
const RESERVED: [&str; 5] =
    ["content-length", "transfer-encoding", "connection", "expect", "upgrade"];

const CONTENT_TYPE: &str = "content-type";

/// A request that is put together, and sent when it is awaited. What is wrong with it shows then.
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// use std::time::Duration;
/// use skyring::http::Client;
///
/// let client = Client::new();
/// let mut response = client
///     .post("http://127.0.0.1:8080/api/data")
///     .header("authorization", "Bearer 7")
///     .json(&serde_json::json!({ "numbers": [1, 2, 3] }))
///     .timeout(Duration::from_secs(5))
///     .await?;
/// println!("{} {}", response.status(), response.text().await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "a request is sent when it is awaited"]
pub struct ClientRequest {
    client: Client,
    call: Result<Call, ClientError>,
    limits: ClientLimits,
}

impl ClientRequest {
    pub(super) fn new(client: Client, method: &str, url: &str) -> ClientRequest {
        let limits = client.limits();
        let is_method = is_field_name(method) && method != "CONNECT" && method.len() <= 64;
        let call = match Url::parse(url) {
            _ if !is_method => Err(ClientError::Method(method.chars().take(80).collect())),
            Err(error) => Err(error.into()),
            Ok(url) => Ok(Call {
                method: method.to_owned(),
                url,
                fields: Vec::new(),
                body: Body::None,
                expects: false,
            }),
        };
        ClientRequest { client, call, limits }
    }

    fn change(mut self, change: impl FnOnce(&mut Call) -> Result<(), ClientError>) -> Self {
        if let Ok(call) = &mut self.call
            && let Err(error) = change(call)
        {
            self.call = Err(error);
        }
        self
    }

    /// Adds a header field. `content-type`, `host`, `user-agent` and `accept-encoding` replace what
    /// the client says by itself; who sets the last one unpacks what comes.
    pub fn header(self, name: &str, value: &str) -> ClientRequest {
        self.change(|call| {
            if !is_field_name(name) {
                return Err(BadField::Name(name.to_owned()).into());
            }
            if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(BadField::Reserved(name.to_owned()).into());
            }
            if !is_field_value(value.as_bytes()) {
                return Err(BadField::Value(name.to_owned()).into());
            }
            // A request has one (RFC 9110, 8.3).
            if name.eq_ignore_ascii_case(CONTENT_TYPE) {
                call.drop_fields(|name| name.eq_ignore_ascii_case(CONTENT_TYPE));
            }
            for part in [name, ": ", value, "\r\n"] {
                call.fields.extend_from_slice(part.as_bytes());
            }
            Ok(())
        })
    }

    /// Adds a value of yours to the query, its fields encoded.
    pub fn query<T: Serialize + ?Sized>(self, pairs: &T) -> ClientRequest {
        self.change(|call| {
            call.url.add_query(&encode("query", pairs)?);
            Ok(())
        })
    }

    /// A body: a text, `Bytes`, a `Vec`, a received [`Frame`](crate::Frame). Say what it is by the
    /// header field `content-type`.
    pub fn body(self, body: impl Into<Payload<'static>>) -> ClientRequest {
        let body = body.into();
        self.change(|call| {
            call.body = Body::Whole(body);
            Ok(())
        })
    }

    /// A body of JSON.
    #[cfg(feature = "json")]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> ClientRequest {
        let request = self.change(|call| {
            let body = crate::json::to_payload(value);
            call.body = Body::Whole(body.map_err(|error| ClientError::Encode(error.to_string()))?);
            Ok(())
        });
        request.content_type("application/json")
    }

    /// A body as forms have it (`application/x-www-form-urlencoded`).
    pub fn form<T: Serialize + ?Sized>(self, pairs: &T) -> ClientRequest {
        let request = self.change(|call| {
            call.body = Body::Whole(encode("form", pairs)?.into());
            Ok(())
        });
        request.content_type("application/x-www-form-urlencoded")
    }

    /// What the body is, unless the user has said so.
    fn content_type(self, value: &str) -> ClientRequest {
        match &self.call {
            Ok(call) if call.says(CONTENT_TYPE) => self,
            _ => self.header(CONTENT_TYPE, value),
        }
    }

    /// A body that `write` writes while the server reads it. It goes out in chunks, or with
    /// [`ClientRequest::length`] as one piece of that length.
    ///
    /// It is written in a task of its own, so that an answer may come before its end. When it errs or
    /// panics the connection is reset, so that the server does not take a part for the whole. Such a
    /// request is sent once: it is neither tried again nor redirected with its body.
    pub fn stream<F>(self, write: F) -> ClientRequest
    where
        F: AsyncFnOnce(&mut Outgoing) -> EngineResult<()> + 'static,
    {
        self.change(|call| {
            let write: Writing = Box::new(move |mut out| {
                Box::pin(async move {
                    let written = write(&mut out).await;
                    (out, written)
                })
            });
            call.body = Body::Stream(Some(write), None);
            Ok(())
        })
    }

    /// The body of [`ClientRequest::stream`] has exactly `len` bytes, so that it needs no chunks.
    pub fn length(self, len: u64) -> ClientRequest {
        self.change(|call| {
            if let Body::Stream(_, known) = &mut call.body {
                *known = Some(len);
            }
            Ok(())
        })
    }

    /// Asks the server before the body is sent (`Expect: 100-continue`), for large ones that it may
    /// refuse. A server that says nothing for a second gets it.
    pub fn expect_continue(self) -> ClientRequest {
        self.change(|call| {
            call.expects = true;
            Ok(())
        })
    }

    /// How long all of it may take, to the end of the answer's body:
    /// [`ClientLimits::whole_time`] of this request.
    pub fn timeout(mut self, whole_time: Duration) -> ClientRequest {
        self.limits.whole_time = whole_time;
        self
    }

    /// How many redirections are followed: [`ClientLimits::redirects_max`] of this request.
    pub fn redirects(mut self, max: u32) -> ClientRequest {
        self.limits.redirects_max = max;
        self
    }

    /// How long the answer's body may be: [`ClientLimits::body_bytes_max`] of this request.
    pub fn body_bytes_max(mut self, max: u64) -> ClientRequest {
        self.limits.body_bytes_max = max;
        self
    }

    /// Sends it. Awaiting the request does the same.
    ///
    /// # Errors
    /// [`ClientError`]
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        let ClientRequest { client, call, limits } = self;
        let mut call = call?;
        let deadline = Reactor::current().now() + limits.whole_time;
        let (wait, limit) = (Wait::Whole, limits.whole_time);
        let answered = within(limit, ask(client.pool(), &mut call, &limits)).await;
        let answered = answered.map_err(|_| ClientError::TimedOut { wait, limit })??;
        let unpacks = call.unpacks();
        ClientResponse::new(answered, call.url, &limits, unpacks, deadline)
    }
}

fn encode<T: Serialize + ?Sized>(what: &str, pairs: &T) -> Result<String, ClientError> {
    serde_urlencoded::to_string(pairs)
        .map_err(|error| ClientError::Encode(format!("no {what} can be made of it: {error}")))
}

impl IntoFuture for ClientRequest {
    type Output = Result<ClientResponse, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClientRequest");
        match &self.call {
            Ok(call) => shown.field("method", &call.method).field("url", &call.url.to_string()),
            Err(error) => shown.field("error", error),
        };
        shown.finish_non_exhaustive()
    }
}
