//! A request, where it was received.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::body::Body;
use super::params::Params;
use super::refusal::Refusal;
use crate::driver::operation::SocketAddress;
use crate::error::Result;
use crate::memory::frame::Frame;
use crate::wire::http::{Fields, Form, Head, Version, decode_component, decode_path, has_token};

/// One request. Its head stays where it was received, so it is cheap to hand on, and holds a block
/// of the pool as long as it is kept.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use skyring::http::{Request, Response};
/// use skyring::Result;
///
/// #[derive(Deserialize)]
/// struct Page { last: u32 }
///
/// #[derive(Deserialize, Serialize)]
/// struct Message { text: String }
///
/// // POST /rooms/{room}?last=5
/// async fn say(mut request: Request) -> Result<Response> {
///     let room = request.param("room").unwrap_or_default().into_owned();
///     let page: Page = request.query()?;
///     let agent = request.header("user-agent").unwrap_or("unknown").to_owned();
///     let message: Message = request.json().await?; // 400 when it is none
///     println!("{room} {} {agent}", page.last);
///     Response::json(&message)
/// }
/// ```
pub struct Request {
    head: Head,
    bytes: Frame,
    params: Params,
    names: Option<Rc<[Box<str>]>>,
    body: Body,
}

impl Request {
    pub(super) fn new(head: Head, bytes: Frame, body: Body) -> Request {
        Request { head, bytes, params: Params::default(), names: None, body }
    }

    pub(super) fn routed(&mut self, names: Rc<[Box<str>]>, params: Params) {
        self.names = Some(names);
        self.params = params;
    }

    /// The method, in the case that it came in: `GET`.
    pub fn method(&self) -> &str {
        self.head.method.of(&self.bytes)
    }

    /// The path as it came, not decoded: `/rooms/a%20b`. Empty for CONNECT and `OPTIONS *`.
    pub fn path(&self) -> &str {
        match self.head.path.of(&self.bytes) {
            "" if self.head.form == Form::Absolute => "/",
            path => path,
        }
    }

    /// As [`Request::path`], to compare with.
    pub(super) fn path_bytes(&self) -> &[u8] {
        match self.head.path.bytes(&self.bytes) {
            b"" if self.head.form == Form::Absolute => b"/",
            path => path,
        }
    }

    /// As [`Request::method`], to compare with.
    pub(super) fn method_bytes(&self) -> &[u8] {
        self.head.method.bytes(&self.bytes)
    }

    /// The target as it came: path and query, or one of the other forms.
    pub fn target(&self) -> &str {
        self.head.target.of(&self.bytes)
    }

    /// What is behind the question mark, not decoded.
    pub fn query_text(&self) -> &str {
        self.head.query.of(&self.bytes)
    }

    /// The query as a type of yours, its fields decoded.
    ///
    /// # Errors
    /// A [`Refusal`] with 400 when it has another shape.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        read_form(self.query_text().as_bytes(), "The query")
    }

    /// The first value of this name in the query, decoded; `None` also when it is malformed.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = self.query_text().split('&');
        pairs.find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_component(key)? == name).then(|| decode_component(value))?
        })
    }

    /// A parameter of the route, decoded; `None` when the route has none of this name, or it is
    /// malformed.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let at = self.names.as_ref()?.iter().position(|known| **known == *name)?;
        decode_path(self.params.at(at, self.path()))
    }

    /// Whom the request is for: host and port, of the target or the `Host` field.
    pub fn host(&self) -> &str {
        self.head.host.of(&self.bytes)
    }

    /// The value of the first field of this name, in whatever case; `None` also when it is no UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().value(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The header fields in their order.
    pub fn headers(&self) -> Fields<'_> {
        Fields::new(self.head.fields.bytes(&self.bytes))
    }

    /// The value of a cookie, as it came.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let of_cookies = |(field, _): &(&str, &[u8])| field.eq_ignore_ascii_case("cookie");
        let texts = self.headers().filter(of_cookies);
        let mut pairs = texts
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .flat_map(|text| text.split(';'));
        pairs.find_map(|pair| {
            let (known, value) = pair.trim().split_once('=')?;
            (known == name).then(|| value.trim_matches('"'))
        })
    }

    pub(super) fn target_form(&self) -> Form {
        self.head.form
    }

    /// The version of the request.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Whether it asks to go on with this protocol: for
    /// [`Response::upgrade`](super::Response::upgrade).
    pub fn wants_upgrade(&self, protocol: &str) -> bool {
        let names = |value: &str| has_token(value.as_bytes(), protocol);
        self.head.upgrade && self.header("upgrade").is_some_and(names)
    }

    /// Who asks; `None` when the peer is gone.
    pub fn peer(&self) -> Option<&SocketAddress> {
        self.body.link().stream.peer()
    }

    /// What was negotiated by TLS; `None` when the connection is not encrypted.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<std::sync::Arc<crate::tls::Negotiated>> {
        self.body.link().stream.tls()
    }

    /// The body, to be read piece by piece.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`BodyError`](super::BodyError).
    pub async fn bytes(&mut self) -> Result<Frame> {
        Ok(self.body.read_to_end().await?)
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// A [`Refusal`] with 400 when it is no UTF-8, and as [`Request::bytes`].
    pub async fn text(&mut self) -> Result<String> {
        let text = String::from_utf8(self.bytes().await?.to_vec());
        text.map_err(|_| Refusal::new(400, "The body is no UTF-8.").into())
    }

    /// The whole body as a value of JSON.
    ///
    /// # Errors
    /// A [`Refusal`] with 400 that says what is wrong with it and where, and as [`Request::bytes`].
    #[cfg(feature = "json")]
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        let bytes = self.bytes().await?;
        crate::json::decode(&bytes).map_err(|error| Refusal::new(400, error.to_string()).into())
    }

    /// The whole body as a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// A [`Refusal`] with 400 when it has another shape, and as [`Request::bytes`].
    pub async fn form<T: DeserializeOwned>(&mut self) -> Result<T> {
        read_form(&self.bytes().await?, "The form")
    }
}

fn read_form<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let read = serde_urlencoded::from_bytes(bytes);
    read.map_err(|error| Refusal::new(400, format!("{what} is malformed: {error}")).into())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}
