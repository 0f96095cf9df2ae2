//! An answer, and its body as it comes.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

#[cfg(feature = "json")]
use serde::de::DeserializeOwned;

use super::error::{ClientError, Wait};
use super::exchange::Answered;
use super::limits::ClientLimits;
use super::pool::Lease;
#[cfg(feature = "gzip")]
use super::unpack::Unpack;
use crate::clock::Now;
use crate::memory::frame::Frame;
use crate::reactor::{Reactor, within};
use crate::wire::http::{AnswerHead, Fields, Url, Version};

/// Room that is made at once for a body that comes in pieces; more only as it comes.
const ROOM_BYTES_MAX: u64 = 64 * 1024;

/// What a server has answered: its head, where it was received, and its body, which is read as it
/// comes.
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// use skyring::http::Client;
///
/// let mut response = Client::new().get("http://example.org/large").await?;
/// println!("{} {:?}", response.status(), response.header("content-type"));
/// while let Some(piece) = response.body().read().await? {
///     println!("{} bytes", piece.len());
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it before the end of its body ends the connection; after that, the connection is kept for
/// the next request.
pub struct ClientResponse {
    head: AnswerHead,
    bytes: Frame,
    url: Url,
    body: ClientBody,
}

impl ClientResponse {
    pub(super) fn new(
        answered: Answered,
        url: Url,
        limits: &ClientLimits,
        unpacks: bool,
        deadline: Now,
    ) -> Result<ClientResponse, ClientError> {
        let Answered { head, bytes, lease } = answered;
        let mut body = ClientBody {
            lease: Some(lease),
            is_over: false,
            bytes_max: limits.body_bytes_max,
            limits: *limits,
            deadline,
            trailers: Vec::new(),
            #[cfg(feature = "gzip")]
            unpack: None,
        };
        let left = body.left();
        #[cfg(feature = "gzip")]
        {
            let coding = Fields::new(head.fields.bytes(&bytes)).value("content-encoding");
            let is_gzip = coding.is_some_and(|coding| {
                coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
            });
            if unpacks && is_gzip && left != Some(0) {
                body.unpack = Some(Box::new(Unpack::new()));
            }
        }
        #[cfg(not(feature = "gzip"))]
        let _ = unpacks;
        if left.is_some_and(|left| left > limits.body_bytes_max) {
            return Err(ClientError::BodyTooLong { max: limits.body_bytes_max });
        }
        if left == Some(0) {
            body.end();
        }
        Ok(ClientResponse { head, bytes, url, body })
    }

    /// The status: 200 when all is well.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// Whether the status is from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.head.status)
    }

    /// The version of the answer.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The value of the first field of this name, in whatever case; `None` also when it is no UTF-8.
    ///
    /// Fields are as they came: of a body that came packed they say so, and how long it was then.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().value(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The header fields in their order.
    pub fn headers(&self) -> Fields<'_> {
        Fields::new(self.head.fields.bytes(&self.bytes))
    }

    /// Where the answer comes from, after redirections.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The body, to be read piece by piece.
    pub fn body(&mut self) -> &mut ClientBody {
        &mut self.body
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn bytes(&mut self) -> Result<Frame, ClientError> {
        self.body.read_to_end().await
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// [`ClientError::NotUtf8`], and as [`ClientResponse::bytes`].
    pub async fn text(&mut self) -> Result<String, ClientError> {
        String::from_utf8(self.bytes().await?.to_vec()).map_err(|_| ClientError::NotUtf8)
    }

    /// The whole body as a value of JSON.
    ///
    /// # Errors
    /// [`ClientError::NotJson`] says what is wrong with it and where, and as
    /// [`ClientResponse::bytes`].
    #[cfg(feature = "json")]
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        let bytes = self.bytes().await?;
        crate::json::decode(&bytes).map_err(|error| ClientError::NotJson(error.to_string()))
    }
}

impl fmt::Debug for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientResponse")
            .field("status", &self.status())
            .field("url", &self.url.to_string())
            .finish_non_exhaustive()
    }
}

/// The body of an answer: read as it comes, where it was received. While nobody reads it the server
/// is not read either, beyond `SKYRING_RECEIVE_BYTES_MAX`.
pub struct ClientBody {
    /// Until the end.
    lease: Option<Lease>,
    /// The end has come.
    is_over: bool,
    bytes_max: u64,
    limits: ClientLimits,
    /// When all of the request has to be over.
    deadline: Now,
    trailers: Vec<u8>,
    #[cfg(feature = "gzip")]
    unpack: Option<Box<Unpack>>,
}

impl ClientBody {
    /// The next piece, as it was received, or unpacked; `None` at the end. Dropping the future loses
    /// no byte.
    ///
    /// # Errors
    /// [`ClientError`]; the connection ends, and every later read fails.
    pub async fn read(&mut self) -> Result<Option<Frame>, ClientError> {
        let left = self.deadline.since(Reactor::current().now());
        let limit = self.limits.body_time.min(left);
        let read = within(limit, poll_fn(|cx| self.poll_piece(cx))).await;
        let read = read.unwrap_or(Err(match limit == left {
            true => ClientError::TimedOut { wait: Wait::Whole, limit: self.limits.whole_time },
            false => ClientError::TimedOut { wait: Wait::Body, limit },
        }));
        if read.is_err() {
            self.lease = None;
        }
        read
    }

    /// All that is left of the body. Nothing is copied when it came in one piece.
    ///
    /// # Errors
    /// As [`ClientBody::read`].
    pub async fn read_to_end(&mut self) -> Result<Frame, ClientError> {
        let left = self.left();
        let Some(first) = self.read().await? else { return Ok(Frame::empty()) };
        let Some(second) = self.read().await? else { return Ok(first) };
        let room = left.unwrap_or(0).min(ROOM_BYTES_MAX) as usize;
        let mut whole = Vec::with_capacity(room.max(first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        drop((first, second)); // the blocks go home
        while let Some(piece) = self.read().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(Frame::from(whole))
    }

    /// The value of a trailer field, once the body has been read to its end.
    pub fn trailer(&self, name: &str) -> Option<String> {
        let value = Fields::new(&self.trailers).value(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// How many bytes have still to come, as they come; `None` when that shows only at the end.
    fn left(&self) -> Option<u64> {
        self.lease.as_ref().map_or(Some(0), |lease| lease.link().body_left())
    }

    #[cfg(not(feature = "gzip"))]
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>> {
        self.poll_received(cx)
    }

    #[cfg(feature = "gzip")]
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>> {
        loop {
            let bytes_max = self.bytes_max;
            let Some(unpack) = &mut self.unpack else { return self.poll_received(cx) };
            if let Some(piece) = unpack.next(bytes_max)? {
                return Poll::Ready(Ok(Some(piece)));
            }
            match ready!(self.poll_received(cx))? {
                Some(piece) => {
                    if let Some(unpack) = &mut self.unpack {
                        unpack.put(piece);
                    }
                }
                None => {
                    let is_whole = self.unpack.as_ref().is_none_or(|unpack| unpack.is_at_end());
                    return Poll::Ready(is_whole.then_some(None).ok_or(ClientError::Packed));
                }
            }
        }
    }

    /// The next piece as it came.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>> {
        let Some(lease) = &self.lease else {
            let over = if self.is_over { Ok(None) } else { Err(ClientError::Over) };
            return Poll::Ready(over);
        };
        let piece = ready!(lease.link().poll_body(self.bytes_max, cx))?;
        if piece.is_none() {
            self.end();
        }
        Poll::Ready(Ok(piece))
    }

    /// The body has ended: the connection is for others.
    fn end(&mut self) {
        self.is_over = true;
        if let Some(lease) = self.lease.take() {
            let link = lease.link().clone();
            self.trailers = link.trailers(<[u8]>::to_vec).unwrap_or_default();
            lease.release(link.now());
        }
    }
}

impl Drop for ClientBody {
    /// What has come already may be all of it: then the connection can still be used.
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && lease.link().skip_body()
        {
            let now = lease.link().now();
            lease.release(now);
        }
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody").field("left", &self.left()).finish_non_exhaustive()
    }
}
