//! Unix sockets, and the files that they leave or do not leave.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener as Listener, UnixStream as Peer};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use skyring::net::{ConnectError, UnixListener, UnixStream};
use skyring::{Engine, Gate, SocketAddress};

use crate::support::{Joined, config, on_core, poll_once};

/// A fresh path, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Place(std::env::temp_dir().join(format!("skyring-{process}-{n}.sock")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_echo_over_a_path_both_ways() {
    on_core(config(), || async {
        let place = Place::new();
        let listener = UnixListener::bind(&place.0).expect("a free path");
        assert_eq!(listener.local(), &SocketAddress::Unix(place.0.clone()));
        let path = place.0.clone();
        let peer = Joined::spawn(move || {
            let mut peer = Peer::connect(path).expect("it listens");
            peer.write_all(b"hello\n").expect("sent");
            let mut echo = String::new();
            peer.read_to_string(&mut echo).expect("an echo");
            assert_eq!(echo, "hello");
        });
        let stream = listener.accept().await.expect("the peer connects");
        let line = stream.read_line(80).await.expect("it speaks").expect("a line");
        stream.write(line).expect("room");
        stream.close().await.expect("all leaves");
        peer.join().await;
        let (near, far) = (UnixStream::connect(&place.0).await, listener.accept().await);
        near.expect("it listens").write("x").expect("room");
        assert_eq!(far.expect("it connects").read_exact(1).await.expect("it came")[..], *b"x");
        drop(listener);
        assert!(!place.0.exists(), "the file goes with its listener");
    });
}

#[test]
fn a_stale_file_is_replaced_and_a_live_one_is_an_error() {
    on_core(config(), || async {
        let place = Place::new();
        drop(Listener::bind(&place.0).expect("a free path"));
        assert!(place.0.exists(), "std leaves it");
        let listener = UnixListener::bind(&place.0).expect("nobody listens");
        let error = UnixListener::bind(&place.0).expect_err("somebody listens");
        assert!(error.to_string().contains("another process listens there"), "{error}");
        assert!(poll_once(listener.accept()).await.is_none());
        drop(listener);
        std::fs::write(&place.0, "a file").expect("written");
        UnixListener::bind(&place.0).expect_err("no socket");
        assert_eq!(std::fs::read_to_string(&place.0).expect("kept"), "a file");
    });
}

#[test]
fn a_path_that_has_become_anothers_stays() {
    on_core(config(), || async {
        let place = Place::new();
        let listener = UnixListener::bind(&place.0).expect("a free path");
        std::fs::remove_file(&place.0).expect("ours");
        let _other = Listener::bind(&place.0).expect("free again");
        drop(listener);
        assert!(place.0.exists(), "it belongs to the other one");
    });
}

#[test]
fn a_gates_file_goes_with_the_engine() {
    struct Nobody;
    impl skyring::Agent for Nobody {
        async fn frame(&mut self, _: &skyring::Client, _: skyring::Frame) -> skyring::Result<()> {
            Ok(())
        }
    }
    let place = Place::new();
    drop(Listener::bind(&place.0).expect("a free path"));
    let gate = Gate::framed(skyring::Framing::Line).agent(|_client| Nobody);
    let engine = Engine::new(config()).gate(format!("unix:{}", place.0.display()), gate);
    let handle = engine.start().expect("the stale file gives way");
    Peer::connect(&place.0).expect("it listens");
    handle.stop();
    handle.join().expect("a clean end");
    assert!(!place.0.exists());
}

#[test]
fn a_listener_of_std_keeps_its_file() {
    on_core(config(), || async {
        let place = Place::new();
        let listener = Listener::bind(&place.0).expect("a free path");
        let listener = UnixListener::from_std(listener).expect("it listens");
        drop(UnixStream::connect(&place.0).await.expect("it listens"));
        listener.accept().await.expect("it connected");
        drop(listener);
        assert!(place.0.exists());
    });
}

#[test]
fn nobody_there_is_an_error() {
    on_core(config(), || async {
        let place = Place::new();
        let error = UnixStream::connect(&place.0).await.expect_err("no such file");
        assert!(matches!(&error, ConnectError::Failed { tried, .. } if tried.len() == 1));
        assert!(error.to_string().contains("unix:/"), "{error}");
        let error = UnixStream::connect("/x".repeat(100)).await.expect_err("too long a path");
        assert!(matches!(error, ConnectError::Failed { .. }), "{error:?}");
    });
}
