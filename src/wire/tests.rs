//! The codecs together: every cut of the input, round trips, and mutated input.

use super::*;

const ALL: [Framing; 5] = [
    Framing::Raw,
    Framing::Length(LengthPrefix::U16),
    Framing::Length(LengthPrefix::U32),
    Framing::Length(LengthPrefix::Varint),
    Framing::Line,
];
/// The framings that keep the boundaries of what was sent.
const FRAMED: [Framing; 4] = [ALL[1], ALL[2], ALL[3], ALL[4]];

/// SplitMix64 (Steele, Lea and Flood 2014): enough for tests, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A receiver that gets its input in pieces and keeps what is left over.
struct Receiver {
    framing: Framing,
    max: usize,
    held: Vec<u8>,
    scanned: usize,
    frames: Vec<Vec<u8>>,
}

impl Receiver {
    fn new(framing: Framing, max: usize) -> Receiver {
        Receiver { framing, max, held: Vec::new(), scanned: 0, frames: Vec::new() }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.held.extend_from_slice(bytes);
        loop {
            match self.framing.decode(&self.held, &mut self.scanned, self.max)? {
                Step::Frame(found) => {
                    assert!(found.encoded() <= self.held.len(), "inside the bytes: {found:?}");
                    assert!(found.encoded() > 0, "a frame consumes something");
                    assert!(found.payload <= self.max);
                    assert_eq!(self.scanned, 0);
                    self.frames.push(self.held[found.range()].to_vec());
                    self.held.drain(..found.encoded());
                }
                Step::Partial { needed } => {
                    assert!(needed > self.held.len(), "{needed} of {}", self.held.len());
                    assert!(needed <= self.max + 5, "a buffer of this size holds the frame");
                    assert!(self.scanned <= self.held.len());
                    return Ok(());
                }
            }
        }
    }
}

fn encoded(framing: Framing, payloads: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in payloads {
        let envelope = framing.encode(payload).expect("short payloads without separators");
        out.extend_from_slice(envelope.head());
        out.extend_from_slice(payload);
        out.extend_from_slice(envelope.tail());
    }
    out
}

const PAYLOADS: [&[u8]; 7] = [b"one", b"", b"", b"a\rb", b"fourth frame", b"x", b""];

#[test]
fn every_cut_of_the_input_gives_the_same_frames() {
    for framing in FRAMED {
        let bytes = encoded(framing, &PAYLOADS);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut receiver = Receiver::new(framing, 12);
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    receiver.receive(piece).expect("all within the cap");
                }
                assert_eq!(receiver.frames, PAYLOADS, "{framing} cut at {first} and {second}");
                assert!(receiver.held.is_empty());
            }
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same_frames_and_crlf_the_same_lines() {
    for framing in FRAMED {
        let mut receiver = Receiver::new(framing, 12);
        for byte in encoded(framing, &PAYLOADS) {
            receiver.receive(&[byte]).expect("all within the cap");
        }
        assert_eq!(receiver.frames, PAYLOADS, "{framing}");
    }
    let mut receiver = Receiver::new(Framing::Line, 12);
    for byte in b"one\r\n\r\n\na\rb\r\nfourth frame\r\nx\n\r\n" {
        receiver.receive(&[*byte]).expect("all within the cap");
    }
    assert_eq!(receiver.frames, PAYLOADS);
}

#[test]
fn every_cut_refuses_the_same_overlong_frame_after_the_same_good_ones() {
    for framing in FRAMED {
        let bytes = encoded(framing, &[b"good", b"this one is too long", b"never seen"]);
        for cut in 0..=bytes.len() {
            let mut receiver = Receiver::new(framing, 19);
            let first = receiver.receive(&bytes[..cut]);
            let error = first.and_then(|()| receiver.receive(&bytes[cut..])).expect_err("20 > 19");
            let expected = match framing {
                Framing::Line => FrameError::LineTooLong { max: 19 },
                _ => FrameError::TooLong { len: 20, max: 19 },
            };
            assert_eq!((error, receiver.frames.len()), (expected, 1), "{framing} cut at {cut}");
        }
    }
}

#[test]
fn raw_hands_on_what_is_there_in_pieces_of_at_most_the_cap() {
    let mut receiver = Receiver::new(Framing::Raw, 4);
    receiver.receive(b"").expect("nothing");
    receiver.receive(b"abcdefghi").expect("raw refuses nothing");
    assert_eq!(receiver.frames, [b"abcd".as_slice(), b"efgh", b"i"]);
    let found = Found { head: 0, payload: 1, tail: 0 };
    assert_eq!(Framing::Raw.decode(b"ab", &mut 0, 0), Ok(Step::Frame(found)));
    let envelope = Framing::Raw.encode(b"x").expect("no length is written");
    assert_eq!((envelope.head(), envelope.tail()), (b"".as_slice(), b"".as_slice()));
}

#[test]
fn mutated_input_never_panics_and_cuts_do_not_change_its_meaning() {
    let seed = 0x5EED_0001;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for round in 0..20_000 {
        let framing = ALL[random.below(ALL.len())];
        // Raw hands on at least a byte, so a cap of 0 says nothing there.
        let max = random.below(40).max(usize::from(framing == Framing::Raw));
        let mut bytes = encoded(framing, &PAYLOADS);
        for _ in 0..random.below(6) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at + 1),
                _ => bytes.insert(at, b"\r\n\0\xff"[random.below(4)]),
            }
        }
        let mut whole = Receiver::new(framing, max);
        let outcome = whole.receive(&bytes);
        if framing == Framing::Raw {
            assert_eq!(outcome, Ok(()));
            continue;
        }
        let mut cut = Receiver::new(framing, max);
        let mut rest = bytes.as_slice();
        let mut cut_outcome = Ok(());
        while cut_outcome.is_ok() && !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len()));
            cut_outcome = cut.receive(piece);
            rest = after;
        }
        assert_eq!(cut_outcome, outcome, "round {round}: {framing}, cap {max}, {bytes:?}");
        assert_eq!(cut.frames, whole.frames, "round {round}: {framing}, cap {max}, {bytes:?}");
    }
}

#[test]
fn framings_are_read_and_shown_as_the_same_words() {
    for framing in ALL {
        assert_eq!(framing.to_string().parse(), Ok(framing));
    }
    assert_eq!(Framing::from(LengthPrefix::U32).to_string(), "u32");
    assert_eq!(format!("{:>6}", Framing::Line), "  line");
    let error = "U16".parse::<Framing>().expect_err("case counts");
    let expected = "\"U16\" is no framing: use raw, u16, u32, varint, line or fixed:64";
    assert_eq!(error.to_string(), expected);
    assert!("fixed:0".parse::<Framing>().is_err() && "fixed:".parse::<Framing>().is_err());
    let fixed: Framing = "fixed:3".parse().expect("a framing");
    assert_eq!(
        (fixed.to_string(), fixed),
        ("fixed:3".into(), Framing::Fixed(3.try_into().expect("not 0")))
    );
}

#[test]
fn errors_say_what_happened_in_words() {
    let words = [
        (
            FrameError::TooLong { len: 70_000, max: 65_535 },
            "a frame of 70000 bytes is over the cap of 65535",
        ),
        (FrameError::LineTooLong { max: 9 }, "a line did not end within the cap of 9 bytes"),
        (
            FrameError::HoldsSeparator { at: 3 },
            "a line cannot hold a line feed, and byte 3 of the payload is one",
        ),
    ];
    for (error, text) in words {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn fixed_frames_have_their_size_and_no_other() {
    let fixed = Framing::Fixed(3.try_into().expect("not 0"));
    let decode = |bytes: &[u8], max| fixed.decode(bytes, &mut 0, max);
    assert_eq!(decode(b"ab", 3), Ok(Step::Partial { needed: 3 }));
    let found = Found { head: 0, payload: 3, tail: 0 };
    assert_eq!(decode(b"abc", 3), Ok(Step::Frame(found)));
    assert_eq!(decode(b"abcd", 3), Ok(Step::Frame(found)));
    assert_eq!(decode(b"abc", 2), Err(FrameError::TooLong { len: 3, max: 2 }));
    assert_eq!(fixed.continues(1, 3, b"bcde"), 2);
    assert!(fixed.encode(b"abc").is_ok());
    for len in [0, 2, 4] {
        assert_eq!(fixed.encode(&b"abcd"[..len]), Err(FrameError::NotFixed { len, size: 3 }));
    }
}
