//! An engine of one core for each test, peers in threads, and a deadline on everything.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpStream as Peer};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use skyring::net::{TcpListener, TcpStream};
use skyring::{Config, Engine, Metrics};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn config() -> Config {
    Config::new().cores(1).pin(false).drain(Duration::from_secs(1))
}

/// Runs `test` on the core of a fresh engine; what the core counted comes back.
pub(crate) fn on_core<Test, Run>(config: Config, test: Test) -> Metrics
where
    Test: FnOnce() -> Run + Send + 'static,
    Run: Future<Output = ()> + 'static,
{
    let (done, is_done) = sync_channel(1);
    let once = Mutex::new(Some((test, done)));
    let engine = Engine::new(config).setup(move |_| {
        let (test, done) = once.lock().unwrap().take().expect("one core");
        let task = skyring::spawn(async move { test().await });
        skyring::spawn(async move {
            let _ = done.send(task.await.is_ok());
        });
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    let passed = is_done.recv_timeout(DEADLINE).expect("the test ends in time");
    // Connections that close in the background may still flush.
    let metrics = handle.metrics();
    handle.stop();
    handle.join().expect("the engine ends cleanly");
    assert!(passed, "the test failed, see above");
    metrics
}

/// Runs `test` with an accepted stream whose peer is `peer`, in a thread.
pub(crate) fn with_peer<Test, Run>(peer: impl FnOnce(Peer) + Send + 'static, test: Test) -> Metrics
where
    Test: FnOnce(TcpStream) -> Run + Send + 'static,
    Run: Future<Output = ()> + 'static,
{
    on_core(config(), || async move {
        let (stream, peer) = accept(peer).await;
        test(stream).await;
        peer.join().await;
    })
}

/// A thread of the test.
pub(crate) struct Joined<T>(thread::JoinHandle<T>);

impl<T: Send + 'static> Joined<T> {
    pub(crate) fn spawn(body: impl FnOnce() -> T + Send + 'static) -> Joined<T> {
        Joined(thread::spawn(body))
    }

    /// Waits without blocking the core.
    pub(crate) async fn join(self) -> T {
        let joined = skyring::blocking(move || self.0.join()).await;
        joined.expect("a thread is free").expect("the peer passed")
    }
}

/// Accepts the one connection of `peer`.
pub(crate) async fn accept<T: Send + 'static>(
    peer: impl FnOnce(Peer) -> T + Send + 'static,
) -> (TcpStream, Joined<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local();
    let peer = Joined::spawn(move || peer(connect(address).expect("the listener accepts")));
    (listener.accept().await.expect("the peer connects"), peer)
}

/// Connects as a peer whose calls end in time.
pub(crate) fn connect(address: SocketAddr) -> io::Result<Peer> {
    let peer = Peer::connect(address)?;
    peer.set_read_timeout(Some(DEADLINE / 2))?;
    peer.set_write_timeout(Some(DEADLINE / 2))?;
    peer.set_nodelay(true)?;
    Ok(peer)
}

/// Closes with a reset.
pub(crate) fn reset(peer: Peer) {
    use std::os::fd::OwnedFd;
    let peer = OwnedFd::from(peer);
    let linger = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&peer, linger).expect("a TCP socket");
}

/// Polls a future once and drops it.
pub(crate) async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// Waits until `reached` says so, turn by turn.
pub(crate) async fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        skyring::sleep(Duration::from_millis(1)).await;
    }
}

/// What a peer does once the test says so.
pub(crate) fn wait(go: &Receiver<()>) {
    go.recv_timeout(DEADLINE / 2).expect("the test goes on");
}
