//! Sends every frame back to where it came from.

use crate::prelude::*;

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
