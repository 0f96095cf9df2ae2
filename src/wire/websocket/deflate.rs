//! Compressed messages (RFC 7692, 7.2): each is a piece of a DEFLATE stream without the four bytes
//! that end it.
//!
//! | | memory, when first used |
//! |---|---|
//! | [`Deflater`] of a window of 15 bits, of 9 bits | about 260 KiB, 135 KiB |
//! | [`Inflater`] | about 45 KiB |

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::ProtocolError;

/// What ends a flush, and is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// An empty block without that: an empty message, and the end of one that went in pieces, each with
/// its own tail (RFC 7692, 7.2.3.6).
const EMPTY: &[u8] = &[0];
/// Room that is made at once for what is decompressed; more only as it comes.
const ROOM_BYTES_MAX: usize = 64 * 1024;

/// Compresses the messages of one side.
///
/// ```
/// use skyring::wire::websocket::{Deflater, Inflater};
///
/// let (mut deflater, mut inflater) = (Deflater::new(6, 15, false), Inflater::new(false));
/// for _ in 0..2 {
///     let small = deflater.deflate(&[b'x'; 1000]);
///     assert!(small.len() < 20);
///     assert_eq!(inflater.inflate(&small, 1000)?, [b'x'; 1000]);
/// }
/// # Ok::<(), skyring::wire::websocket::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    forgets: bool,
}

impl Deflater {
    /// `level`: 1, fast, to 9, small. `window_bits`: 9 to 15. `forgets`: no message refers to those
    /// before it.
    ///
    /// # Panics
    /// When one of them is out of its range.
    pub fn new(level: u8, window_bits: u8, forgets: bool) -> Deflater {
        assert!((1..=9).contains(&level), "levels of compression go from 1 to 9: {level}");
        assert!((9..=15).contains(&window_bits), "a window has 9 to 15 bits: {window_bits}");
        let level = Compression::new(level.into());
        Deflater { compress: Compress::new_with_window_bits(level, false, window_bits), forgets }
    }

    /// The message as it is sent.
    pub fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return EMPTY.to_vec();
        }
        let mut out = self.deflate_piece(payload);
        out.truncate(out.len() - TAIL.len());
        self.end_pieces();
        out
    }

    /// A piece of a message as it is sent, in a fragment or as a part of one. What was before it is
    /// known to the peer then.
    pub fn deflate_piece(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(payload.len() / 2 + 64);
        let before = self.compress.total_in();
        loop {
            let used = (self.compress.total_in() - before) as usize;
            if used == payload.len() && out.len() < out.capacity() && out.ends_with(&TAIL) {
                break;
            }
            if out.capacity() - out.len() < 64 {
                out.reserve(out.len().max(64));
            }
            let status =
                self.compress.compress_vec(&payload[used..], &mut out, FlushCompress::Sync);
            status.expect("a compressor refuses no input");
        }
        out
    }

    /// What ends a message that went in pieces.
    pub fn end_pieces(&mut self) -> &'static [u8] {
        if self.forgets {
            self.compress.reset();
        }
        EMPTY
    }
}

/// Decompresses the messages of one side.
#[derive(Debug)]
pub struct Inflater {
    inflate: Decompress,
    forgets: bool,
}

impl Inflater {
    /// `forgets`: no message refers to those before it.
    pub fn new(forgets: bool) -> Inflater {
        Inflater { inflate: Decompress::new(false), forgets }
    }

    /// The message itself. No more memory is taken than it needs, and for no more than `bytes_max`
    /// bytes.
    ///
    /// # Errors
    /// [`ProtocolError::BadDeflate`]; [`ProtocolError::MessageTooLong`] above `bytes_max`.
    pub fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, ProtocolError> {
        let room = payload.len().saturating_mul(3).min(ROOM_BYTES_MAX).min(bytes_max);
        let mut out = Vec::with_capacity(room + 1);
        self.inflate_piece(payload, &mut out, bytes_max)?;
        self.inflate_piece(&TAIL, &mut out, bytes_max)?;
        if self.forgets {
            self.inflate.reset(false);
        }
        Ok(out)
    }

    fn inflate_piece(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        loop {
            let before = self.inflate.total_in();
            let status = self.inflate.decompress_vec(input, out, FlushDecompress::Sync);
            let status = status.map_err(|_| ProtocolError::BadDeflate)?;
            input = &input[(self.inflate.total_in() - before) as usize..];
            if out.len() > bytes_max {
                return Err(ProtocolError::MessageTooLong);
            }
            if status == Status::StreamEnd {
                // A last block (RFC 7692, 7.2.3.4); another stream follows.
                self.inflate.reset(false);
            }
            if input.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
            if out.len() == out.capacity() {
                // One more than allowed: a message that passes the bound shows.
                let more = (bytes_max - out.len()).saturating_add(1);
                out.reserve_exact(out.len().max(64).min(more));
            } else if status == Status::BufError {
                return Err(ProtocolError::BadDeflate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| b"the quick brown fox "[(at * at / 7 + at) % 20]).collect()
    }

    #[test]
    fn the_messages_of_the_rfc_are_read() {
        let read = |bytes: &[u8]| Inflater::new(false).inflate(bytes, 100);
        assert_eq!(read(b"\xf2\x48\xcd\xc9\xc9\x07\x00").as_deref(), Ok(&b"Hello"[..]));
        assert_eq!(
            read(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00").as_deref(),
            Ok(&b"Hello"[..])
        );
        assert_eq!(
            read(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00").as_deref(),
            Ok(&b"Hello"[..]),
            "BFINAL"
        );
        let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        assert_eq!(read(two).as_deref(), Ok(&b"Hello"[..]), "two blocks");
        assert_eq!(read(b"\x00").as_deref(), Ok(&b""[..]));
        let mut inflater = Inflater::new(false);
        assert_eq!(
            inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 9).as_deref(),
            Ok(&b"Hello"[..])
        );
        assert_eq!(inflater.inflate(b"\xf2\x00\x11\x00\x00", 9).as_deref(), Ok(&b"Hello"[..]));
    }

    #[test]
    fn messages_of_every_size_come_back_whatever_was_agreed_on() {
        for bits in 9..=15 {
            for forgets in [false, true] {
                let (mut deflater, mut inflater) =
                    (Deflater::new(6, bits, forgets), Inflater::new(forgets));
                for len in [0, 1, 2, 20, 0, 100, 4095, 70_000, 0, 5, 300_000, 7] {
                    let message = text(len);
                    let sent = deflater.deflate(&message);
                    assert!(inflater.inflate(&sent, len) == Ok(message), "{bits} {forgets} {len}");
                }
            }
        }
        let noise: Vec<u8> = (0..100_000u64).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let sent = Deflater::new(1, 15, false).deflate(&noise);
        assert!(Inflater::new(false).inflate(&sent, noise.len()) == Ok(noise));
    }

    #[test]
    fn a_bomb_is_refused_at_the_bound_and_takes_no_memory_beyond() {
        let bomb = Deflater::new(9, 15, true).deflate(&vec![0; 50 << 20]);
        assert!(bomb.len() < 60_000);
        for max in [0, 1, 1000, 1 << 20] {
            let mut out = Vec::new();
            let refused = Inflater::new(true).inflate_piece(&bomb, &mut out, max);
            assert_eq!(refused, Err(ProtocolError::MessageTooLong));
            assert!(out.capacity() <= 2 * (max + 64), "{} for {max}", out.capacity());
        }
        let message = text(1000);
        let sent = Deflater::new(6, 15, true).deflate(&message);
        assert!(Inflater::new(true).inflate(&sent, 1000).is_ok(), "the last allowed");
        assert_eq!(Inflater::new(true).inflate(&sent, 999), Err(ProtocolError::MessageTooLong));
    }

    #[test]
    fn a_bound_may_be_as_large_as_numbers_are() {
        let message = text(300_000);
        let sent = Deflater::new(6, 15, true).deflate(&message);
        assert!(Inflater::new(true).inflate(&sent, usize::MAX) == Ok(message));
    }

    #[test]
    fn what_is_no_stream_is_refused_and_mutations_never_panic() {
        assert_eq!(Inflater::new(true).inflate(&[0xFF; 20], 100), Err(ProtocolError::BadDeflate));
        let sent = Deflater::new(6, 15, true).deflate(&text(500));
        for at in 0..sent.len() {
            for bit in 0..8 {
                let mut bad = sent.clone();
                bad[at] ^= 1 << bit;
                let mut inflater = Inflater::new(false);
                let _ = inflater.inflate(&bad, 2000);
                let _ = inflater.inflate(&sent[..at], 2000);
            }
        }
    }
}
