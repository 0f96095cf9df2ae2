//! Finds frames in a stream that arrives in pieces.
//!
//! Every yardstick does the work of a framed server: it reads each length (or looks for each
//! separator) and answers whole frames only. The finder keeps nothing but a few counters, so it
//! works on whatever memory the server received into and never asks for a copy.
//!
//! ```text
//!   piece 1              piece 2                 piece 3
//!  [hdr|body|hdr|bo]    [dy|hdr|body|hd]        [r|body]
//!            ^ end = 9            ^ end = 12          ^ end = 5
//! ```

use crate::framing::Framing;

/// The longest frame that a yardstick accepts, without its header or separator. A peer that
/// announces more is closed: memory for each connection stays bounded.
pub(crate) const FRAME_BYTES_MAX: u32 = 1 << 20;

/// A peer announced, or kept sending, a frame over [`FRAME_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameTooLong;

/// Where one stream stands between two pieces.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    framing: Framing,
    /// Bytes of a header cut in two that have arrived, and their value so far.
    header_bytes: u32,
    header: u32,
    /// Bytes of the current body still to come (prefix framings), or seen so far (line).
    body: u32,
}

impl Finder {
    /// A finder at the start of a stream.
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, header_bytes: 0, header: 0, body: 0 }
    }

    /// Reads on in the stream. Returns where the last frame that ends within `bytes` ends; 0 when
    /// none ends there.
    ///
    /// # Errors
    /// A frame is longer than [`FRAME_BYTES_MAX`]; the stream cannot be read any further.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, FrameTooLong> {
        match self.framing {
            Framing::Raw => Ok(bytes.len()),
            Framing::U16 => self.feed_prefixed::<2>(bytes),
            Framing::U32 => self.feed_prefixed::<4>(bytes),
            Framing::Line => self.feed_lines(bytes),
        }
    }

    fn feed_prefixed<const WIDTH: usize>(&mut self, bytes: &[u8]) -> Result<usize, FrameTooLong> {
        let mut at = 0;
        let mut end = 0;
        // What an earlier piece began.
        if self.header_bytes > 0 || self.body > 0 {
            while self.header_bytes > 0 {
                let Some(&byte) = bytes.get(at) else { return Ok(0) };
                at += 1;
                self.push_header::<WIDTH>(byte)?;
            }
            let taken = (self.body as usize).min(bytes.len() - at);
            at += taken;
            self.body -= taken as u32;
            if self.body > 0 {
                return Ok(0);
            }
            end = at;
        }
        // Whole headers from here on; this is the path of nearly every frame.
        while let Some(header) = bytes[at..].first_chunk::<WIDTH>() {
            let body = header.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
            if body > FRAME_BYTES_MAX {
                return Err(FrameTooLong);
            }
            let there = bytes.len() - at - WIDTH;
            if there < body as usize {
                self.body = body - there as u32;
                return Ok(end);
            }
            at += WIDTH + body as usize;
            end = at;
        }
        for &byte in &bytes[at..] {
            self.push_header::<WIDTH>(byte)?;
        }
        Ok(end)
    }

    /// Takes one byte of a cut header; the last one leaves `header_bytes` at 0 and sets `body`.
    fn push_header<const WIDTH: usize>(&mut self, byte: u8) -> Result<(), FrameTooLong> {
        self.header = self.header << 8 | u32::from(byte);
        self.header_bytes += 1;
        if self.header_bytes as usize == WIDTH {
            self.body = std::mem::take(&mut self.header);
            self.header_bytes = 0;
            if self.body > FRAME_BYTES_MAX {
                return Err(FrameTooLong);
            }
        }
        Ok(())
    }

    fn feed_lines(&mut self, bytes: &[u8]) -> Result<usize, FrameTooLong> {
        let mut end = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            if self.body as usize + (at - end) > FRAME_BYTES_MAX as usize {
                return Err(FrameTooLong);
            }
            self.body = 0;
            end = at + 1;
        }
        self.body = self.body.saturating_add((bytes.len() - end) as u32);
        if self.body > FRAME_BYTES_MAX {
            return Err(FrameTooLong);
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 4] = [Framing::Raw, Framing::U16, Framing::U32, Framing::Line];

    fn frame(framing: Framing, body: &[u8]) -> Vec<u8> {
        let length = body.len() as u32;
        match framing {
            Framing::Raw => body.to_vec(),
            Framing::U16 => [&length.to_be_bytes()[2..], body].concat(),
            Framing::U32 => [&length.to_be_bytes()[..], body].concat(),
            Framing::Line => [body, b"\n"].concat(),
        }
    }

    /// The ends of all frames of a stream, and the stream.
    fn stream(framing: Framing) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for body in [&b"hello"[..], b"", b"x", b"", b"", b"a longer body, of 300 bytes or so"] {
            bytes.extend(frame(framing, &body.repeat(9)));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn last_end(ends: &[usize], at: usize) -> usize {
        *ends.iter().rfind(|&&end| end <= at).expect("0 is an end")
    }

    #[test]
    fn frames_are_found_whatever_the_cuts() {
        for framing in &ALL[1..] {
            let (bytes, ends) = stream(*framing);
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let mut finder = Finder::new(*framing);
                    let mut found = 0;
                    for (from, to) in [(0, first), (first, second), (second, bytes.len())] {
                        let end = finder.feed(&bytes[from..to]).expect("frames are short");
                        if end > 0 {
                            found = from + end;
                        }
                        assert_eq!(found, last_end(&ends, to), "{framing:?} {first} {second} {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn frames_are_found_byte_by_byte() {
        for framing in ALL {
            let (bytes, _) = stream(framing);
            let mut finder = Finder::new(framing);
            let ended = bytes.iter().filter(|byte| finder.feed(&[**byte]).expect("short") == 1);
            assert_eq!(ended.count(), if framing == Framing::Raw { bytes.len() } else { 6 });
        }
    }

    #[test]
    fn the_longest_frame_passes_and_one_byte_more_is_refused() {
        for cut in [1, 2, 3, 4] {
            for (length, verdict) in [(FRAME_BYTES_MAX, Ok(0)), (FRAME_BYTES_MAX + 1, Err(()))] {
                let mut finder = Finder::new(Framing::U32);
                let header = length.to_be_bytes();
                finder.feed(&header[..cut]).ok();
                let result = Finder::new(Framing::U32).feed(&header).map_err(|_| ());
                assert_eq!(result, verdict, "whole header of {length}");
                if cut < 4 {
                    let result = finder.feed(&header[cut..]).map_err(|_| ());
                    assert_eq!(result, verdict, "header of {length} cut at {cut}");
                }
            }
        }
        assert_eq!(Finder::new(Framing::U32).feed(&[0xff; 4]), Err(FrameTooLong), "4 GiB");
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_is_refused() {
        let longest = vec![b'x'; FRAME_BYTES_MAX as usize];
        let mut finder = Finder::new(Framing::Line);
        assert_eq!(finder.feed(&longest), Ok(0));
        assert_eq!(finder.clone().feed(b"\n"), Ok(1));
        assert_eq!(finder.feed(b"x"), Err(FrameTooLong));
        let whole = [&longest[..], b"x\n"].concat();
        assert_eq!(Finder::new(Framing::Line).feed(&whole), Err(FrameTooLong));
    }
}
