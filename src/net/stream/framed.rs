//! A stream of frames: the codecs of the gate on any stream.
//!
//! ```text
//!   Stream ─▶ piece, as received ─▶ cutter ─▶ Frame in place      read()
//!                                     └──▶ partial, on the heap ─▶ joined by the next pieces
//!   Stream ◀─ head, payload, tail ◀───────────────────────────    write()
//! ```

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;

use super::Stream;
use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::memory::frame::Frame;
use crate::net::cutter::{Cut, Cutter};
use crate::net::error::{FlushError, ReadFrameError};
use crate::wire::{Envelope, FrameError, Framing};

/// A stream that is read and written in frames, accepted or connected: what a gate does for its
/// clients, for any task. Made by `framed` of a [`TcpStream`](super::TcpStream) or a
/// [`UnixStream`](super::UnixStream).
///
/// All methods take `&self`, so that one task may read while another writes; share it by an
/// [`Rc`](std::rc::Rc). Dropping it drops the stream: what is queued is sent, then it is closed.
///
/// ```
/// use skyring::net::{TcpListener, TcpStream};
/// use skyring::prelude::*;
/// use skyring::sim::Simulation;
///
/// async fn serve(stream: TcpStream) -> Result<()> {
///     let framed = stream.framed(LengthPrefix::U32);
///     while let Some(frame) = framed.read().await? {
///         framed.write(frame)?;
///     }
///     Ok(framed.close().await?)
/// }
///
/// fn main() -> Result<()> {
///     Simulation::new(1).run(async {
///         let listener = TcpListener::bind("127.0.0.1:80")?;
///         let client = TcpStream::connect("127.0.0.1:80").await?.framed(LengthPrefix::U32);
///         spawn(serve(listener.accept().await?));
///         client.write("hello")?;
///         assert_eq!(&client.read().await?.ok_or("no answer")?[..], b"hello");
///         Ok(())
///     })?
/// }
/// ```
pub struct Framed<S> {
    stream: S,
    framing: Framing,
    cutter: RefCell<Cutter>,
    /// What was received last, and how far it is cut.
    piece: RefCell<Option<Frame>>,
    at: Cell<usize>,
    /// The peer broke the framing; the bytes behind that mean nothing.
    broken: Cell<Option<FrameError>>,
}

impl<S: Deref<Target = Stream>> Framed<S> {
    /// Frames of at most `SKYRING_FRAME_BYTES_MAX` bytes, by a stream that is owned or borrowed.
    pub fn new(stream: S, framing: impl Into<Framing>) -> Framed<S> {
        let max = stream.side.connection.reactor.settings.frame_bytes_max;
        Framed::with_max(stream, framing, max)
    }

    /// Frames of which the peer's have at most `frame_bytes_max` bytes; a longer one is refused when
    /// its length is known, before its bytes come. So much may be held of a frame that is not whole.
    ///
    /// # Panics
    /// When `frame_bytes_max` is over 1 GiB.
    pub fn with_max(stream: S, framing: impl Into<Framing>, frame_bytes_max: usize) -> Framed<S> {
        assert!(frame_bytes_max <= 1 << 30, "frames of {frame_bytes_max} bytes, at most 1 GiB");
        let framing = framing.into();
        let cutter = RefCell::new(Cutter::new(framing, frame_bytes_max));
        let (piece, at, broken) = (RefCell::default(), Cell::new(0), Cell::new(None));
        Framed { stream, framing, cutter, piece, at, broken }
    }

    /// The next frame. It lies where it was received, unless it came in several pieces, which are
    /// joined by a copy. `None` is the end of the stream right behind a frame.
    ///
    /// Dropping the future, as [`within`](crate::within) does when the time is over, loses no byte.
    ///
    /// # Errors
    /// [`ReadFrameError`]: the peer broke the framing, which every later read says too; it ended in
    /// the middle of a frame, whose beginning comes with the error; another task reads; or the
    /// stream gives no more.
    pub async fn read(&self) -> Result<Option<Frame>, ReadFrameError> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(Some(frame));
            }
            let Some(piece) = self.stream.read().await? else { return self.end() };
            // A second task that reads meanwhile hears `Busy`, so nothing is lost here.
            let before = self.piece.replace(Some(piece));
            debug_assert!(before.is_none(), "one task reads at a time");
            self.at.set(0);
        }
    }

    /// The next frame of what was received, if there is a whole one.
    fn cut(&self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.broken.get() {
            return Err(error);
        }
        let mut current = self.piece.borrow_mut();
        let Some(piece) = current.as_ref() else { return Ok(None) };
        let connection = &self.stream.side.connection;
        let mut at = self.at.get();
        let cut = self.cutter.borrow_mut().next(piece, &mut at);
        self.at.set(at);
        let used_up = at == piece.len();
        if used_up {
            current.take(); // the block goes home with the last frame in it
        }
        connection.mark_handled();
        match cut {
            Ok(Cut::Frame(frame)) => Ok(Some(frame)),
            Ok(Cut::Joined(frame)) => {
                connection.reactor.metrics.frames_joined.add(1);
                Ok(Some(frame))
            }
            Ok(Cut::Empty) => Ok(None),
            Err(error) => {
                connection.reactor.metrics.malformed.add(1);
                self.broken.set(Some(error));
                Err(error)
            }
        }
    }

    /// The stream has ended.
    fn end(&self) -> Result<Option<Frame>, ReadFrameError> {
        let leftover = self.cutter.borrow_mut().take_partial();
        match leftover.is_empty() {
            true => Ok(None),
            false => Err(ReadFrameError::Ended { leftover: leftover.into() }),
        }
    }

    /// Queues `payload` as one frame: what the framing puts before it, the payload, and what it puts
    /// behind, in one send with everything else of this turn. Takes what [`Stream::write`] takes,
    /// and as there, nothing waits.
    ///
    /// The bound of what is read is the peer's to keep; a payload may be longer.
    ///
    /// # Errors
    /// [`SendError::Frame`] when the payload is no frame of this framing, and as [`Stream::write`].
    pub fn write<'a>(&self, payload: impl Into<Payload<'a>>) -> Result<(), SendError> {
        let payload = payload.into();
        let mut envelope = Envelope::EMPTY;
        self.framing.encode_in(&mut envelope, payload.as_ref())?;
        self.stream.side.connection.write(envelope.head(), payload, envelope.tail())
    }

    /// Waits until everything that is queued is with the kernel.
    ///
    /// # Errors
    /// As [`Stream::flush`].
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.stream.flush().await
    }

    /// Closes the stream: as [`Stream::close`]. Frames that nobody has read go, too.
    ///
    /// # Errors
    /// [`FlushError`] when what was queued did not leave.
    pub async fn close(&self) -> Result<(), FlushError> {
        self.piece.take();
        self.cutter.borrow_mut().take_partial();
        self.stream.close().await
    }

    /// The stream, for its peer, its queue and its end. What is read from it directly is missing
    /// between the frames.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// How frames are told apart.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The stream itself, to go on without frames, or with others. Received bytes that are in no
    /// frame yet are unread again.
    pub fn into_inner(self) -> S {
        self.give_back();
        self.stream
    }

    /// Puts back into the stream what was received and is in no frame.
    fn give_back(&self) {
        let mut inlet = self.stream.side.inlet.borrow_mut();
        if let Some(piece) = self.piece.take() {
            inlet.push_front(piece.slice(self.at.get()..));
        }
        inlet.push_front(self.cutter.borrow_mut().take_partial().into());
    }
}

impl<S: Deref<Target = Stream>> fmt::Debug for Framed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("framing", &self.framing)
            .field("stream", &*self.stream)
            .finish_non_exhaustive()
    }
}
