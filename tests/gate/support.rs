//! What the tests of gates share.

use std::sync::{Arc, Mutex};

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

pub(crate) const ADDRESS: &str = "127.0.0.1:80";

/// What happened, in order, for all cores to write.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic under it").push(what.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic under it"))
    }

    /// Waits until `what` was added.
    pub(crate) async fn until(&self, what: &str) {
        while !self.0.lock().expect("no panic under it").iter().any(|line| line == what) {
            sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

/// Runs `body` as a client on core 0 of `engine`, in the simulated kernel.
pub(crate) fn simulated<F>(engine: Engine, body: impl FnOnce() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    weathered(1, Faults::default(), engine, body);
}

/// As [`simulated`], in some weather.
pub(crate) fn weathered<F>(seed: u64, faults: Faults, engine: Engine, body: impl FnOnce() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = Simulation::new(seed).weather(faults);
    sim.start(engine).expect("the engine starts");
    sim.run_on(0, body())
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

/// A frame with its length before it.
pub(crate) fn u16_frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u16).to_be_bytes()[..], payload].concat()
}

pub(crate) fn say(stream: &TcpStream, text: &str) -> Result<()> {
    Ok(stream.write(u16_frame(text.as_bytes()))?)
}

/// The next frame; none at the end of the stream.
pub(crate) async fn hear(stream: &TcpStream) -> Result<Option<String>> {
    if !stream.readable().await? {
        return Ok(None);
    }
    let head = stream.read_exact(2).await?;
    let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let payload = stream.read_exact(len).await?;
    Ok(Some(String::from_utf8(payload.to_vec()).expect("text")))
}

pub(crate) fn text(frame: &Frame) -> String {
    String::from_utf8(frame.to_vec()).expect("text")
}
