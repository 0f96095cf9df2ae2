//! A connection's seat: where other cores reach its agent.

use std::time::Duration;

use bytes::Bytes;

use super::message::ToSeat;
use crate::error::Result;
use crate::reactor::sleep;
use crate::service::{Context, Local, Reason, Service, Undelivered};

/// To an agent, from its own core.
pub(super) enum ToAgent {
    Frame(Bytes),
    Close,
}

/// Passes on to the agent what a session sends. Its end is the connection's, and the other way
/// round: whoever watches it hears when the connection is lost, whoever stops it closes the
/// connection, both by ways that no full mailbox holds up.
pub(super) struct Seat {
    pub(super) agent: Local<ToAgent>,
}

/// How long the seat waits before it tries again to tell an agent whose mailbox is full to close.
const AGAIN: Duration = Duration::from_millis(10);

impl Service for Seat {
    type Message = ToSeat;

    async fn handle(&mut self, message: ToSeat, cx: &Context<Self>) -> Result<()> {
        let delivered = match message {
            ToSeat::Frame(frame) => self.agent.send(ToAgent::Frame(frame)).is_ok(),
            ToSeat::Close => false,
        };
        if !delivered {
            // A reply that is lost is asked for again, on another connection.
            cx.stop();
        }
        Ok(())
    }

    async fn stopped(&mut self, _why: &Reason, _cx: &Context<Self>) {
        while let Err(Undelivered::Full(_)) = self.agent.send(ToAgent::Close) {
            sleep(AGAIN).await;
        }
    }
}
