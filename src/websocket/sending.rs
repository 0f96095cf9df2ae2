//! Sending: heads, and a client's masks.

use super::outgoing::{Kind, Outgoing};
use super::prepared::Prepared;
use super::socket::{Inner, State, WebSocket};
use crate::error::SendError;
use crate::memory::chain::Payload;
use crate::wire::websocket::{FrameHead, OpCode, mask};

/// Up to this length a client masks a frame on the stack, else in a buffer of its own.
const MASKED_ON_STACK: usize = 1024;

impl WebSocket {
    /// Queues a message: a text (`&str`, `String`, a received [`Text`](super::Text)), bytes, a
    /// received [`Message`](super::Message), or a [`Prepared`](super::Prepared) one. Never waits:
    /// everything of a turn leaves in one send at its end.
    ///
    /// A server sends a received message from where it lies; an echo takes its head along, too.
    ///
    /// # Errors
    /// [`SendError::Full`] when the peer reads too slowly and the queue would pass
    /// `SKYRING_SEND_QUEUE_BYTES_MAX`: the connection is closed. [`SendError::Closed`] once either
    /// side has closed. [`SendError::Busy`] while a [`Writer`](super::Writer) sends its message.
    #[inline]
    pub fn send<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        let inner = &self.0;
        inner.may_send()?;
        match message.into().0 {
            Kind::Plain(opcode, payload) => inner.send_message(opcode, payload),
            Kind::Prepared(prepared) => inner.send_prepared(prepared),
        }
    }

    /// Sends a ping of at most 125 bytes, which the peer answers by a pong. Pings of the engine's
    /// own keep the connection alive: see [`Limits`](super::Limits).
    ///
    /// # Errors
    /// As [`send`](WebSocket::send).
    ///
    /// # Panics
    /// When the payload has more than 125 bytes.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        assert!(payload.len() <= 125, "a ping of {} bytes, at most 125", payload.len());
        if self.0.state.get() != State::Open {
            return Err(SendError::Closed);
        }
        self.0.send_frame(OpCode::Ping, false, payload.into())
    }
}

impl Inner {
    /// Whether a message may go.
    #[inline]
    pub(super) fn may_send(&self) -> Result<(), SendError> {
        if self.state.get() != State::Open {
            return Err(SendError::Closed);
        }
        if self.writing.get() {
            return Err(SendError::Busy);
        }
        Ok(())
    }

    #[inline]
    fn send_message(&self, opcode: OpCode, payload: Payload<'_>) -> Result<(), SendError> {
        #[cfg(feature = "deflate")]
        if let Some(compression) = &self.compression
            && compression.borrow().applies_to(payload.len())
        {
            let small = compression.borrow_mut().deflate(payload.as_ref());
            return self.send_frame(opcode, true, small.into());
        }
        self.send_frame(opcode, false, payload)
    }

    /// Queues a message that goes to many.
    fn send_prepared(&self, prepared: &Prepared) -> Result<(), SendError> {
        if !self.is_server() {
            return self.send_message(prepared.opcode(), prepared.payload()[..].into());
        }
        #[cfg(feature = "deflate")]
        if let Some(compression) = &self.compression
            && compression.borrow().applies_to(prepared.payload().len())
        {
            let style = compression.borrow().style;
            if !style.forgets {
                return self.send_message(prepared.opcode(), prepared.payload()[..].into());
            }
            return prepared.compressed(&self.reactor, style, |bytes| self.stream.write(bytes));
        }
        prepared.plain(&self.reactor, |bytes| self.stream.write(bytes))
    }

    /// Queues one frame.
    #[inline]
    pub(super) fn send_frame(
        &self,
        opcode: OpCode,
        rsv1: bool,
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        let len = payload.len() as u64;
        self.send_headed(FrameHead { fin: true, rsv1, opcode, mask: None, len }, payload)
    }

    /// Queues one frame; a client's gets its mask here.
    #[inline]
    pub(super) fn send_headed(
        &self,
        head: FrameHead,
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        if let Some(masks) = &self.masks {
            let key = masks.borrow_mut().next(&self.reactor);
            let head = FrameHead { mask: Some(key), ..head };
            return self.send_masked(&head, key, payload.as_ref());
        }
        let mut bytes = [0; FrameHead::BYTES_MAX];
        let encoded = head.encode(&mut bytes);
        self.stream.write_behind(&bytes[..encoded], payload)
    }

    fn send_masked(&self, head: &FrameHead, key: [u8; 4], payload: &[u8]) -> Result<(), SendError> {
        let mut on_stack = [0; FrameHead::BYTES_MAX + MASKED_ON_STACK];
        let encoded = head.encode(&mut on_stack);
        if payload.len() <= MASKED_ON_STACK {
            let frame = &mut on_stack[..encoded + payload.len()];
            frame[encoded..].copy_from_slice(payload);
            mask(&mut frame[encoded..], key, 0);
            return self.stream.write(&*frame);
        }
        let mut frame = Vec::with_capacity(encoded + payload.len());
        frame.extend_from_slice(&on_stack[..encoded]);
        frame.extend_from_slice(payload);
        mask(&mut frame[encoded..], key, 0);
        self.stream.write(frame)
    }
}
