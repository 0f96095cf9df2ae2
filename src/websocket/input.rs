//! What a WebSocket has received: unmasked, cut into messages. No socket.
//!
//! ```text
//!   piece, as received ─▶ unmasked in place while it is ours alone ─▶ Decoder ─▶ Frame in place
//! ```

use crate::memory::frame::Frame;
use crate::wire::websocket::{
    Close, Decoder, DecoderLimits, Found, Joined, OpCode, ProtocolError, Small, Step, Unmasker,
};

/// What a peer has sent.
#[derive(Debug)]
pub(super) enum Item {
    /// A message; `compressed`: it is to be decompressed, and a text is not checked.
    Message {
        opcode: OpCode,
        compressed: bool,
        payload: Frame,
    },
    Ping(Small),
    Pong(Small),
    Close(Close),
}

/// What was received and is unread.
pub(super) struct Input {
    piece: Option<Frame>,
    at: usize,
    decoder: Decoder,
    /// A server's peer masks.
    unmasker: Option<Unmasker>,
}

impl Input {
    pub(super) fn new(limits: DecoderLimits, compresses: bool, is_server: bool) -> Input {
        Input {
            piece: None,
            at: 0,
            decoder: Decoder::new(limits, compresses),
            unmasker: is_server.then(Unmasker::default),
        }
    }

    /// Takes received bytes in; all before them are used up.
    #[inline]
    pub(super) fn put(&mut self, mut piece: Frame) {
        debug_assert!(self.piece.is_none(), "a piece is used up before the next is read");
        if let Some(unmasker) = &mut self.unmasker {
            let range = match piece.bytes_mut() {
                Some(bytes) => unmasker.unmask(bytes),
                // It came with the end of the handshake, or somebody holds a part of it.
                None => {
                    let mut copy = piece.to_vec();
                    let range = unmasker.unmask(&mut copy);
                    piece = Frame::from(copy);
                    range
                }
            };
            piece = piece.slice(range);
        }
        self.piece = Some(piece);
        self.at = 0;
    }

    /// The next thing of what was received. `joined` is called when it had to be put together.
    #[inline]
    pub(super) fn next(&mut self, joined: impl FnOnce()) -> Result<Option<Item>, ProtocolError> {
        let Some(piece) = &self.piece else { return self.check() };
        let step = self.decoder.decode(piece, &mut self.at)?;
        let item = match step {
            Step::More => {
                self.piece = None;
                return self.check();
            }
            Step::Message(Found { opcode, compressed, head, payload }) => {
                let payload = piece.part(payload.start, payload.len(), head, 0);
                Item::Message { opcode, compressed, payload }
            }
            Step::Joined(Joined { opcode, compressed, payload }) => {
                joined();
                Item::Message { opcode, compressed, payload: payload.into() }
            }
            Step::Ping(payload) => Item::Ping(payload),
            Step::Pong(payload) => Item::Pong(payload),
            Step::Close(close) => Item::Close(close),
        };
        if self.at == piece.len() {
            self.piece = None; // the block goes home with the last message in it
        }
        Ok(Some(item))
    }

    /// Bytes that have come of a message that is not whole.
    #[inline]
    pub(super) fn begun(&self) -> Option<usize> {
        self.decoder.begun()
    }

    /// Drops what was received, and finds nothing.
    pub(super) fn discard(&mut self) -> Option<Item> {
        self.piece = None;
        None
    }

    /// Everything was looked at.
    fn check(&self) -> Result<Option<Item>, ProtocolError> {
        match &self.unmasker {
            Some(unmasker) if unmasker.is_broken() => Err(ProtocolError::Unmasked),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::pool::Pool;

    const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 1000, fragments_max: 10 };

    fn texts(input: &mut Input) -> Vec<Frame> {
        let mut found = Vec::new();
        while let Some(item) = input.next(|| {}).expect("valid") {
            let Item::Message { payload, .. } = item else { panic!("a message") };
            found.push(payload);
        }
        found
    }

    const TWO: &[u8] = b"\x81\x82\x01\x01\x01\x01ih\x82\x81\x20\x20\x20\x20A";

    #[test]
    fn messages_lie_where_they_were_received_even_while_one_is_held() {
        let pool = Pool::new(2, 4096, 2);
        pool.provide();
        let mut input = Input::new(LIMITS, false, true);
        input.put(Frame::whole(pool.fill(TWO).expect("a block")));
        let found = texts(&mut input);
        assert_eq!((&found[0][..], &found[1][..]), (&b"hi"[..], &b"a"[..]));
        assert!(found[0].shares_with(&found[1]));
        assert_eq!(pool.lent(), 1);
        let mut echo = found[0].clone().into_encoded(b"\x81\x02", b"").expect("its head is there");
        let next = found[1].clone().into_encoded(b"\x82\x01", b"").expect("its head is there");
        assert!(echo.try_join(&next), "an echo of both is one piece");
        drop((found, echo, next));
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn a_piece_that_somebody_shares_is_copied() {
        let received = Frame::from(TWO.to_vec());
        let mut input = Input::new(LIMITS, false, true);
        input.put(received.slice(..));
        assert_eq!(&texts(&mut input)[0][..], b"hi");
        assert_eq!(&received[..], TWO, "nobody else sees a change");
    }

    #[test]
    fn an_empty_frame_without_a_mask_is_no_message_no_ping_and_no_close() {
        for frame in [b"\x81\x00", b"\x82\x00", b"\x89\x00", b"\x88\x00"] {
            let whole = Frame::from(frame.to_vec());
            let mut input = Input::new(LIMITS, false, true);
            input.put(whole.slice(..));
            assert_eq!(input.next(|| {}).expect_err("no mask"), ProtocolError::Unmasked);
            let mut input = Input::new(LIMITS, false, true);
            input.put(whole.slice(..1));
            assert!(input.next(|| {}).is_ok_and(|item| item.is_none()));
            input.put(whole.slice(1..));
            assert_eq!(input.next(|| {}).expect_err("no mask"), ProtocolError::Unmasked);
        }
    }

    #[test]
    fn what_came_before_a_frame_without_a_mask_is_read_first() {
        let mut input = Input::new(LIMITS, false, true);
        input.put(Frame::from([TWO, b"\x81\x01x"].concat()));
        for _ in 0..2 {
            assert!(matches!(input.next(|| {}), Ok(Some(Item::Message { .. }))));
        }
        for _ in 0..2 {
            assert_eq!(input.next(|| {}).expect_err("no mask"), ProtocolError::Unmasked);
        }
    }
}
