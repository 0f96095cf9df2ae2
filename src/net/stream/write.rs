//! Writing: never waits, in order, and says how the peer keeps up.

use std::future::poll_fn;

use super::Stream;
use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::net::error::FlushError;
use crate::net::output::Backlog;

impl Stream {
    /// Queues a payload: a received [`Frame`](crate::Frame) (sent from where it lies), `Bytes` or a
    /// `Vec` (shared), or borrowed bytes and text (copied). Never waits. Everything of a turn leaves
    /// in one send at its end.
    ///
    /// # Errors
    /// [`SendError::Full`] when the peer reads too slowly and the queue would pass
    /// `SKYRING_SEND_QUEUE_BYTES_MAX`: the connection is closed. [`SendError::Closed`] when it is
    /// closed already, by the peer or on this side.
    pub fn write<'a>(&self, payload: impl Into<Payload<'a>>) -> Result<(), SendError> {
        self.side.connection.write(b"", payload.into(), b"")
    }

    /// Queues several payloads as one: all of them, one behind the other, or none.
    ///
    /// # Errors
    /// As [`write`](Stream::write).
    ///
    /// ```no_run
    /// # fn example(stream: skyring::net::TcpStream, body: skyring::Frame) -> skyring::Result<()> {
    /// let head = format!("{}\r\n", body.len());
    /// stream.write_vectored([head.into(), body.into(), "\r\n".into()])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_vectored<'a>(
        &self,
        payloads: impl IntoIterator<Item = Payload<'a>>,
    ) -> Result<(), SendError> {
        // Collected first: the iterator is the user's code, and may write itself.
        self.side.connection.write_all(payloads.into_iter().collect())
    }

    /// As [`write`](Stream::write), behind everything of normal priority: it leaves when nothing
    /// else waits. Once begun it leaves whole.
    ///
    /// # Errors
    /// As [`write`](Stream::write).
    pub fn write_low<'a>(&self, payload: impl Into<Payload<'a>>) -> Result<(), SendError> {
        self.side.connection.write_low(payload.into())
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.side.connection.queued()
    }

    /// Waits until everything that is queued is with the kernel.
    ///
    /// # Errors
    /// [`FlushError`] when the connection broke or was shut down: what was queued is dropped.
    pub async fn flush(&self) -> Result<(), FlushError> {
        poll_fn(|cx| self.side.poll_flush(cx)).await
    }

    /// Calls `callback` when the send queue passes `SKYRING_SEND_WARN_BYTES`, twice that, four
    /// times, and so on; and once when all is sent after that. It replaces the one before. It is
    /// called from within a write or between tasks, so it should be short.
    ///
    /// A callback that holds the stream itself keeps it from being closed by a drop.
    ///
    /// ```no_run
    /// # fn example(stream: skyring::net::TcpStream) {
    /// stream.on_backlog(|backlog| match backlog {
    ///     skyring::Backlog::Warning { queued } => println!("{queued} bytes wait"),
    ///     _ => println!("drained"),
    /// });
    /// # }
    /// ```
    pub fn on_backlog(&self, callback: impl FnMut(Backlog) + 'static) {
        self.side.set_on_backlog(Box::new(callback));
    }
}
