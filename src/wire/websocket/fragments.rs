//! A message that goes in pieces: which head each fragment has (RFC 6455, 5.4; RFC 7692, 6.1).

use super::head::{FrameHead, OpCode};

/// The heads of a message that is sent piece by piece. The first says what the message is, the last
/// that it ends; control frames may go between any two.
///
/// ```
/// use skyring::wire::websocket::{Fragments, FrameHead, OpCode};
///
/// let mut fragments = Fragments::new(OpCode::Text, false);
/// let mut wire = Vec::new();
/// for (piece, fin) in [("Hel", false), ("lo", false), ("", true)] {
///     let head = fragments.next(fin, piece.len() as u64);
///     let mut bytes = [0; FrameHead::BYTES_MAX];
///     let encoded = head.encode(&mut bytes);
///     wire.extend_from_slice(&bytes[..encoded]);
///     wire.extend_from_slice(piece.as_bytes());
/// }
/// assert_eq!(wire, b"\x01\x03Hel\x00\x02lo\x80\x00");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragments {
    opcode: OpCode,
    compressed: bool,
    begun: bool,
}

impl Fragments {
    /// A message of which nothing is sent. `compressed`: the payloads of its fragments together are
    /// what [`Deflater`](super::Deflater) made of it.
    ///
    /// # Panics
    /// When `opcode` is neither text nor binary.
    pub fn new(opcode: OpCode, compressed: bool) -> Fragments {
        let is_message = matches!(opcode, OpCode::Text | OpCode::Binary);
        assert!(is_message, "a message is a text or binary, not {opcode:?}");
        Fragments { opcode, compressed, begun: false }
    }

    /// The head of the next fragment, without a mask. `fin`: it is the last.
    pub fn next(&mut self, fin: bool, len: u64) -> FrameHead {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let opcode = if is_first { self.opcode } else { OpCode::Continuation };
        FrameHead { fin, rsv1: is_first && self.compressed, opcode, mask: None, len }
    }

    /// Whether there was a fragment: then the peer waits for the last.
    pub fn has_begun(&self) -> bool {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, DecoderLimits, Step};
    use super::*;

    /// What is sent of a message in `pieces`, and an empty end.
    fn sent(mut fragments: Fragments, pieces: &[&[u8]], between: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (at, piece) in pieces.iter().chain([&&b""[..]]).enumerate() {
            let mut bytes = [0; FrameHead::BYTES_MAX];
            let encoded = fragments.next(at == pieces.len(), piece.len() as u64).encode(&mut bytes);
            wire.extend_from_slice(&bytes[..encoded]);
            wire.extend_from_slice(piece);
            if at < pieces.len() {
                wire.extend_from_slice(between);
            }
        }
        wire
    }

    #[test]
    fn what_goes_in_fragments_arrives_whole_with_control_frames_between() {
        let long = vec![b'x'; 70_000];
        let messages: [&[&[u8]]; 4] = [&[], &[b"a"], &[b"ab", b"c", &long], &[&long, b"", b"d"]];
        for pieces in messages {
            let whole = pieces.concat();
            let wire = sent(Fragments::new(OpCode::Binary, false), pieces, b"\x89\x01p");
            let (mut decoder, mut at) = (Decoder::new(DecoderLimits::default(), false), 0);
            for _ in pieces {
                let step = decoder.decode(&wire, &mut at).expect("valid");
                assert_eq!(step, Step::Ping(Box::from(&b"p"[..])));
            }
            let payload = match decoder.decode(&wire, &mut at).expect("valid") {
                Step::Joined(joined) => joined.payload,
                Step::Message(found) => wire[found.payload].to_vec(),
                step => panic!("{step:?}"),
            };
            assert!(payload == whole && at == wire.len());
        }
    }

    #[test]
    fn only_the_first_says_that_it_is_compressed() {
        let mut fragments = Fragments::new(OpCode::Text, true);
        assert!(!fragments.has_begun());
        let first = fragments.next(false, 1);
        assert!(first.rsv1 && first.opcode == OpCode::Text && fragments.has_begun());
        let last = fragments.next(true, 1);
        assert!(!last.rsv1 && last.opcode == OpCode::Continuation && last.fin);
        let only = Fragments::new(OpCode::Text, true).next(true, 1);
        assert!(only.rsv1 && only.fin && only.opcode == OpCode::Text);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn what_is_compressed_in_pieces_is_one_message() {
        use super::super::{Deflater, Inflater};
        let pieces = ["the quick brown fox ".repeat(500), "x".into(), "the quick ".repeat(9)];
        for forgets in [false, true] {
            let (mut deflater, mut inflater) =
                (Deflater::new(6, 15, forgets), Inflater::new(forgets));
            for count in [0, 1, 2, 3, 0, 3] {
                let mut wire = Vec::new();
                for piece in &pieces[..count] {
                    wire.extend_from_slice(&deflater.deflate_piece(piece.as_bytes()));
                }
                wire.extend_from_slice(deflater.end_pieces());
                let whole = pieces[..count].concat().into_bytes();
                assert!(inflater.inflate(&wire, whole.len()) == Ok(whole), "{forgets} {count}");
                let next = deflater.deflate(b"the quick");
                assert_eq!(inflater.inflate(&next, 9).as_deref(), Ok(&b"the quick"[..]));
            }
        }
    }
}
