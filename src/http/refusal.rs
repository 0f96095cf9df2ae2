//! Errors that are answers.

use std::fmt;

use super::response::Response;
use crate::error::Error;
use crate::wire::http::RequestError;

/// An error of a handler that its client is to read: a status and a text. Every other error is
/// logged, and answered 500.
///
/// ```
/// use skyring::http::{Refusal, Request, Response};
/// use skyring::Result;
///
/// async fn room(request: Request) -> Result<Response> {
///     let number: u32 = request.param("number").and_then(|text| text.parse().ok())
///         .ok_or(Refusal::new(404, "no such room"))?;
///     Ok(Response::text(format!("room {number}")))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    text: String,
}

impl Refusal {
    /// Answers `status` with a text.
    ///
    /// # Panics
    /// When the status is not from 400 to 599.
    pub fn new(status: u16, text: impl Into<String>) -> Refusal {
        assert!((400..600).contains(&status), "a refusal has a status from 400 to 599: {status}");
        Refusal { status, text: text.into() }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Other(refusal.into())
    }
}

/// What a handler's error is answered with.
pub(super) fn answer(error: &Error) -> Response {
    if let Error::Other(cause) = error {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return said(refusal.status, refusal.text.clone());
        }
        if let Some(error) = cause.downcast_ref::<RequestError>() {
            return refused(*error);
        }
    }
    tracing::error!(%error, "an HTTP handler failed");
    internal()
}

/// What a request that is refused is answered with.
pub(super) fn refused(error: RequestError) -> Response {
    said(error.status(), error.sentence())
}

/// What is answered when the fault is ours.
pub(super) fn internal() -> Response {
    said(500, "Internal server error")
}

/// A status with a line of text.
pub(super) fn said(status: u16, text: impl AsRef<str>) -> Response {
    Response::text([text.as_ref(), "\n"].concat()).status(status)
}
