//! Servers of others, each on tokio's current-thread runtime with one task for each connection:
//! what a program would use that does not use skyring.

mod fastwebsockets;
mod hyper;
mod rustls;
mod tungstenite;

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Args, Server};

/// Wait after a refused accept, so that a full descriptor table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves until a signal ends the process.
pub(super) fn run(listener: TcpListener, args: &Args) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        match args.server {
            Server::Hyper => {
                let pipeline_flush = args.pipeline_flush;
                accept(listener, move |stream| hyper::serve(stream, pipeline_flush)).await
            }
            Server::Tungstenite => {
                let read_bytes = args.read_bytes();
                accept(listener, move |stream| tungstenite::serve(stream, read_bytes)).await
            }
            Server::Fastwebsockets => accept(listener, fastwebsockets::serve).await,
            Server::TokioRustls => {
                let (acceptor, framing) = (rustls::acceptor()?, args.framing);
                let read_bytes = args.read_bytes();
                let serve =
                    move |stream| rustls::serve(acceptor.clone(), stream, framing, read_bytes);
                accept(listener, serve).await
            }
            _ => unreachable!("no other server is a peer"),
        }
    })
}

/// A task for each connection. A peer's end, whatever its cause, is the end of its task and of
/// nothing else.
async fn accept<F, S>(listener: tokio::net::TcpListener, serve: S) -> io::Result<()>
where
    S: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                tokio::spawn(serve(stream));
            }
            Err(_) => std::thread::sleep(ACCEPT_PAUSE),
        }
    }
}
