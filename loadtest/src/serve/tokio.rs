//! The tokio yardstick: a current-thread runtime, one task and one buffer for each connection.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::finder::{FRAME_BYTES_MAX, Finder, FrameTooLong};
use crate::framing::Framing;

/// Wait after a refused accept, so that a full descriptor table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves until a signal ends the process.
pub(super) fn run(listener: TcpListener, framing: Framing, read_bytes: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            match listener.accept().await {
                // A peer's end, whatever its cause, is the end of its task and of nothing else.
                Ok((stream, _)) => {
                    tokio::spawn(async move {
                        stream.set_nodelay(true)?;
                        echo(stream, framing, read_bytes).await
                    });
                }
                Err(_) => std::thread::sleep(ACCEPT_PAUSE),
            }
        }
    })
}

/// Echoes one connection until it ends. The buffer holds an incomplete frame and one read.
pub(super) async fn echo<S>(mut stream: S, framing: Framing, read_bytes: usize) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut finder = Finder::new(framing);
    let mut buffer = vec![0; read_bytes];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            // An incomplete frame fills the buffer; the finder refuses any that outgrows this.
            let bound = FRAME_BYTES_MAX as usize + 4 + read_bytes;
            buffer.resize((buffer.len() * 2).min(bound), 0);
        }
        let n = stream.read(&mut buffer[filled..]).await?;
        if n == 0 {
            return Ok(());
        }
        let end = match finder.feed(&buffer[filled..filled + n]) {
            Ok(0) => 0,
            Ok(end) => filled + end,
            Err(FrameTooLong) => return Ok(()),
        };
        filled += n;
        if end > 0 {
            stream.write_all(&buffer[..end]).await?;
            // TLS may keep a part of a record; a plain stream keeps nothing.
            stream.flush().await?;
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }
}
