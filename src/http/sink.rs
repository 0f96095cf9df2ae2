//! Where a body goes that is written by and by: the connection of a server, or of a client.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::net::FlushError;

/// A connection whose owner writes a body.
pub(super) trait Sink {
    /// Writes a few bytes of encoding.
    fn write_encoding(&self, bytes: &[u8]);
    /// Writes a piece of the body.
    fn write(&self, piece: Payload<'_>) -> Result<(), SendError>;
    /// The most that one write may have, so that it finds room in the send queue.
    fn piece_bytes_max(&self) -> usize;
    /// Whether so much waits that whoever writes has to wait.
    fn is_behind(&self) -> bool;
    /// From now on the writer waits for the peer.
    fn begin_wait(self: Rc<Self>);
    /// Waits until everything that was written is with the kernel.
    fn poll_sent(self: Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), FlushError>>;
    /// The wait is over, or given up.
    fn end_wait(self: Rc<Self>);
}
