//! Masks (RFC 6455, 5.3): put on, and taken off where the bytes lie.
//!
//! ```text
//!   received      [81 85 k k k k h e l l o][81 81 k k k k x]
//!   unmasked       .  .  .  .[81 05 H e l l o][81 01 X] .  .
//! ```
//! Four bytes of each frame are not needed any more. What is behind them closes up, and the first
//! head of a piece moves towards its payload instead, so that a message that came alone is not moved.

use std::ops::Range;

/// Bytes that are moved and unmasked at once.
const BLOCK: usize = 32;

/// Masks or unmasks `bytes`, which stand `offset` bytes behind the beginning of their payload.
///
/// ```
/// use skyring::wire::websocket::mask;
/// let mut bytes = *b"Hello";
/// mask(&mut bytes[..2], [1, 2, 3, 4], 0);
/// mask(&mut bytes[2..], [1, 2, 3, 4], 2);
/// let mut whole = *b"Hello";
/// mask(&mut whole, [1, 2, 3, 4], 0);
/// assert_eq!(bytes, whole);
/// ```
#[inline]
pub fn mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let key = turned(key, offset);
    let wide = widened(key);
    // The compiler makes vectors of it.
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word: [u8; 8] = (&*chunk).try_into().expect("eight bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key for bytes that stand `offset` bytes behind the beginning of their payload.
fn turned(mut key: [u8; 4], offset: usize) -> [u8; 4] {
    key.rotate_left(offset % 4);
    key
}

fn widened([a, b, c, d]: [u8; 4]) -> u64 {
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

/// Unmasks `len` bytes at `from`, and puts them at `to`, which is not behind that.
#[inline]
fn unmask_to(bytes: &mut [u8], from: usize, to: usize, len: usize, key: [u8; 4]) {
    if from == to {
        return mask(&mut bytes[from..from + len], key, 0);
    }
    let wide = widened(key);
    let mut done = 0;
    while len - done >= BLOCK {
        let block: &[u8; BLOCK] = bytes[from + done..].first_chunk().expect("a block is left");
        let mut block = *block;
        for chunk in block.chunks_exact_mut(8) {
            let word: [u8; 8] = (&*chunk).try_into().expect("eight bytes");
            chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
        }
        bytes[to + done..to + done + BLOCK].copy_from_slice(&block);
        done += BLOCK;
    }
    for at in done..len {
        bytes[to + at] = bytes[from + at] ^ key[at % 4];
    }
}

/// Takes the masks out of what a client sends, piece by piece: from then on it is what a server
/// sends. A frame without a mask ends it.
#[derive(Clone, Debug, Default)]
pub struct Unmasker {
    /// Bytes of the payload that are to come.
    left: u64,
    /// Turned to the next byte.
    key: [u8; 4],
    /// The beginning of a head, as it came.
    head: [u8; 13],
    head_len: u8,
    broken: bool,
}

impl Unmasker {
    /// Unmasks the next piece where it lies; the place of what is left of it.
    #[inline]
    pub fn unmask(&mut self, bytes: &mut [u8]) -> Range<usize> {
        let (mut start, mut at, mut out) = (0, 0, 0);
        while at < bytes.len() && !self.broken {
            if self.left > 0 {
                let rest = bytes.len() - at;
                let len = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                unmask_to(bytes, at, out, len, self.key);
                self.key = turned(self.key, len);
                self.left -= len as u64;
                (at, out) = (at + len, out + len);
                continue;
            }
            let Some((encoded, len)) = self.whole_head(&bytes[at..]) else {
                if let Some(plain) = self.take_head_byte(bytes[at]) {
                    bytes[out] = plain;
                    out += 1;
                }
                at += 1;
                continue;
            };
            let plain = encoded - 4;
            self.left = len;
            self.key = *bytes[at + plain..].first_chunk().expect("the head is whole");
            bytes[at + 1] &= 0x7F;
            if at == 0 {
                // The first of the piece: the head moves instead of the payload.
                bytes.copy_within(..plain, 4);
                (start, out) = (4, encoded);
            } else {
                bytes.copy_within(at..at + plain, out);
                out += plain;
            }
            at += encoded;
        }
        start..out
    }

    /// Length of the head at the front, and of its payload, if it is whole and its frame masked.
    #[inline]
    fn whole_head(&self, bytes: &[u8]) -> Option<(usize, u64)> {
        let second = *bytes.get(1)?;
        if self.head_len > 0 || second & 0x80 == 0 {
            return None;
        }
        let (encoded, len) = match second & 0x7F {
            126 => (8, u16::from_be_bytes(*bytes[2..].first_chunk()?).into()),
            127 => (14, u64::from_be_bytes(*bytes[2..].first_chunk()?)),
            len => (6, len.into()),
        };
        (bytes.len() >= encoded).then_some((encoded, len))
    }

    /// Takes a byte of a head that is cut, or has no mask. What stays of it.
    #[cold]
    fn take_head_byte(&mut self, byte: u8) -> Option<u8> {
        let at = usize::from(self.head_len);
        if at == 1 && byte & 0x80 == 0 {
            // Its second byte is kept back: with it an empty frame would be whole, and count.
            self.broken = true;
            return None;
        }
        let plain = match self.head[1] & 0x7F {
            _ if at < 2 => 2,
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if at < plain + 3 || at < 2 {
            self.head[at] = byte;
            self.head_len += 1;
            return (at < plain).then_some(if at == 1 { byte & 0x7F } else { byte });
        }
        self.key = [self.head[at - 3], self.head[at - 2], self.head[at - 1], byte];
        self.left = match plain {
            2 => (self.head[1] & 0x7F).into(),
            4 => u16::from_be_bytes([self.head[2], self.head[3]]).into(),
            _ => u64::from_be_bytes(*self.head[2..].first_chunk().expect("ten bytes")),
        };
        self.head_len = 0;
        None
    }

    /// Whether a frame had no mask; nothing from its second byte on means anything.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::{FrameHead, OpCode};

    /// Frames of these lengths: as a client sends them, and as a server does.
    fn frames(lens: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let (mut masked, mut plain) = (Vec::new(), Vec::new());
        for (n, &len) in lens.iter().enumerate() {
            let key = [n as u8, 0x5A, 0xC3, len as u8];
            let payload: Vec<u8> = (0..len).map(|at| (at * 7 + n) as u8).collect();
            let head = FrameHead {
                fin: n % 2 == 0,
                rsv1: false,
                opcode: OpCode::Binary,
                mask: Some(key),
                len: len as u64,
            };
            let mut bytes = [0; FrameHead::BYTES_MAX];
            let encoded = head.encode(&mut bytes);
            masked.extend_from_slice(&bytes[..encoded]);
            masked.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            let encoded = FrameHead { mask: None, ..head }.encode(&mut bytes);
            plain.extend_from_slice(&bytes[..encoded]);
            plain.extend_from_slice(&payload);
        }
        (masked, plain)
    }

    fn unmask(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut unmasker, mut out) = (Unmasker::default(), Vec::new());
        for piece in pieces {
            let mut piece = piece.to_vec();
            let range = unmasker.unmask(&mut piece);
            out.extend_from_slice(&piece[range]);
        }
        assert!(!unmasker.is_broken());
        out
    }

    #[test]
    fn every_offset_and_length_is_masked_as_byte_by_byte() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        for len in 0..70 {
            for offset in 0..9 {
                let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let mut masked = bytes.clone();
                mask(&mut masked, key, offset);
                let naive = bytes.iter().enumerate().map(|(at, b)| b ^ key[(at + offset) % 4]);
                assert!(naive.eq(masked), "{len} bytes at {offset}");
            }
        }
    }

    #[test]
    fn every_cut_of_masked_frames_is_unmasked_as_the_whole() {
        let (masked, plain) = frames(&[5, 0, 1, 33, 200, 0, 125, 126, 64]);
        for first in 0..=masked.len() {
            for second in (first..=masked.len()).step_by(1 + first % 5) {
                let pieces = [&masked[..first], &masked[first..second], &masked[second..]];
                assert!(unmask(&pieces) == plain, "cut at {first} and {second}");
            }
        }
        let alone: Vec<&[u8]> = masked.chunks(1).collect();
        assert!(unmask(&alone) == plain);
        let (masked, plain) = frames(&[70_000, 3, 40_000]);
        for size in [1, 7, 13, 4096, 65_536, 1 << 20] {
            let pieces: Vec<&[u8]> = masked.chunks(size).collect();
            assert!(unmask(&pieces) == plain, "pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_came_alone_stays_where_it_is() {
        let (mut masked, plain) = frames(&[16_384]);
        let range = Unmasker::default().unmask(&mut masked);
        assert_eq!(range, 4..masked.len());
        assert!(masked[range] == plain);
    }

    #[test]
    fn a_frame_without_a_mask_ends_it_and_what_was_before_stays() {
        let (masked, plain) = frames(&[3]);
        let wire = [&masked[..], b"\x82\x03abc"].concat();
        for cut in 0..=wire.len() {
            let (mut unmasker, mut out) = (Unmasker::default(), Vec::new());
            for piece in [&wire[..cut], &wire[cut..]] {
                let mut piece = piece.to_vec();
                let range = unmasker.unmask(&mut piece);
                out.extend_from_slice(&piece[range]);
            }
            assert!(unmasker.is_broken());
            assert_eq!(out, [&plain[..], b"\x82"].concat(), "cut at {cut}");
        }
    }
}
