//! What a request carries: a sequence, its intended time, and a seeded pattern that fills the rest.
//!
//! ```text
//! raw, u16, u32   sequence (8, BE) | intended ns (8, BE) | pattern
//! line            sequence (16 hex) | intended ns (16 hex) | pattern of printable bytes
//! ```
//! The pattern begins at a place that depends on the sequence, so that a server which mixes up two
//! requests is found out even where only the fill was mixed up.

use crate::framing::Framing;
use crate::schedule::{Random, splitmix};

/// In how many places a pattern may begin.
const SHIFTS: usize = 256;

/// Printable bytes for line framing; 64, so that six random bits pick one.
const PRINTABLE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes requests and checks replies for one framing, size and seed.
#[derive(Clone, Debug)]
pub struct Payload {
    framing: Framing,
    payload_bytes: usize,
    head_bytes: usize,
    fill: Vec<u8>,
}

impl Payload {
    /// A writer of payloads of `payload_bytes`.
    ///
    /// # Errors
    /// A sentence when the framing cannot carry that size.
    pub fn new(framing: Framing, payload_bytes: usize, seed: u64) -> Result<Self, String> {
        framing.check_size(payload_bytes)?;
        let head_bytes = framing.payload_bytes_min();
        let mut random = Random::new(seed ^ 0x7061_796c_6f61_6421);
        let fill = (0..payload_bytes - head_bytes + SHIFTS)
            .map(|_| match framing {
                Framing::Line => PRINTABLE[random.below(PRINTABLE.len())],
                _ => random.next_u64() as u8,
            })
            .collect();
        Ok(Self { framing, payload_bytes, head_bytes, fill })
    }

    /// The framing around the payload.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes of a payload without its framing.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Bytes of a payload with its framing.
    pub fn frame_bytes(&self) -> usize {
        self.framing.frame_bytes(self.payload_bytes)
    }

    /// Appends a framed request to `out`; allocates nothing when `out` has room.
    #[inline]
    pub fn write(&self, sequence: u64, intended_ns: u64, out: &mut Vec<u8>) {
        self.framing.write_head(self.payload_bytes, out);
        let head = self.head(sequence, intended_ns);
        out.extend_from_slice(&head[..self.head_bytes]);
        out.extend_from_slice(self.fill(sequence));
        self.framing.write_tail(out);
    }

    /// Compares a whole payload with what was sent.
    ///
    /// # Errors
    /// The place of the first byte that differs, and both values.
    #[inline]
    pub fn check(&self, payload: &[u8], sequence: u64, intended_ns: u64) -> Result<(), Differs> {
        let head = self.head(sequence, intended_ns);
        let (got_head, got_fill) = payload.split_at(self.head_bytes.min(payload.len()));
        if got_head == &head[..self.head_bytes] && got_fill == self.fill(sequence) {
            return Ok(());
        }
        Err(self.find(payload, &head[..self.head_bytes], sequence))
    }

    fn head(&self, sequence: u64, intended_ns: u64) -> [u8; 32] {
        let mut head = [0; 32];
        if self.framing == Framing::Line {
            write_hex(sequence, &mut head[..16]);
            write_hex(intended_ns, &mut head[16..]);
        } else {
            head[..8].copy_from_slice(&sequence.to_be_bytes());
            head[8..16].copy_from_slice(&intended_ns.to_be_bytes());
        }
        head
    }

    fn fill(&self, sequence: u64) -> &[u8] {
        let shift = splitmix(sequence) as usize % SHIFTS;
        &self.fill[shift..shift + self.payload_bytes - self.head_bytes]
    }

    #[cold]
    fn find(&self, payload: &[u8], head: &[u8], sequence: u64) -> Differs {
        let wanted = head.iter().chain(self.fill(sequence));
        let different = payload.iter().zip(wanted).enumerate().find(|(_, (got, want))| got != want);
        match different {
            Some((at, (&got, &want))) => Differs { at, got, want },
            None => Differs { at: payload.len(), got: 0, want: 0 },
        }
    }
}

/// The first byte of a reply that is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Its place in the payload.
    pub at: usize,
    /// What came.
    pub got: u8,
    /// What was sent.
    pub want: u8,
}

fn write_hex(value: u64, out: &mut [u8]) {
    for (index, digit) in out.iter_mut().enumerate() {
        *digit = HEX[(value >> (60 - 4 * index)) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 4] = [Framing::Raw, Framing::U16, Framing::U32, Framing::Line];

    fn payload_of(framing: Framing, frame: &[u8], size: usize) -> &[u8] {
        match framing.reply(frame, size) {
            crate::framing::Reply::Whole { payload, .. } => &frame[payload],
            other => panic!("{framing:?}: {other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_recognised_at_every_size() {
        for framing in ALL {
            for size in [framing.payload_bytes_min(), 33, 64, 1000, 65_535] {
                let payload = Payload::new(framing, size, 9).expect("the size is allowed");
                let mut frame = Vec::new();
                payload.write(77, 123_456_789, &mut frame);
                assert_eq!(frame.len(), payload.frame_bytes());
                let got = payload_of(framing, &frame, size);
                assert_eq!(payload.check(got, 77, 123_456_789), Ok(()));
                assert!(payload.check(got, 78, 123_456_789).is_err(), "another sequence");
                assert!(payload.check(got, 77, 123_456_788).is_err(), "another time");
            }
        }
    }

    #[test]
    fn a_changed_byte_is_found_at_every_place() {
        for framing in ALL {
            let payload = Payload::new(framing, 64, 1).expect("64 is allowed");
            let mut frame = Vec::new();
            payload.write(5, 6, &mut frame);
            let good = payload_of(framing, &frame, 64).to_vec();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                let differs = payload.check(&bad, 5, 6).expect_err("a byte was changed");
                assert_eq!((differs.at, differs.got, differs.want), (at, bad[at], good[at]));
            }
        }
    }

    #[test]
    fn a_line_holds_no_line_feed_but_its_last() {
        let payload = Payload::new(Framing::Line, 4096, 1).expect("4096 is allowed");
        for sequence in 0..300 {
            let mut frame = Vec::new();
            payload.write(sequence, u64::MAX - sequence, &mut frame);
            assert_eq!(frame.iter().position(|&byte| byte == b'\n'), Some(4096));
        }
    }

    #[test]
    fn a_size_that_cannot_hold_the_head_is_refused() {
        for framing in ALL {
            assert!(Payload::new(framing, framing.payload_bytes_min() - 1, 1).is_err());
        }
    }

    #[test]
    fn another_seed_fills_otherwise() {
        let write = |seed| {
            let mut frame = Vec::new();
            Payload::new(Framing::U16, 64, seed).expect("64 is allowed").write(1, 2, &mut frame);
            frame
        };
        assert_eq!(write(1), write(1));
        assert_ne!(write(1), write(2));
    }
}
