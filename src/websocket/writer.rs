//! A message that is sent piece by piece, and never held whole.
//!
//! ```text
//!   begin_text() ─▶ write(piece) ─▶ a fragment each, queued; waits while the peer lags ─▶ finish()
//!                                        ▲ pings, pongs and a Close go between            └ the last
//! ```

use std::fmt;
use std::future::poll_fn;

use super::keepalive::Cause;
use super::socket::{Inner, State, WebSocket};
use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::reactor::within;
use crate::wire::websocket::{Fragments, OpCode};

/// How often within `write_time` it is looked whether the peer still takes something.
const LOOKS: u32 = 10;
/// Output that may wait before whoever writes a message has to wait.
const QUEUED_BYTES_MAX: usize = 256 * 1024;

/// A message that is sent piece by piece: a file, an answer that is made by and by. What waits for the
/// peer is bounded, however long the message is. Made by [`WebSocket::begin_text`] and
/// [`WebSocket::begin_binary`].
///
/// The message ends with [`finish`](Writer::finish). Dropped before that, with a part sent, it closes
/// the WebSocket with 1011: the peer must not take the part for the whole. Until then other messages
/// are refused with [`SendError::Busy`]; pings, pongs and a Close go between the pieces.
///
/// ```
/// use skyring::prelude::*;
/// use skyring::websocket::WebSocket;
///
/// async fn count(ws: &WebSocket) -> Result<()> {
///     let mut text = ws.begin_text()?;
///     for n in 0..1_000_000 {
///         text.write(format!("line {n}\n")).await?; // waits while the peer lags
///     }
///     Ok(text.finish()?)
/// }
/// # let _ = count;
/// ```
#[must_use = "a message that is not finished closes the WebSocket"]
pub struct Writer {
    ws: WebSocket,
    fragments: Fragments,
    is_finished: bool,
}

impl WebSocket {
    /// Begins a text that is sent piece by piece. Nothing of it goes before the first piece.
    ///
    /// # Errors
    /// [`SendError::Busy`] while another is sent so; [`SendError::Closed`] once either side has closed.
    pub fn begin_text(&self) -> Result<Writer, SendError> {
        Writer::begin(self, OpCode::Text)
    }

    /// Begins a message of bytes that is sent piece by piece. Nothing of it goes before the first piece.
    ///
    /// # Errors
    /// As [`begin_text`](WebSocket::begin_text).
    pub fn begin_binary(&self) -> Result<Writer, SendError> {
        Writer::begin(self, OpCode::Binary)
    }
}

impl Writer {
    fn begin(ws: &WebSocket, opcode: OpCode) -> Result<Writer, SendError> {
        let inner = &ws.0;
        inner.may_send()?;
        inner.writing.set(true);
        #[cfg(feature = "deflate")]
        let compressed = inner.compression.is_some();
        #[cfg(not(feature = "deflate"))]
        let compressed = false;
        let fragments = Fragments::new(opcode, compressed);
        Ok(Writer { ws: ws.clone(), fragments, is_finished: false })
    }

    /// Sends a piece, in a frame of its own; an empty one is none. Waits while the peer lags, as long
    /// as it takes something within [`Limits::write_time`](super::Limits::write_time). Dropping the
    /// future loses nothing: the piece is queued before anything is waited for.
    ///
    /// Pieces of a text may end amid a character. They are not looked at; a peer closes when they are
    /// no UTF-8. With compression each is compressed by itself, so short ones are better put together.
    ///
    /// # Errors
    /// [`SendError::Closed`] once either side has closed, and when the peer took nothing in time;
    /// [`SendError::Full`] when the piece alone would pass `SKYRING_SEND_QUEUE_BYTES_MAX`.
    pub async fn write<'a>(&mut self, piece: impl Into<Payload<'a>>) -> Result<(), SendError> {
        let piece = piece.into();
        if !piece.is_empty() {
            self.send_piece(piece)?;
        }
        match self.ws.0.is_behind() {
            true => self.ws.0.catch_up().await,
            false => Ok(()),
        }
    }

    /// Ends the message: now it is whole.
    ///
    /// # Errors
    /// As [`write`](Writer::write).
    pub fn finish(mut self) -> Result<(), SendError> {
        let end: &[u8] = b"";
        #[cfg(feature = "deflate")]
        let end = match &self.ws.0.compression {
            Some(compression) => compression.borrow_mut().end_pieces(),
            None => end,
        };
        self.send(true, end.into())?;
        self.is_finished = true;
        Ok(())
    }

    fn send_piece(&mut self, piece: Payload<'_>) -> Result<(), SendError> {
        #[cfg(feature = "deflate")]
        if let Some(compression) = &self.ws.0.compression {
            let small = compression.borrow_mut().deflate_piece(piece.as_ref());
            return self.send(false, small.into());
        }
        self.send(false, piece)
    }

    fn send(&mut self, fin: bool, payload: Payload<'_>) -> Result<(), SendError> {
        let inner = &self.ws.0;
        if inner.state.get() != State::Open {
            return Err(SendError::Closed);
        }
        let head = self.fragments.next(fin, payload.len() as u64);
        inner.send_headed(head, payload)
    }
}

impl Inner {
    /// Whether so much waits that whoever writes a long message has to wait.
    fn is_behind(&self) -> bool {
        let most = QUEUED_BYTES_MAX.min(self.reactor.settings.send_queue_bytes_max / 4);
        self.stream.queued() > most
    }

    /// Waits until the peer has taken what was queued; gives it up when it takes nothing.
    async fn catch_up(&self) -> Result<(), SendError> {
        let mut stalls = 0;
        while stalls < LOOKS {
            let before = self.stream.send_progress();
            let flushed = poll_fn(|cx| self.stream.poll_flushed(cx));
            if let Ok(flushed) = within(self.limits.write_time / LOOKS, flushed).await {
                return flushed.map_err(|_| SendError::Closed);
            }
            let stood_still = self.stream.send_progress() == before;
            stalls = if stood_still { stalls + 1 } else { 0 };
        }
        self.give_up(Cause::Lagging);
        Err(SendError::Closed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ws.0.writing.set(false);
        if !self.is_finished && self.fragments.has_begun() {
            self.ws.begin_close(1011, "a message was given up");
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("fragments", &self.fragments).finish_non_exhaustive()
    }
}
