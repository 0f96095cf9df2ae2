//! The end of the lane: what it waits for, what it leaves behind, and whose memory nobody touches.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use skyring::lane::{self, LaneError, tokio_uring};
use skyring::sim::Simulation;
use skyring::{Engine, Handle};

use crate::common::{Server, config, deadline, eventually};

const BUFFER_BYTES: usize = 4096;

fn start(drain: &str) -> Handle {
    let config = config().set("drain", drain).expect("a knob");
    Engine::new(config).start().expect("the engine starts")
}

/// Has the lane begin what nobody waits for.
fn begin<F>(handle: &Handle, make: F)
where
    F: AsyncFnOnce() + Send + 'static,
{
    let begun = handle.run_on(0, move || async move {
        let _ = lane::call(make).timeout(Duration::ZERO).await;
    });
    begun.expect("the task ran");
}

#[test]
fn calls_and_what_they_have_spawned_end_before_the_engine_does() {
    deadline(|| {
        let handle = start("30s");
        let ends = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let [call, task] = ends.clone();
        begin(&handle, async move || {
            tokio_uring::spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                task.store(true, Ordering::Relaxed);
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            call.store(true, Ordering::Relaxed);
        });
        handle.stop();
        handle.join().expect("the engine ends well");
        assert!(ends.iter().all(|ended| ended.load(Ordering::Relaxed)));
    });
}

#[test]
fn what_a_driver_has_spawned_on_tokio_itself_is_not_waited_for() {
    deadline(|| {
        let handle = start("5min"); // longer than this test has
        let spawned = handle.run_on(0, || {
            lane::call(async || {
                drop(tokio::spawn(std::future::pending::<()>())); // the task of a connection, say
            })
        });
        assert_eq!(spawned, Ok(Ok(())));
        handle.stop();
        handle.join().expect("the engine ends well");
    });
}

#[test]
fn a_call_that_never_ends_is_left_behind_with_its_thread() {
    deadline(|| {
        let (near, mut far) = UnixStream::pair().expect("two sockets");
        let handle = start("200ms");
        begin(&handle, async move || {
            let near = tokio_uring::net::UnixStream::from_std(near);
            let _ = near.read(vec![0; BUFFER_BYTES]).await;
        });
        let begun = Instant::now();
        handle.stop();
        handle.join().expect("the engine ends well");
        assert!(begun.elapsed() < Duration::from_secs(20), "bounded by the drain");
        // Its thread still waits for this; what comes goes where it was meant to.
        far.write_all(&[1; BUFFER_BYTES]).expect("it is read");
        let again = start("200ms").run_on(0, || lane::call(async || 7));
        assert_eq!(again, Ok(Ok(7)), "another engine has a lane of its own");
    });
}

#[test]
fn an_operation_that_was_given_up_keeps_its_buffer_beyond_the_end() {
    deadline(|| {
        let (near, mut far) = UnixStream::pair().expect("two sockets");
        let handle = start("1s");
        let given_up = handle.run_on(0, move || {
            lane::call(async move || {
                let near = tokio_uring::net::UnixStream::from_std(near);
                let read = near.read(vec![0; BUFFER_BYTES]);
                // What the pages forbid; it must be harmless all the same.
                tokio::time::timeout(Duration::from_millis(1), read).await.is_err()
            })
        });
        assert_eq!(given_up, Ok(Ok(true)));
        handle.stop();
        handle.join().expect("the engine ends well");
        // The operation holds socket and buffer together, so an open socket is a buffer that was
        // not freed under the kernel's hands.
        far.set_nonblocking(true).expect("a socket option");
        let end = far.read(&mut [0]).expect_err("it is not closed");
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
        far.write_all(&[0xaa; BUFFER_BYTES]).expect("somebody still has the other end");
    });
}

#[cfg(feature = "http")]
#[test]
fn a_request_that_was_begun_is_answered_by_the_lane_while_the_engine_drains() {
    use skyring::http::{Response, Router};

    deadline(|| {
        let config = config().set("drain", "30s").expect("a knob");
        let server = Server::of(Engine::new(config).http("127.0.0.1:0", |_| {
            Router::new().get("/", async |_| {
                skyring::stopping().await;
                Ok(Response::text(lane::call(async || "by the lane".to_owned()).await?))
            })
        }));
        let mut peer = server.connect();
        peer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is taken");
        eventually("the request is read", || server.metrics().bytes_received > 0);
        server.handle.stop();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an answer, and the end");
        assert!(answer.ends_with("by the lane"), "{answer}");
        server.handle.join().expect("the engine ends well");
    });
}

#[test]
fn a_simulation_has_no_lane_and_says_so() {
    let mut sim = Simulation::new(1);
    let outcome = sim.run(lane::call(async || 7)).expect("it ends");
    assert!(matches!(outcome, Err(LaneError::Unavailable(_))), "{outcome:?}");
}
