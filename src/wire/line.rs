//! Lines of text: LF ends a line, and a CR right before it belongs to the end.

use super::{Envelope, Found, FrameError, Step};
use memchr::memchr;

/// Looks for a line at the front of `bytes`, from `scanned` on.
///
/// Not inlined: a search of the payload outweighs the call, and `Framing::decode` stays small for
/// the prefixes.
pub(super) fn decode(
    bytes: &[u8],
    scanned: &mut usize,
    frame_bytes_max: usize,
) -> Result<Step, FrameError> {
    // The longest legal line is the cap and CR LF; what lies beyond need not be searched.
    let end = bytes.len().min(frame_bytes_max.saturating_add(2));
    let from = (*scanned).min(end);
    let Some(at) = memchr(b'\n', &bytes[from..end]).map(|offset| from + offset) else {
        return unfinished(&bytes[..end], scanned, frame_bytes_max);
    };
    *scanned = 0;
    let payload = without_cr(&bytes[..at]);
    if payload > frame_bytes_max {
        return Err(FrameError::LineTooLong { max: frame_bytes_max });
    }
    Ok(Step::Frame(Found { head: 0, payload, tail: at + 1 - payload }))
}

/// No LF yet: refuses a line that is too long whatever follows, else remembers what was searched.
fn unfinished(
    bytes: &[u8],
    scanned: &mut usize,
    frame_bytes_max: usize,
) -> Result<Step, FrameError> {
    if without_cr(bytes) > frame_bytes_max {
        return Err(FrameError::LineTooLong { max: frame_bytes_max });
    }
    *scanned = bytes.len();
    Ok(Step::Partial { needed: bytes.len() + 1 })
}

/// The length of `line` without the CR that may end it.
fn without_cr(line: &[u8]) -> usize {
    line.len() - usize::from(line.last() == Some(&b'\r'))
}

/// Where the first line of `bytes` ends, its LF included.
#[inline]
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|at| at + 1)
}

/// A payload with a LF in it would be read as two lines.
#[inline]
pub(super) fn encode(envelope: &mut Envelope, payload: &[u8]) -> Result<(), FrameError> {
    match memchr(b'\n', payload) {
        Some(at) => Err(FrameError::HoldsSeparator { at }),
        None => {
            envelope.put_tail(*b"\n");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(payload: usize, tail: usize) -> Result<Step, FrameError> {
        Ok(Step::Frame(Found { head: 0, payload, tail }))
    }

    #[test]
    fn lf_and_cr_lf_end_a_line_and_belong_to_its_tail() {
        assert_eq!(decode(b"hi\nx", &mut 0, 10), line(2, 1));
        assert_eq!(decode(b"hi\r\nx", &mut 0, 10), line(2, 2));
        assert_eq!(decode(b"\n", &mut 0, 10), line(0, 1));
        assert_eq!(decode(b"\r\n", &mut 0, 0), line(0, 2));
        assert_eq!(decode(b"a\rb\r\r\n", &mut 0, 10), line(4, 2));
    }

    #[test]
    fn a_cut_between_cr_and_lf_leaves_the_cr_out_of_the_payload() {
        let mut scanned = 0;
        assert_eq!(decode(b"hi\r", &mut scanned, 2), Ok(Step::Partial { needed: 4 }));
        assert_eq!(scanned, 3);
        assert_eq!(decode(b"hi\r\n", &mut scanned, 2), line(2, 2));
        assert_eq!(scanned, 0);
    }

    #[test]
    fn the_last_allowed_length_passes_and_the_next_is_refused_before_its_end() {
        let refused = Err(FrameError::LineTooLong { max: 3 });
        assert_eq!(decode(b"abc\n", &mut 0, 3), line(3, 1));
        assert_eq!(decode(b"abc\r\n", &mut 0, 3), line(3, 2));
        assert_eq!(decode(b"abc\r", &mut 0, 3), Ok(Step::Partial { needed: 5 }));
        assert_eq!(decode(b"abcd", &mut 0, 3), refused);
        assert_eq!(decode(b"abcd\n", &mut 0, 3), refused);
        assert_eq!(decode(b"abc\rd", &mut 0, 3), refused);
        assert_eq!(decode(b"abc\rd\n", &mut 0, 3), refused);
        assert_eq!(decode(b"abc\r\r\n", &mut 0, 3), refused);
        assert_eq!(decode(b"a", &mut 0, 0), Err(FrameError::LineTooLong { max: 0 }));
    }

    #[test]
    fn a_line_that_arrives_byte_by_byte_is_searched_once() {
        let max = 50_000;
        let mut bytes = vec![b'a'; max];
        bytes.push(b'\n');
        let (mut scanned, mut searched) = (0, 0);
        for cut in 1..=max {
            let before = scanned;
            let step = decode(&bytes[..cut], &mut scanned, max);
            assert_eq!(step, Ok(Step::Partial { needed: cut + 1 }));
            assert_eq!(scanned, cut, "what was searched is not searched again");
            searched += cut - before;
        }
        assert_eq!(searched, max);
        assert_eq!(decode(&bytes, &mut scanned, max), line(max, 1));
    }

    #[test]
    fn a_scan_resumes_where_it_stopped() {
        // The LF in the part already searched is not seen: proof that it is not searched again.
        let mut scanned = 2;
        assert_eq!(decode(b"a\nbc\n", &mut scanned, 10), line(4, 1));
        // A count that is off the end is harmless.
        let mut scanned = 99;
        assert_eq!(decode(b"abc", &mut scanned, 10), Ok(Step::Partial { needed: 4 }));
        assert_eq!(scanned, 3);
    }

    #[test]
    fn a_payload_with_a_line_feed_is_not_a_line() {
        let mut envelope = Envelope::EMPTY;
        assert_eq!(encode(&mut envelope, b"plain\r"), Ok(()));
        assert_eq!((envelope.head(), envelope.tail()), (&b""[..], &b"\n"[..]));
        assert_eq!(
            encode(&mut envelope, b"two\nlines\n"),
            Err(FrameError::HoldsSeparator { at: 3 })
        );
    }
}
