//! A body that came as gzip, unpacked as it is read: never more at once than a piece, never more in
//! all than the limit of a body, whatever the server has packed.

use flate2::{Decompress, FlushDecompress, Status};

use super::error::ClientError;
use crate::memory::frame::Frame;

/// What one read gives at most.
const PIECE_BYTES: usize = 16 * 1024;
/// The window of deflate, of all sizes.
const WINDOW_BITS: u8 = 15;

/// Unpacks one body.
pub(super) struct Unpack {
    state: Decompress,
    input: Frame,
    unpacked: u64,
    /// Everything so far was whole members (RFC 1952, 2.2).
    at_end: bool,
}

impl Unpack {
    pub(super) fn new() -> Unpack {
        let state = Decompress::new_gzip(WINDOW_BITS);
        Unpack { state, input: Frame::empty(), unpacked: 0, at_end: false }
    }

    /// Takes a piece in; all before it is used up.
    pub(super) fn put(&mut self, piece: Frame) {
        debug_assert!(self.input.is_empty(), "a piece is used up before the next comes");
        self.input = piece;
    }

    /// Whether the body may end here.
    pub(super) fn is_at_end(&self) -> bool {
        self.at_end || self.state.total_in() == 0
    }

    /// The next piece of what was taken in; `None` when all of it is used up.
    pub(super) fn next(&mut self, bytes_max: u64) -> Result<Option<Frame>, ClientError> {
        loop {
            if self.at_end && !self.input.is_empty() {
                self.state.reset(true); // another member
                self.at_end = false;
            }
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let (before, total) = (self.state.total_in(), self.input.len());
            let status = self
                .state
                .decompress_vec(&self.input, &mut piece, FlushDecompress::None)
                .map_err(|_| ClientError::Packed)?;
            let used = (self.state.total_in() - before) as usize;
            self.input.advance(used);
            self.at_end |= status == Status::StreamEnd;
            self.unpacked += piece.len() as u64;
            if self.unpacked > bytes_max {
                return Err(ClientError::BodyTooLong { max: bytes_max });
            }
            if !piece.is_empty() {
                return Ok(Some(Frame::from(piece)));
            }
            if self.input.is_empty() || used == 0 && total > 0 {
                return match self.input.is_empty() {
                    true => Ok(None),
                    false => Err(ClientError::Packed),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("into memory");
        encoder.finish().expect("into memory")
    }

    /// What comes out of a body that comes in pieces, and whether it may end there.
    fn unpacked(pieces: &[&[u8]], bytes_max: u64) -> Result<(Vec<u8>, bool), ClientError> {
        let (mut unpack, mut all) = (Unpack::new(), Vec::new());
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            unpack.put(Frame::from(piece.to_vec()));
            while let Some(piece) = unpack.next(bytes_max)? {
                all.extend_from_slice(&piece);
            }
        }
        Ok((all, unpack.is_at_end()))
    }

    #[test]
    fn members_are_joined_at_every_cut() {
        let wire = [packed(b"hello"), packed(b""), packed(b", world")].concat();
        for cut in 0..=wire.len() {
            let read = unpacked(&[&wire[..cut], &wire[cut..]], 12).expect("valid");
            assert_eq!(read, (b"hello, world".to_vec(), true), "{cut}");
        }
        assert!(matches!(unpacked(&[&wire], 11), Err(ClientError::BodyTooLong { max: 11 })));
        assert!(!unpacked(&[&wire[..wire.len() - 1]], 12).expect("a part").1);
        let garbage = [packed(b"hello"), b"no gzip".to_vec()].concat();
        assert!(matches!(unpacked(&[&garbage], 12), Err(ClientError::Packed)));
    }

    #[test]
    fn every_changed_bit_is_unpacked_or_refused() {
        let wire = packed(&b"round and ".repeat(2000));
        for bit in 0..wire.len() * 8 {
            let mut changed = wire.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = unpacked(&[&changed], 1 << 20); // ends, and does not panic
        }
    }
}
