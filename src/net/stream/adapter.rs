//! `futures_io` for streams, so that other libraries run on them.
//!
//! A stream itself never makes a writer wait; a copy loop by these traits would run into the cap of
//! the send queue. So `poll_write` waits above a mark well below it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::{Stream, TcpStream, UnixStream};
use crate::net::error::ReadError;

/// Output that may be queued before `poll_write` waits.
const QUEUED_BYTES_MAX: usize = 256 * 1024;

impl Stream {
    fn poll_front(&self, cx: &Context<'_>) -> Poll<io::Result<bool>> {
        if self.side.is_read() {
            return Poll::Ready(Err(ReadError::Busy.into()));
        }
        if self.unread() > 0 {
            return Poll::Ready(Ok(true));
        }
        ready!(self.side.poll_more(cx))?;
        Poll::Ready(Ok(false))
    }

    fn consume_front(&self, count: usize) {
        self.side.inlet.borrow_mut().advance(count);
        self.side.catch_up();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buffer.is_empty() || !ready!(this.poll_front(cx))? {
            return Poll::Ready(Ok(0));
        }
        let front = this.side.inlet.borrow_mut().front().cloned();
        let front = front.expect("there are unread bytes");
        let count = front.len().min(buffer.len());
        buffer[..count].copy_from_slice(&front[..count]);
        drop(front);
        this.consume_front(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if !ready!(this.poll_front(cx))? {
            this.filled = None;
            return Poll::Ready(Ok(&[]));
        }
        let front = this.side.inlet.borrow_mut().front().cloned();
        Poll::Ready(Ok(this.filled.insert(front.expect("there are unread bytes"))))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let this = self.get_mut();
        this.filled = None;
        this.consume_front(count);
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(failure) = self.side.failure() {
            return Poll::Ready(Err(failure.into()));
        }
        let settings = &self.side.connection.reactor.settings;
        let mark = QUEUED_BYTES_MAX.min(settings.send_queue_bytes_max / 2);
        let room = mark.saturating_sub(self.queued());
        if room == 0 && !bytes.is_empty() {
            self.side.wait_for_sends(cx);
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        let written = self.write(&bytes[..count]);
        Poll::Ready(
            written
                .map(|()| count)
                .map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error)),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.poll_flush(cx).map_err(io::Error::from)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        self.side.poll_finished(cx).map_err(io::Error::from)
    }
}

macro_rules! forwards {
    ($($name:ident),+) => {$(
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_read(cx, buffer)
            }
        }

        impl AsyncBufRead for $name {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                Pin::new(&mut self.get_mut().0).poll_fill_buf(cx)
            }

            fn consume(mut self: Pin<&mut Self>, count: usize) {
                Pin::new(&mut self.0).consume(count);
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_close(cx)
            }
        }
    )+};
}

forwards!(TcpStream, UnixStream);
