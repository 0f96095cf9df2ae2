//! Every cut against a naive decoder that takes a byte at a time, and the limits.

use super::*;

const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 300, fragments_max: 6 };

/// What a decoder has found, without regard to where it lay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(OpCode, bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Close),
}

type Outcome = (Vec<Seen>, Option<ProtocolError>);

fn decode(pieces: &[&[u8]], compresses: bool) -> Outcome {
    let (mut decoder, mut seen) = (Decoder::new(LIMITS, compresses), Vec::new());
    for piece in pieces {
        let mut at = 0;
        loop {
            let step = match decoder.decode(piece, &mut at) {
                Ok(step) => step,
                Err(error) => return (seen, Some(error)),
            };
            seen.push(match step {
                Step::More => {
                    assert_eq!(at, piece.len(), "all of a piece is used up");
                    break;
                }
                Step::Message(found) => {
                    let payload = piece[found.payload].to_vec();
                    Seen::Message(found.opcode, found.compressed, payload)
                }
                Step::Joined(Joined { opcode, compressed, payload }) => {
                    Seen::Message(opcode, compressed, payload)
                }
                Step::Ping(payload) => Seen::Ping(payload.into()),
                Step::Pong(payload) => Seen::Pong(payload.into()),
                Step::Close(close) => Seen::Close(close),
            });
        }
    }
    (seen, None)
}

/// The RFC's rules, a byte at a time, on a copy of everything.
#[derive(Default)]
struct Naive {
    head: Vec<u8>,
    /// Opcode, whether it is the last, bytes to come, payload.
    frame: Option<(u8, bool, u64, Vec<u8>)>,
    message: Option<(u8, bool, Vec<u8>, u32)>,
    seen: Vec<Seen>,
}

impl Naive {
    fn run(bytes: &[u8], compresses: bool) -> Outcome {
        let mut naive = Naive::default();
        for &byte in bytes {
            if let Err(error) = naive.take(byte, compresses) {
                return (naive.seen, Some(error));
            }
        }
        (naive.seen, None)
    }

    fn take(&mut self, byte: u8, compresses: bool) -> Result<(), ProtocolError> {
        if let Some((_, _, left, payload)) = &mut self.frame {
            payload.push(byte);
            *left -= 1;
            return self.look();
        }
        self.head.push(byte);
        let head = &self.head;
        let (fin, rsv, opcode) = (head[0] >> 7 == 1, head[0] >> 4 & 7, head[0] & 15);
        if rsv & 3 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
            return Err(ProtocolError::ReservedOpCode);
        }
        if opcode >= 8 && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        if rsv == 4 && (opcode == 0 || opcode >= 8) {
            return Err(ProtocolError::ReservedBits);
        }
        let Some(&second) = head.get(1) else { return Ok(()) };
        let short = second & 0x7F;
        if opcode >= 8 && short > 125 {
            return Err(ProtocolError::ControlTooLong);
        }
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if head.len() < 2 + wide {
            return Ok(());
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
        let len = if wide == 0 { short.into() } else { number(&head[2..2 + wide]) };
        if wide == 2 && len < 126 || wide == 8 && len < 0x1_0000 {
            return Err(ProtocolError::LengthNotMinimal);
        }
        if len >> 63 == 1 {
            return Err(ProtocolError::LengthTooLarge);
        }
        if second & 0x80 != 0 {
            return if head.len() < 6 + wide { Ok(()) } else { Err(ProtocolError::Masked) };
        }
        self.head.clear();
        if rsv == 4 && !compresses {
            return Err(ProtocolError::ReservedBits);
        }
        if opcode < 8 {
            match (&mut self.message, opcode) {
                (None, 0) => return Err(ProtocolError::NothingToContinue),
                (Some(_), 1 | 2) => return Err(ProtocolError::MessageWithin),
                (None, _) => self.message = Some((opcode, rsv == 4, Vec::new(), 0)),
                _ => {}
            }
            let (_, _, payload, fragments) = self.message.as_mut().expect("begun");
            if payload.len() as u64 + len > LIMITS.message_bytes_max as u64 {
                return Err(ProtocolError::MessageTooLong);
            }
            *fragments += 1;
            if *fragments > LIMITS.fragments_max {
                return Err(ProtocolError::TooManyFragments);
            }
        }
        self.frame = Some((opcode, fin, len, Vec::new()));
        self.look()
    }

    /// After each byte of a payload, and before the first.
    fn look(&mut self) -> Result<(), ProtocolError> {
        let (opcode, fin, left, payload) = self.frame.clone().expect("there is one");
        if opcode < 8 {
            let (kind, compressed, all, _) = self.message.as_mut().expect("begun");
            let so_far = [&all[..], &payload].concat();
            let text = std::str::from_utf8(&so_far);
            let is_text = *kind == 1 && !*compressed;
            let is_whole = text.is_ok();
            if is_text && text.is_err_and(|error| error.error_len().is_some()) {
                return Err(ProtocolError::BadUtf8);
            }
            if left > 0 {
                return Ok(());
            }
            *all = so_far;
            if fin {
                if is_text && !is_whole {
                    return Err(ProtocolError::BadUtf8);
                }
                let (kind, compressed, all, _) = self.message.take().expect("begun");
                let kind = if kind == 1 { OpCode::Text } else { OpCode::Binary };
                self.seen.push(Seen::Message(kind, compressed, all));
            }
        } else if left > 0 {
            return Ok(());
        } else {
            self.seen.push(match opcode {
                9 => Seen::Ping(payload),
                10 => Seen::Pong(payload),
                _ => Seen::Close(Close::decode(&payload)?),
            });
        }
        self.frame = None;
        Ok(())
    }
}

/// Numbers by seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// Frames that are mostly right.
fn conversation(dice: &mut Dice) -> Vec<u8> {
    let (mut wire, mut open) = (Vec::new(), false);
    for _ in 0..1 + dice.roll(12) {
        let control = dice.roll(4) == 0;
        let opcode = match (control, open) {
            (true, _) => [OpCode::Ping, OpCode::Pong, OpCode::Close][dice.roll(3)],
            (false, true) => OpCode::Continuation,
            (false, false) => [OpCode::Text, OpCode::Binary][dice.roll(2)],
        };
        let fin = control || dice.roll(2) == 0;
        let len = [0, 1, 5, 60, 125, 126, 130][dice.roll(if control { 5 } else { 7 })];
        let mut payload: Vec<u8> = match opcode {
            OpCode::Close => [&[3, 232][..], &b"x".repeat(len.min(100))].concat(),
            _ => "k\u{f6}\u{20ac}\u{1f600}".bytes().cycle().take(len).collect(),
        };
        if dice.roll(3) > 0 && !control {
            // Cut where a character ends, so that most texts are whole.
            while std::str::from_utf8(&payload).is_err() {
                payload.pop();
            }
        }
        let first_of_two = !control && !open && dice.roll(4) == 0;
        let len = payload.len() as u64;
        let head = FrameHead { fin, rsv1: first_of_two, opcode, mask: None, len };
        let mut bytes = [0; FrameHead::BYTES_MAX];
        let encoded = head.encode(&mut bytes);
        wire.extend_from_slice(&bytes[..encoded]);
        wire.extend_from_slice(&payload);
        if !control {
            open = !fin;
        }
    }
    wire
}

fn compare(wire: &[u8], dice: &mut Dice, seed: u64) {
    for compresses in [false, true] {
        let expected = Naive::run(wire, compresses);
        assert_eq!(decode(&[wire], compresses), expected, "seed {seed}: whole: {wire:x?}");
        let alone: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(decode(&alone, compresses), expected, "seed {seed}: by bytes: {wire:x?}");
        for _ in 0..8 {
            let mut cuts: Vec<usize> =
                (0..dice.roll(5)).map(|_| dice.roll(wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]).collect();
            assert_eq!(decode(&pieces, compresses), expected, "seed {seed}: {cuts:?}: {wire:x?}");
        }
    }
}

#[test]
fn every_cut_is_decoded_as_by_a_naive_decoder_mutated_or_not() {
    for seed in 1..2500u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut wire = conversation(&mut dice);
        compare(&wire, &mut dice, seed);
        for _ in 0..1 + dice.roll(3) {
            let at = dice.roll(wire.len());
            wire[at] ^= 1 << dice.roll(8);
        }
        wire.truncate(wire.len() - dice.roll(3).min(wire.len()));
        compare(&wire, &mut dice, seed);
    }
}

#[test]
fn every_single_cut_of_a_conversation_is_the_same() {
    let wire = b"\x01\x03abc\x89\x02hi\x80\x02de\x82\x00\x8a\x01!\x02\x01x\x00\x01y\x80\x00\x88\x02\x03\xe8";
    let whole = decode(&[wire], false);
    assert_eq!((whole.0.len(), whole.1), (6, None));
    for first in 0..=wire.len() {
        for second in first..=wire.len() {
            let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
            assert_eq!(decode(&pieces, false), whole, "{first} {second}");
        }
    }
}

#[test]
fn the_longest_message_passes_and_one_byte_more_is_refused_at_its_head() {
    let head = |fin, opcode, len| {
        let mut bytes = [0; FrameHead::BYTES_MAX];
        let head = FrameHead { fin, rsv1: false, opcode, mask: None, len };
        let encoded = head.encode(&mut bytes);
        bytes[..encoded].to_vec()
    };
    let whole = [head(true, OpCode::Binary, 300), vec![7; 300]].concat();
    assert_eq!(decode(&[&whole], false).1, None);
    let refused = (Vec::new(), Some(ProtocolError::MessageTooLong));
    assert_eq!(decode(&[&head(true, OpCode::Binary, 301)], false), refused);
    assert_eq!(
        decode(&[&[head(true, OpCode::Binary, 301), vec![7; 301]].concat()], false),
        refused
    );
    let begun = [head(false, OpCode::Binary, 200), vec![7; 200]].concat();
    let last = [&begun[..], &head(true, OpCode::Continuation, 100), &[7; 100]].concat();
    assert_eq!(decode(&[&last], false).0.len(), 1);
    let over = [&begun[..], &head(false, OpCode::Continuation, 101)].concat();
    assert_eq!(decode(&[&over], false), refused);
    let huge = head(true, OpCode::Binary, u64::MAX >> 1);
    assert_eq!(decode(&[&huge], false), refused);
}

#[test]
fn the_last_fragment_passes_and_one_more_is_refused() {
    let fragments = |count: usize| {
        let mut wire = vec![0x01, 0x00];
        wire.extend([0x00, 0x00].repeat(count - 2));
        wire.extend([0x80, 0x01, b'x']);
        wire
    };
    assert_eq!(
        decode(&[&fragments(6)], false).0,
        [Seen::Message(OpCode::Text, false, b"x".into())]
    );
    assert_eq!(decode(&[&fragments(7)], false).1, Some(ProtocolError::TooManyFragments));
    let mut decoder = Decoder::new(DecoderLimits::default(), false);
    let many = fragments(65_536);
    assert!(matches!(decoder.decode(&many, &mut 0), Ok(Step::Joined(_))), "65,536 pass");
}
