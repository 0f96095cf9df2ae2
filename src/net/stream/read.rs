//! Reading: what is there, exactly so much, up to a separator, to the end.

use super::Stream;
use crate::memory::frame::Frame;
use crate::net::error::ReadError;
use crate::net::inlet::{Inlet, TooLong};

/// The most that one read may ask for.
const READ_BYTES_MAX: usize = 1 << 30;

/// Dropping the future of a read loses no byte: what had come is there for the next read. One task
/// reads at a time; a second read meanwhile fails with [`ReadError::Busy`].
impl Stream {
    /// Reads what is there: waits for the first byte, then takes one piece as it was received,
    /// without a copy. `None` is the end of the stream.
    ///
    /// # Errors
    /// [`ReadError`]: the connection broke, the stream is closed, or another task reads.
    ///
    /// ```no_run
    /// # async fn example(stream: skyring::net::TcpStream) -> skyring::Result<()> {
    /// while let Some(frame) = stream.read().await? {
    ///     stream.write(frame)?; // an echo sends the very bytes that it received
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read(&self) -> Result<Option<Frame>, ReadError> {
        self.side.read(0, |inlet| Ok(inlet.take_piece().map(Some)), |_| Ok(None)).await
    }

    /// Reads exactly `count` bytes. They are copied only if they were not received in one piece.
    ///
    /// Up to `count` bytes are held while it waits: check a length that the peer gave.
    ///
    /// # Errors
    /// [`ReadError::Ended`] with what there was when the stream ended before, and as
    /// [`read`](Stream::read).
    ///
    /// # Panics
    /// When `count` is over 1 GiB.
    pub async fn read_exact(&self, count: usize) -> Result<Frame, ReadError> {
        assert!(count <= READ_BYTES_MAX, "a read of {count} bytes, at most 1 GiB");
        self.side.read(count, |inlet| Ok(inlet.take_exact(count)), leftover).await
    }

    /// Reads up to the next `separator`, which is dropped, and at most `max` bytes before it.
    /// `None` is the end of the stream right behind a separator.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] when `max` bytes hold no separator (they stay unread),
    /// [`ReadError::Ended`] with what came after the last separator, and as [`read`](Stream::read).
    ///
    /// # Panics
    /// When `separator` is empty, or `max` is over 1 GiB.
    pub async fn read_until(
        &self,
        separator: &[u8],
        max: usize,
    ) -> Result<Option<Frame>, ReadError> {
        assert!(!separator.is_empty(), "a separator has at least one byte");
        assert!(max <= READ_BYTES_MAX, "a read of {max} bytes, at most 1 GiB");
        let mut scanned = 0;
        let cut = |inlet: &mut Inlet| match inlet.take_until(separator, max, &mut scanned) {
            Ok(found) => Ok(found.map(Some)),
            Err(TooLong) => Err(ReadError::TooLong { max }),
        };
        let at_end = |inlet: &mut Inlet| match inlet.is_empty() {
            true => Ok(None),
            false => leftover(inlet),
        };
        self.side.read(max + separator.len(), cut, at_end).await
    }

    /// Reads a line of at most `max` bytes, without its `\n` or `\r\n`. `None` is the end of the
    /// stream right behind a line.
    ///
    /// # Errors
    /// As [`read_until`](Stream::read_until).
    ///
    /// # Panics
    /// When `max` is over 1 GiB.
    pub async fn read_line(&self, max: usize) -> Result<Option<Frame>, ReadError> {
        let line = self.read_until(b"\n", max).await?;
        Ok(line.map(|line| match line.strip_suffix(b"\r") {
            Some(text) => line.slice(..text.len()),
            None => line,
        }))
    }

    /// Reads everything up to the end of the stream, at most `max` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] when more came (it stays unread), and as [`read`](Stream::read).
    ///
    /// # Panics
    /// When `max` is over 1 GiB.
    pub async fn read_to_end(&self, max: usize) -> Result<Frame, ReadError> {
        assert!(max <= READ_BYTES_MAX, "a read of {max} bytes, at most 1 GiB");
        let cut = |inlet: &mut Inlet| {
            if inlet.len() > max {
                return Err(ReadError::TooLong { max });
            }
            inlet.join_waiting();
            Ok(None)
        };
        self.side.read(max + 1, cut, |inlet| Ok(inlet.take_all())).await
    }

    /// Waits until there is something to read, and reads nothing: `false` is the end of the
    /// stream.
    ///
    /// # Errors
    /// As [`read`](Stream::read).
    pub async fn readable(&self) -> Result<bool, ReadError> {
        self.side.read(0, |inlet| Ok((!inlet.is_empty()).then_some(true)), |_| Ok(false)).await
    }

    /// Bytes that were received and nobody has read.
    pub fn unread(&self) -> usize {
        self.side.inlet.borrow().len()
    }
}

/// The stream has ended in the middle.
fn leftover<T>(inlet: &mut Inlet) -> Result<T, ReadError> {
    Err(ReadError::Ended { leftover: inlet.take_all() })
}
