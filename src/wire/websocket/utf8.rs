//! UTF-8 that comes in pieces, checked as it comes (RFC 6455, 8.1).

use super::error::ProtocolError;

/// Checks a text piece by piece. A byte that cannot belong to any text is refused when it comes,
/// even if the character before it is not whole.
///
/// ```
/// use skyring::wire::websocket::Utf8;
///
/// let mut check = Utf8::default();
/// check.push(b"caf\xC3")?;
/// assert!(!check.is_whole());
/// check.push(b"\xA9")?;
/// assert!(check.is_whole());
/// assert!(check.push(b"\xF4\x90").is_err(), "beyond U+10FFFF");
/// # Ok::<(), skyring::wire::websocket::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character.
    begun: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Takes the next piece.
    ///
    /// # Errors
    /// [`ProtocolError::BadUtf8`]; nothing may be pushed after it.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while self.len > 0 {
            let Some((&next, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            let mut character = [0; 4];
            let len = usize::from(self.len);
            character[..len].copy_from_slice(&self.begun[..len]);
            character[len] = next;
            self.begin(&character[..=len])?;
        }
        match simdutf8::compat::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(ProtocolError::BadUtf8),
            Err(error) => self.begin(&bytes[error.valid_up_to()..]),
        }
    }

    /// Keeps `bytes` if they are the beginning of a character; nothing if they are one.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        match std::str::from_utf8(bytes) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_some() => return Err(ProtocolError::BadUtf8),
            Err(_) => {
                self.begun[..bytes.len()].copy_from_slice(bytes);
                self.len = bytes.len() as u8;
            }
        }
        Ok(())
    }

    /// Whether the text may end here.
    pub fn is_whole(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> bool {
        let mut check = Utf8::default();
        pieces.iter().all(|piece| check.push(piece).is_ok()) && check.is_whole()
    }

    #[test]
    fn every_cut_of_a_text_is_judged_as_the_whole() {
        let long = "x".repeat(100);
        let texts: [&[u8]; 7] = [
            "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes(),
            "\u{10ffff}\u{0}\u{7f}\u{80}\u{800}\u{10000}".as_bytes(),
            b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xED\xA0\x80edited",
            b"\xC0\x80",
            b"\xF4\x90\x80\x80",
            b"\xE2\x82",
            &[long.as_bytes(), "\u{20ac}".as_bytes(), long.as_bytes(), b"\xFF"].concat(),
        ];
        for text in texts {
            let valid = std::str::from_utf8(text).is_ok();
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let pieces = [&text[..first], &text[first..second], &text[second..]];
                    assert_eq!(check(&pieces), valid, "{text:?} at {first}, {second}");
                }
            }
        }
    }

    #[test]
    fn what_can_be_no_character_is_refused_at_its_first_byte() {
        let mut check = Utf8::default();
        check.push(b"\xF4").expect("it may begin");
        assert!(check.push(b"\x90").is_err());
        let mut check = Utf8::default();
        check.push(b"\xED").expect("it may begin");
        assert!(check.push(b"\xA0").is_err(), "a surrogate");
    }
}
