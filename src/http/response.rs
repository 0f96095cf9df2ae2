//! What a handler answers.

use std::fmt;

use bytes::Bytes;

use super::error::BadField;
use super::outgoing::Outgoing;
use super::upgrade::{Local, Upgraded, Upgrading};
use crate::error::Result;
use crate::memory::chain::Payload;
use crate::wire::http::{is_field_name, is_field_value};

/// Writes a body.
pub(super) type Writing = Box<dyn FnOnce(Outgoing) -> Local<(Outgoing, Result<()>)>>;

/// An answer: a status, header fields, and a body.
///
/// `date`, `content-length`, `transfer-encoding` and `connection` are the engine's to write; setting
/// them is an error.
///
/// ```
/// use skyring::http::Response;
///
/// let answer = Response::html("<h1>Welcome</h1>").header("cache-control", "no-store")?;
/// let moved = Response::new(303).header("location", "/rooms/7")?;
/// # let _ = (answer, moved);
/// # Ok::<(), skyring::Error>(())
/// ```
pub struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Checked, each with its CR LF.
    pub(super) fields: Vec<u8>,
    pub(super) content: Content,
}

pub(super) enum Content {
    Whole(Payload<'static>),
    /// Of so many bytes, if that is known.
    Stream(Writing, Option<u64>),
    Upgrade(Upgrading),
}

const RESERVED: [&str; 4] = ["date", "content-length", "transfer-encoding", "connection"];

impl Response {
    /// An answer without a body.
    ///
    /// # Panics
    /// When `status` is not from 200 to 999.
    pub fn new(status: u16) -> Response {
        let content = Content::Whole(Bytes::new().into());
        Response { status: 200, content_type: "", fields: Vec::new(), content }.status(status)
    }

    /// 200 with a body of this type. Takes what [`Stream::write`](crate::net::Stream::write) takes
    /// and can be kept: a text, `Bytes`, a `Vec`, a received [`Frame`](crate::Frame).
    ///
    /// # Panics
    /// When the type cannot be a header's value.
    pub fn bytes(content_type: &'static str, body: impl Into<Payload<'static>>) -> Response {
        assert!(is_field_value(content_type.as_bytes()), "no content type: {content_type:?}");
        let body = match body.into() {
            Payload::Slice(slice) => Bytes::from_static(slice).into(),
            other => other,
        };
        let content = Content::Whole(body);
        Response { status: 200, content_type, fields: Vec::new(), content }
    }

    /// 200 with a plain text.
    pub fn text(text: impl Into<Payload<'static>>) -> Response {
        Response::bytes("text/plain; charset=utf-8", text)
    }

    /// 200 with a page.
    pub fn html(page: impl Into<Payload<'static>>) -> Response {
        Response::bytes("text/html; charset=utf-8", page)
    }

    /// 200 with a value as JSON.
    ///
    /// # Errors
    /// [`EncodeError`](crate::json::EncodeError): the value has no form in JSON, or too long a one.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Response> {
        Ok(Response::bytes("application/json", crate::json::to_payload(value)?))
    }

    /// 200 with a body that `write` writes, piece by piece, while the peer reads it. It goes out in
    /// chunks.
    ///
    /// When `write` errs or panics the connection is reset, so that the peer does not take a part
    /// for the whole.
    ///
    /// ```
    /// use skyring::http::Response;
    ///
    /// let answer = Response::stream("text/plain", async |out| {
    ///     for n in 0..1000 {
    ///         out.write(format!("line {n}\n")).await?; // waits while the peer lags
    ///     }
    ///     Ok(())
    /// });
    /// # let _ = answer;
    /// ```
    ///
    /// # Panics
    /// As [`Response::bytes`].
    pub fn stream<F>(content_type: &'static str, write: F) -> Response
    where
        F: AsyncFnOnce(&mut Outgoing) -> Result<()> + 'static,
    {
        let mut response = Response::bytes(content_type, Bytes::new());
        let write: Writing = Box::new(move |mut out| {
            Box::pin(async move {
                let written = write(&mut out).await;
                (out, written)
            })
        });
        response.content = Content::Stream(write, None);
        response
    }

    /// The body of [`Response::stream`] has exactly `len` bytes, so that it needs no chunks. Writing
    /// more is an error, less resets the connection.
    #[must_use]
    pub fn length(mut self, len: u64) -> Response {
        if let Content::Stream(_, known) = &mut self.content {
            *known = Some(len);
        }
        self
    }

    /// 101: from here on the connection speaks `protocol`, by `serve`, until that ends. What the
    /// peer has sent already is there to be read.
    ///
    /// The limits of HTTP do not hold there. When the engine stops, `serve` has to end by itself:
    /// see [`stopping`](crate::stopping).
    ///
    /// # Errors
    /// [`BadField`] when the name of the protocol cannot be sent.
    pub fn upgrade<F>(protocol: &str, serve: F) -> Result<Response, BadField>
    where
        F: AsyncFnOnce(Upgraded) -> Result<()> + 'static,
    {
        Response::upgrade_by(
            protocol,
            Box::new(move |stream| {
                Some(Box::pin(async move {
                    if let Err(error) = serve(stream).await {
                        tracing::debug!(%error, "an upgraded connection ended");
                    }
                }))
            }),
        )
    }

    /// As [`Response::upgrade`], for what makes the future itself, or needs none.
    pub(crate) fn upgrade_by(protocol: &str, serve: Upgrading) -> Result<Response, BadField> {
        let mut response = Response::new(200).names_protocol(protocol)?;
        response.status = 101;
        response.content = Content::Upgrade(serve);
        Ok(response)
    }

    /// Says which protocol is spoken instead of HTTP (RFC 9110, 7.8).
    pub(crate) fn names_protocol(self, protocol: &str) -> Result<Response, BadField> {
        let mut response = self.header("upgrade", protocol)?;
        response.fields.extend_from_slice(b"connection: upgrade\r\n");
        Ok(response)
    }

    /// Another status.
    ///
    /// # Panics
    /// When it is not from 200 to 999.
    #[must_use]
    pub fn status(mut self, status: u16) -> Response {
        assert!((200..1000).contains(&status), "an answer has a status from 200 to 999: {status}");
        self.status = status;
        self
    }

    /// Adds a header field. A `content-type` replaces that of the body.
    ///
    /// # Errors
    /// [`BadField`]: it would end the line, or is one that the engine writes.
    pub fn header(mut self, name: &str, value: &str) -> Result<Response, BadField> {
        if !is_field_name(name) {
            return Err(BadField::Name(name.to_owned()));
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(BadField::Reserved(name.to_owned()));
        }
        if !is_field_value(value.as_bytes()) {
            return Err(BadField::Value(name.to_owned()));
        }
        // An answer has one (RFC 9110, 8.3).
        if name.eq_ignore_ascii_case("content-type") {
            self.content_type = "";
        }
        for part in [name, ": ", value, "\r\n"] {
            self.fields.extend_from_slice(part.as_bytes());
        }
        Ok(self)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("fields", &self.fields.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_begin_another() {
        let add = |name, value| Response::new(200).header(name, value).map(|made| made.fields);
        assert_eq!(add("X-A", "b c").expect("a field"), b"X-A: b c\r\n");
        assert_eq!(add("x", "a\r\nset-cookie: b"), Err(BadField::Value("x".into())));
        assert_eq!(add("x\r\ny", "a"), Err(BadField::Name("x\r\ny".into())));
        assert_eq!(add("Content-Length", "5"), Err(BadField::Reserved("Content-Length".into())));
        let typed =
            Response::text("<a/>").header("Content-Type", "image/svg+xml").expect("a field");
        assert_eq!(
            (typed.content_type, &typed.fields[..]),
            ("", &b"Content-Type: image/svg+xml\r\n"[..])
        );
        let protocol = Response::upgrade("a\nb", async |_| Ok(()));
        assert!(protocol.is_err());
    }
}
