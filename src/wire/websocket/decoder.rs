//! Frames found and messages put together (RFC 6455, 5.4).
//!
//! ```text
//!   a message that lies whole in a piece ──────────────────▶ Step::Message, its place
//!   fragments, and what spans pieces ─▶ Assembly, on the heap ─▶ Step::Joined, its bytes
//!   control frames, between fragments too ─────────────────▶ Step::Ping, Pong, Close
//! ```

use std::ops::Range;

use super::close::Close;
use super::error::ProtocolError;
use super::head::{FrameHead, OpCode};
use super::utf8::Utf8;

/// Room that is made at once for a message that spans pieces; more only as it comes.
const ROOM_BYTES_MAX: usize = 64 * 1024;

/// The limits of what is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Bytes of a message, as they come; refused with 1009 when a head announces more.
    pub message_bytes_max: usize,
    /// Frames of a message; refused with 1009.
    pub fragments_max: u32,
}

impl Default for DecoderLimits {
    /// 1 MiB, 128 Ki frames.
    fn default() -> DecoderLimits {
        DecoderLimits { message_bytes_max: 1 << 20, fragments_max: 1 << 17 }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All bytes were used up, and more are needed.
    More,
    /// A message that lies whole in these bytes.
    Message(Found),
    /// A message that was put together.
    Joined(Joined),
    /// To be answered by a pong with the same payload.
    Ping(Small),
    /// The payload of a ping comes back, or something that nobody asked for.
    Pong(Small),
    /// The peer sends nothing more.
    Close(Close),
}

/// The payload of a control frame, of at most 125 bytes.
pub type Small = Box<[u8]>;

/// A message where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Text or binary. A text that is not compressed is UTF-8.
    pub opcode: OpCode,
    /// It is to be decompressed.
    pub compressed: bool,
    /// Bytes of its head, just before the payload; 0 when that came in an earlier piece.
    pub head: usize,
    /// Where it lies.
    pub payload: Range<usize>,
}

/// A message that was put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Text or binary. A text that is not compressed is UTF-8.
    pub opcode: OpCode,
    /// It is to be decompressed.
    pub compressed: bool,
    /// All of it.
    pub payload: Vec<u8>,
}

/// Finds the messages in a stream of frames without masks.
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    /// Messages may be compressed.
    compresses: bool,
    /// The beginning of a head.
    head: [u8; FrameHead::BYTES_MAX],
    head_len: u8,
    /// The frame whose payload is not whole: bytes that are to come.
    left: u64,
    frame: Option<Current>,
    message: Option<Box<Assembly>>,
    /// The beginning of a control frame's payload.
    control: Vec<u8>,
}

/// A frame whose payload is not whole.
#[derive(Clone, Copy, Debug)]
struct Current {
    opcode: OpCode,
    fin: bool,
}

#[derive(Debug)]
struct Assembly {
    opcode: OpCode,
    compressed: bool,
    fragments: u32,
    utf8: Utf8,
    payload: Vec<u8>,
}

impl Decoder {
    /// A decoder at the beginning of a stream. `compresses`: permessage-deflate was agreed on.
    pub fn new(limits: DecoderLimits, compresses: bool) -> Decoder {
        Decoder {
            limits,
            compresses,
            head: [0; FrameHead::BYTES_MAX],
            head_len: 0,
            left: 0,
            frame: None,
            message: None,
            control: Vec::new(),
        }
    }

    /// Looks on in `bytes` from `at`, which it moves on. After [`Step::More`] `at` is the end, and
    /// the next piece is wanted.
    ///
    /// # Errors
    /// [`ProtocolError`]: nothing behind it means anything.
    #[inline]
    pub fn decode(&mut self, bytes: &[u8], at: &mut usize) -> Result<Step, ProtocolError> {
        loop {
            if let Some(current) = self.frame {
                if let Some(step) = self.go_on(current, bytes, at)? {
                    return Ok(step);
                }
                if self.frame.is_some() {
                    return Ok(Step::More);
                }
                continue;
            }
            let Some((head, encoded)) = self.find_head(bytes, at)? else { return Ok(Step::More) };
            if head.mask.is_some() {
                return Err(ProtocolError::Masked);
            }
            if head.rsv1 && !self.compresses {
                return Err(ProtocolError::ReservedBits);
            }
            let there = bytes.len() - *at;
            let whole = head.len <= there as u64;
            if whole && head.fin && !head.opcode.is_control() && self.message.is_none() {
                return self.found(&head, encoded, bytes, at).map(Step::Message);
            }
            self.begin(&head)?;
        }
    }

    /// How many bytes have come of a message that has begun and is not whole; `Some(0)` also amid a
    /// head or a control frame. Whoever waits for the rest may bound the time of that.
    #[inline]
    pub fn begun(&self) -> Option<usize> {
        match &self.message {
            Some(message) => Some(message.payload.len()),
            None => (self.frame.is_some() || self.head_len > 0).then_some(0),
        }
    }

    /// The next head. `at` is behind it then; its length is 0 if it began in an earlier piece.
    #[inline]
    fn find_head(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
    ) -> Result<Option<(FrameHead, usize)>, ProtocolError> {
        if self.head_len == 0 {
            let rest = &bytes[*at..];
            if let Some((head, encoded)) = FrameHead::decode(rest)? {
                *at += encoded;
                return Ok(Some((head, encoded)));
            }
            self.head[..rest.len()].copy_from_slice(rest);
            self.head_len = rest.len() as u8;
            *at = bytes.len();
            return Ok(None);
        }
        while let Some(&byte) = bytes.get(*at) {
            *at += 1;
            self.head[usize::from(self.head_len)] = byte;
            self.head_len += 1;
            if let Some((head, _)) = FrameHead::decode(&self.head[..self.head_len.into()])? {
                self.head_len = 0;
                return Ok(Some((head, 0)));
            }
        }
        Ok(None)
    }

    /// A message of one frame that lies here whole.
    #[inline]
    fn found(
        &mut self,
        head: &FrameHead,
        encoded: usize,
        bytes: &[u8],
        at: &mut usize,
    ) -> Result<Found, ProtocolError> {
        if head.opcode == OpCode::Continuation {
            return Err(ProtocolError::NothingToContinue);
        }
        let len = head.len as usize;
        if len > self.limits.message_bytes_max {
            return Err(ProtocolError::MessageTooLong);
        }
        let payload = *at..*at + len;
        *at = payload.end;
        if head.opcode == OpCode::Text
            && !head.rsv1
            && simdutf8::basic::from_utf8(&bytes[payload.clone()]).is_err()
        {
            return Err(ProtocolError::BadUtf8);
        }
        Ok(Found { opcode: head.opcode, compressed: head.rsv1, head: encoded, payload })
    }

    /// A frame begins whose payload is joined with others, or is a control frame's.
    fn begin(&mut self, head: &FrameHead) -> Result<(), ProtocolError> {
        self.left = head.len;
        self.frame = Some(Current { opcode: head.opcode, fin: head.fin });
        if head.opcode.is_control() {
            return Ok(());
        }
        match (&self.message, head.opcode) {
            (None, OpCode::Continuation) => return Err(ProtocolError::NothingToContinue),
            (Some(_), OpCode::Text | OpCode::Binary) => return Err(ProtocolError::MessageWithin),
            _ => {}
        }
        let message = self.message.get_or_insert_with(|| {
            Box::new(Assembly {
                opcode: head.opcode,
                compressed: head.rsv1,
                fragments: 0,
                utf8: Utf8::default(),
                payload: Vec::new(),
            })
        });
        let room = self.limits.message_bytes_max.saturating_sub(message.payload.len());
        if head.len > room as u64 {
            return Err(ProtocolError::MessageTooLong);
        }
        message.fragments += 1;
        if message.fragments > self.limits.fragments_max {
            return Err(ProtocolError::TooManyFragments);
        }
        message.payload.reserve((head.len as usize).min(ROOM_BYTES_MAX));
        Ok(())
    }

    /// Takes what is there of the payload of a frame.
    fn go_on(
        &mut self,
        current: Current,
        bytes: &[u8],
        at: &mut usize,
    ) -> Result<Option<Step>, ProtocolError> {
        let there = bytes.len() - *at;
        let len = usize::try_from(self.left).map_or(there, |left| left.min(there));
        let piece = &bytes[*at..*at + len];
        *at += len;
        self.left -= len as u64;
        let is_whole = self.left == 0;
        if is_whole {
            self.frame = None;
        }
        if current.opcode.is_control() {
            return self.control(current.opcode, piece, is_whole);
        }
        let message = self.message.as_mut().expect("it has begun");
        let is_text = message.opcode == OpCode::Text && !message.compressed;
        if is_text {
            message.utf8.push(piece)?;
        }
        message.payload.extend_from_slice(piece);
        if !is_whole || !current.fin {
            return Ok(None);
        }
        if !message.utf8.is_whole() {
            return Err(ProtocolError::BadUtf8);
        }
        let Assembly { opcode, compressed, payload, .. } =
            *self.message.take().expect("looked at above");
        Ok(Some(Step::Joined(Joined { opcode, compressed, payload })))
    }

    fn control(
        &mut self,
        opcode: OpCode,
        piece: &[u8],
        is_whole: bool,
    ) -> Result<Option<Step>, ProtocolError> {
        self.control.extend_from_slice(piece);
        if !is_whole {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.control).into_boxed_slice();
        Ok(Some(match opcode {
            OpCode::Ping => Step::Ping(payload),
            OpCode::Pong => Step::Pong(payload),
            _ => Step::Close(Close::decode(&payload)?),
        }))
    }
}

#[cfg(test)]
mod tests;
