//! hyper's I/O traits for streams, above those of `futures_io`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::net::{TcpStream, UnixStream};

macro_rules! runs_hyper {
    ($($name:ident),+) => {$(
        impl Read for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buffer: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                if buffer.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
                let received = ready!(self.as_mut().poll_fill_buf(cx))?;
                let count = received.len().min(buffer.remaining());
                buffer.put_slice(&received[..count]);
                self.consume(count);
                Poll::Ready(Ok(()))
            }
        }

        impl Write for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write(self, cx, bytes)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let mut written = 0;
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    match AsyncWrite::poll_write(self.as_mut(), cx, piece) {
                        Poll::Ready(Ok(count)) if count == piece.len() => written += count,
                        // The queue is full to its mark.
                        Poll::Ready(Ok(count)) => return Poll::Ready(Ok(written + count)),
                        // What was taken counts; the next call tells the rest.
                        _ if written > 0 => break,
                        other => return other,
                    }
                }
                Poll::Ready(Ok(written))
            }

            /// Everything leaves at the end of the turn without being asked to.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncWrite::poll_close(self, cx)
            }
        }
    )+};
}

runs_hyper!(TcpStream, UnixStream);
