//! Sends every frame back to where it came from.

use crate::prelude::*;
#[cfg(feature = "tls")]
use crate::tls;

/// Answers each frame with itself.
struct Echo;

impl Agent for Echo {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        client.send(frame)
    }
}

/// An echo server on `listen`, not yet started.
pub fn engine(config: Config, listen: &str, framing: Framing) -> Engine {
    Engine::new(config).gate(listen, Gate::framed(framing).agent(|_client| Echo))
}

/// As [`engine`], encrypted.
#[cfg(feature = "tls")]
pub fn tls_engine(config: Config, listen: &str, framing: Framing, tls: &tls::Server) -> Engine {
    Engine::new(config).gate(listen, Gate::framed(framing).tls(tls).agent(|_client| Echo))
}
