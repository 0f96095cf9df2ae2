//! Codecs of a user's own, and the check of what they answer.
//!
//! A codec is asked about bytes of a peer, so a mistake in it is a peer's to find. Its answers are
//! looked at once, here; behind this file a custom framing is as good as a built-in one.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::{Envelope, Found, FrameError, Framing, Step};
use crate::guard::caught;

/// The longest encoding before a payload, and the longest behind it, that a codec may find: a
/// header of a few lines. With the frame cap it bounds what is held of a frame that is not whole.
pub const ENCODING_BYTES_MAX: usize = 255;

/// A framing of one's own: a pure function of bytes, without state, the same for all connections of
/// all cores.
///
/// It takes bytes and returns lengths; what lies where it says is never copied for it. Make it a
/// `static` or a constant, and use it wherever a framing is taken: `Gate::framed(&Netstring)`.
///
/// ```
/// use skyring::wire::{Codec, Envelope, Found, FrameError, Framing, Step};
///
/// /// `5:hello,` (<https://cr.yp.to/proto/netstrings.txt>).
/// struct Netstring;
///
/// impl Codec for Netstring {
///     fn name(&self) -> &'static str {
///         "netstring"
///     }
///
///     fn decode(&self, bytes: &[u8], _: &mut usize, max: usize) -> Result<Step, FrameError> {
///         let digits = bytes.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
///         match bytes.get(digits) {
///             None => return Ok(Step::Partial { needed: digits + 1 }),
///             Some(b':') if (1..=10).contains(&digits) => {}
///             Some(_) => return Err(FrameError::Malformed("no length before a netstring")),
///         }
///         let number = std::str::from_utf8(&bytes[..digits]).expect("digits are text");
///         let payload = number.parse().unwrap_or(usize::MAX);
///         if payload > max {
///             return Err(FrameError::TooLong { len: payload, max });
///         }
///         let found = Found { head: digits + 1, payload, tail: 1 };
///         match bytes.get(found.encoded() - 1) {
///             None => Ok(Step::Partial { needed: found.encoded() }),
///             Some(b',') => Ok(Step::Frame(found)),
///             Some(_) => Err(FrameError::Malformed("no comma behind a netstring")),
///         }
///     }
///
///     fn encode(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
///         Ok(Envelope::new(format!("{}:", payload.len()).as_bytes(), b","))
///     }
/// }
///
/// let framing = Framing::from(&Netstring);
/// let found = Found { head: 2, payload: 5, tail: 1 };
/// assert_eq!(framing.decode(b"5:hello,3:", &mut 0, 1024)?, Step::Frame(found));
/// assert_eq!(framing.encode(b"hello")?.head(), b"5:");
/// # Ok::<(), FrameError>(())
/// ```
pub trait Codec: Sync + 'static {
    /// What it is called in messages. Two codecs of one name count as the same framing.
    fn name(&self) -> &'static str;

    /// Looks for one frame at the front of `bytes`, which hold at least one byte. Asked again from
    /// the beginning of the frame when more bytes are there.
    ///
    /// `scanned` is 0 at the first call for a frame and the codec's own from then on: how much was
    /// searched in vain, so that a separator is not sought again in the same bytes. Leave it alone
    /// if that is not your concern. `frame_bytes_max` bounds the payload, inclusive: refuse a longer
    /// one ([`FrameError::TooLong`]) as soon as its length is known.
    ///
    /// [`Step::Partial`] says how many bytes the frame has at the least, which must be more than
    /// there are. A good guess saves calls; `bytes.len() + 1` is always right. The head and the tail
    /// of a frame have at most [`ENCODING_BYTES_MAX`] bytes each.
    ///
    /// # Errors
    /// The peer broke the framing: [`FrameError::Malformed`] says how. The connection is read no
    /// further.
    fn decode(
        &self,
        bytes: &[u8],
        scanned: &mut usize,
        frame_bytes_max: usize,
    ) -> Result<Step, FrameError>;

    /// What is to be sent before and behind `payload`.
    ///
    /// # Errors
    /// The payload is no frame of this framing; nothing is sent.
    fn encode(&self, payload: &[u8]) -> Result<Envelope, FrameError>;
}

/// What a codec did that no codec may. It counts as an error of the framing: the connection is read
/// no further, or the payload is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// It found a frame that goes on behind the bytes it was shown.
    Beyond,
    /// A frame without any byte, of which there would be no end.
    Empty,
    /// A payload over the frame cap.
    OverCap,
    /// A head or a tail of more than [`ENCODING_BYTES_MAX`] bytes.
    Encoding,
    /// It asked for more bytes without asking for one more than there are.
    Stuck,
    /// It asked for more bytes than a frame under the cap can have.
    Greedy,
    /// It found a frame that ends within bytes that were no whole frame before.
    Shrunk,
    /// It panicked.
    Panicked,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Breach::Beyond => "found a frame beyond the bytes",
            Breach::Empty => "found or made a frame of no bytes at all",
            Breach::OverCap => "found a payload over the frame cap",
            Breach::Encoding => "found more than 255 bytes before or behind a payload",
            Breach::Stuck => "asked for no more bytes than there were",
            Breach::Greedy => "asked for more bytes than a frame can have",
            Breach::Shrunk => "found a frame in bytes that held none before",
            Breach::Panicked => "panicked",
        })
    }
}

fn breach<T>(codec: &dyn Codec, breach: Breach) -> Result<T, FrameError> {
    Err(FrameError::BadCodec { codec: name(codec), breach })
}

/// A codec's name, whatever it does when it is asked.
pub(super) fn name(codec: &dyn Codec) -> &'static str {
    caught("the name of a codec panicked", || codec.name()).unwrap_or("?")
}

/// Asks a codec, and believes nothing that cannot be.
#[inline(never)]
pub(super) fn decode(
    codec: &dyn Codec,
    bytes: &[u8],
    scanned: &mut usize,
    frame_bytes_max: usize,
) -> Result<Step, FrameError> {
    let asked = caught("a codec panicked", || codec.decode(bytes, scanned, frame_bytes_max));
    let Some(step) = asked else { return breach(codec, Breach::Panicked) };
    let step = step?;
    match step {
        Step::Frame(found) => match check(found, bytes.len(), frame_bytes_max) {
            Ok(()) => *scanned = 0,
            Err(what) => return breach(codec, what),
        },
        Step::Partial { needed } => {
            *scanned = (*scanned).min(bytes.len());
            if needed <= bytes.len() {
                return breach(codec, Breach::Stuck);
            }
            if needed > frame_bytes_max.saturating_add(2 * ENCODING_BYTES_MAX) {
                return breach(codec, Breach::Greedy);
            }
        }
    }
    Ok(step)
}

fn check(found: Found, have: usize, frame_bytes_max: usize) -> Result<(), Breach> {
    let Found { head, payload, tail } = found;
    let encoded = head.checked_add(payload).and_then(|sum| sum.checked_add(tail));
    match encoded {
        Some(0) => Err(Breach::Empty),
        Some(encoded) if encoded <= have => {
            if payload > frame_bytes_max {
                Err(Breach::OverCap)
            } else if head.max(tail) > ENCODING_BYTES_MAX {
                Err(Breach::Encoding)
            } else {
                Ok(())
            }
        }
        _ => Err(Breach::Beyond),
    }
}

#[inline(never)]
pub(super) fn encode(codec: &dyn Codec, payload: &[u8]) -> Result<Envelope, FrameError> {
    let asked = caught("a codec panicked", || codec.encode(payload));
    let Some(envelope) = asked else { return breach(codec, Breach::Panicked) };
    let envelope = envelope?;
    if payload.is_empty() && envelope.head().is_empty() && envelope.tail().is_empty() {
        return breach(codec, Breach::Empty);
    }
    Ok(envelope)
}

impl<C: Codec> From<&'static C> for Framing {
    fn from(codec: &'static C) -> Framing {
        Framing::Custom(codec)
    }
}

/// By its name.
impl fmt::Debug for dyn Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By the name: the address of a `static` without a size says nothing.
impl PartialEq for dyn Codec {
    fn eq(&self, other: &dyn Codec) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Codec {}

impl Hash for dyn Codec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers what it was made with.
    struct Says(&'static str, fn(&[u8]) -> Result<Step, FrameError>);

    impl Codec for Says {
        fn name(&self) -> &'static str {
            self.0
        }

        fn decode(&self, bytes: &[u8], scanned: &mut usize, _: usize) -> Result<Step, FrameError> {
            *scanned = usize::MAX;
            (self.1)(bytes)
        }

        fn encode(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
            match payload {
                b"panic" => panic!("as it was told"),
                b"long" => Ok(Envelope::new(&[7; 31], b"")),
                _ => Ok(Envelope::new(b"", b"")),
            }
        }
    }

    fn frame(head: usize, payload: usize, tail: usize) -> Result<Step, FrameError> {
        Ok(Step::Frame(Found { head, payload, tail }))
    }

    fn asked(says: &'static Says, bytes: &[u8], max: usize) -> Result<Step, FrameError> {
        let mut scanned = 0;
        let step = Framing::from(says).decode(bytes, &mut scanned, max);
        assert!(step.is_err() || scanned <= bytes.len(), "{scanned}");
        step
    }

    #[test]
    fn each_lie_of_a_codec_is_an_error_that_names_it() {
        let lies: [(&'static Says, Breach); 12] = [
            (&Says("a", |bytes| frame(1, bytes.len(), 0)), Breach::Beyond),
            (&Says("b", |bytes| frame(bytes.len() + 1, 0, 0)), Breach::Beyond),
            (&Says("c", |_| frame(usize::MAX, 2, 0)), Breach::Beyond),
            (&Says("d", |_| frame(1, 1, usize::MAX)), Breach::Beyond),
            (&Says("e", |_| frame(0, 0, 0)), Breach::Empty),
            (&Says("f", |_| frame(0, 301, 0)), Breach::OverCap),
            (&Says("g", |_| frame(256, 0, 0)), Breach::Encoding),
            (&Says("h", |_| frame(0, 0, 256)), Breach::Encoding),
            (&Says("i", |bytes| Ok(Step::Partial { needed: bytes.len() })), Breach::Stuck),
            (&Says("j", |_| Ok(Step::Partial { needed: 0 })), Breach::Stuck),
            (&Says("k", |_| Ok(Step::Partial { needed: 811 })), Breach::Greedy),
            (&Says("l", |_| panic!("as it was told")), Breach::Panicked),
        ];
        for (says, breach) in lies {
            let error = asked(says, &[0; 600], 300).expect_err("a lie");
            assert_eq!(error, FrameError::BadCodec { codec: says.0, breach });
            let text = error.to_string();
            assert!(text.contains(&format!("{:?}", says.0)), "{text}");
            assert!(text.contains(&breach.to_string()), "{text}");
        }
    }

    #[test]
    fn the_last_honest_answers_pass() {
        let bytes = [0; 810];
        for (says, expected) in [
            (&Says("whole", |_| frame(255, 300, 255)), frame(255, 300, 255)),
            (&Says("tail", |_| frame(0, 0, 1)), frame(0, 0, 1)),
            (&Says("error", |_| Err(FrameError::Malformed("x"))), Err(FrameError::Malformed("x"))),
        ] {
            assert_eq!(asked(says, &bytes, 300), expected);
        }
        static MORE: Says = Says("more", |_| Ok(Step::Partial { needed: 810 }));
        assert_eq!(asked(&MORE, &bytes[..809], 300), Ok(Step::Partial { needed: 810 }));
    }

    #[test]
    fn what_a_codec_makes_is_checked_too() {
        static SAYS: Says = Says("says", |_| frame(0, 1, 0));
        let framing = Framing::from(&SAYS);
        let error = |breach| FrameError::BadCodec { codec: "says", breach };
        assert!(framing.encode(b"x").is_ok());
        assert_eq!(framing.encode(b""), Err(error(Breach::Empty)));
        assert_eq!(framing.encode(b"panic"), Err(error(Breach::Panicked)));
        assert_eq!(framing.encode(b"long"), Err(error(Breach::Panicked)));
    }

    #[test]
    fn codecs_are_told_apart_by_their_names() {
        static A: Says = Says("a", |_| frame(0, 1, 0));
        static AGAIN: Says = Says("a", |_| frame(0, 2, 0));
        static B: Says = Says("b", |_| frame(0, 1, 0));
        static LINE: Says = Says("line", |_| frame(0, 1, 0));
        let [a, again, b, line] = [&A, &AGAIN, &B, &LINE].map(Framing::from);
        assert_eq!(a, again);
        assert_ne!(a, b);
        assert_ne!(line, Framing::Line);
        assert_eq!((a.to_string(), format!("{a:?}")), ("a".into(), "Custom(a)".into()));
        let all = std::collections::HashSet::from([a, again, b, line, Framing::Line]);
        assert_eq!(all.len(), 4);
    }
}
