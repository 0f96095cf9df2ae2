//! A body that is written while the peer reads it.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use super::error::BadField;
use super::sink::Sink;
use crate::error::{Error, Result};
use crate::memory::chain::Payload;
use crate::wire::http::{chunk_head, is_field_name, is_field_value};

/// Trailer fields that a body may have, in bytes.
const TRAILERS_BYTES_MAX: usize = 4 * 1024;

/// Where the body of [`Response::stream`](super::Response::stream) goes, or of
/// [`ClientRequest::stream`](super::ClientRequest::stream).
pub struct Outgoing {
    sink: Rc<dyn Sink>,
    mode: Mode,
    trailers: Vec<u8>,
}

/// How the end of the body shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Chunked,
    /// So many bytes are left.
    Length(u64),
    /// By the end of the connection, for HTTP/1.0.
    Close,
    /// Nothing is sent: the request was HEAD.
    Silent,
}

impl Outgoing {
    pub(super) fn new(sink: Rc<dyn Sink>, mode: Mode) -> Outgoing {
        Outgoing { sink, mode, trailers: Vec::new() }
    }

    /// Writes a piece of the body. Waits while the peer lags, at the latest until
    /// [`Limits::write_time`](super::Limits::write_time) is over, or that of a client's limits.
    ///
    /// # Errors
    /// The connection broke, or more is written than [`Response::length`](super::Response::length)
    /// has said.
    pub async fn write<'a>(&mut self, piece: impl Into<Payload<'a>>) -> Result<()> {
        let piece = piece.into();
        let len = piece.len();
        if len == 0 || self.mode == Mode::Silent {
            return Ok(());
        }
        if let Mode::Length(left) = &mut self.mode {
            let more = left.checked_sub(len as u64);
            *left = more.ok_or("more is written than the length that was told")?;
        }
        let most = self.sink.piece_bytes_max();
        if len <= most {
            return self.write_part(piece).await;
        }
        for start in (0..len).step_by(most) {
            self.write_part(piece.part(start..len.min(start + most))).await?;
        }
        Ok(())
    }

    /// Writes what the send queue has room for.
    async fn write_part(&mut self, part: Payload<'_>) -> Result<()> {
        if self.mode == Mode::Chunked {
            let (head, head_len) = chunk_head(part.len());
            self.sink.write_encoding(&head[..head_len]);
            self.sink.write(part)?;
            self.sink.write_encoding(b"\r\n");
        } else {
            self.sink.write(part)?;
        }
        if self.sink.is_behind() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Waits until everything that was written is with the kernel. Without it what is written leaves
    /// at the end of the turn, too.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn flush(&mut self) -> Result<()> {
        /// Ends the wait when it is given up, too: who waits for nothing is not late.
        struct Wait(Rc<dyn Sink>);
        impl Drop for Wait {
            fn drop(&mut self) {
                self.0.clone().end_wait();
            }
        }
        self.sink.clone().begin_wait();
        let wait = Wait(self.sink.clone());
        Ok(poll_fn(|cx| wait.0.clone().poll_sent(cx)).await?)
    }

    /// Adds a trailer field, which goes behind the body; only where it goes out in chunks.
    ///
    /// # Errors
    /// [`BadField`], and when the trailers are over 4 KiB.
    pub fn trailer(&mut self, name: &str, value: &str) -> Result<()> {
        if !is_field_name(name) {
            return Err(BadField::Name(name.to_owned()).into());
        }
        if !is_field_value(value.as_bytes()) {
            return Err(BadField::Value(name.to_owned()).into());
        }
        let line = [name, ": ", value, "\r\n"].concat();
        if self.trailers.len() + line.len() > TRAILERS_BYTES_MAX {
            return Err(Error::from("the trailer fields are over 4 KiB"));
        }
        self.trailers.extend_from_slice(line.as_bytes());
        Ok(())
    }

    /// Writes the end. Whether the body is whole.
    pub(super) fn end(self) -> bool {
        match self.mode {
            Mode::Chunked => {
                self.sink.write_encoding(b"0\r\n");
                self.sink.write_encoding(&self.trailers);
                self.sink.write_encoding(b"\r\n");
            }
            Mode::Length(left) => return left == 0,
            Mode::Close | Mode::Silent => {}
        }
        true
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("mode", &self.mode).finish_non_exhaustive()
    }
}
