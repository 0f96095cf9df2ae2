//! How a peer can break the protocol, each with the code that tells it (RFC 6455, 7.4.1).

use std::fmt;

macro_rules! violations {
    ($($(#[doc = $section:literal])+ $name:ident = $code:literal $sentence:literal,)+) => {
        /// What a peer has broken. The connection fails: the peer is told
        /// [`close_code`](ProtocolError::close_code) and the sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProtocolError { $($(#[doc = $section])+ $name,)+ }

        impl ProtocolError {
            /// The code of the Close frame that tells the peer.
            pub fn close_code(self) -> u16 {
                match self { $(ProtocolError::$name => $code,)+ }
            }

            /// What is wrong, in a sentence; short enough for a Close frame.
            pub fn sentence(self) -> &'static str {
                match self { $(ProtocolError::$name => $sentence,)+ }
            }

            /// Every one of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [ProtocolError] = &[$(ProtocolError::$name,)+];
        }
    };
}

violations! {
    /// RFC 6455, 5.2: no extension that was agreed on gives them a meaning here.
    ReservedBits = 1002 "A reserved bit is set.",
    /// RFC 6455, 5.2.
    ReservedOpCode = 1002 "The opcode of a frame is reserved.",
    /// RFC 6455, 5.5.
    ControlTooLong = 1002 "A control frame has more than 125 bytes.",
    /// RFC 6455, 5.5.
    ControlFragmented = 1002 "A control frame is fragmented.",
    /// RFC 6455, 5.2.
    LengthNotMinimal = 1002 "The length of a frame takes more bytes than it needs.",
    /// RFC 6455, 5.2.
    LengthTooLarge = 1002 "The length of a frame has its highest bit set.",
    /// RFC 6455, 5.1.
    Unmasked = 1002 "A client's frame is not masked.",
    /// RFC 6455, 5.1.
    Masked = 1002 "A server's frame is masked.",
    /// RFC 6455, 5.4.
    NothingToContinue = 1002 "A frame continues a message that was not begun.",
    /// RFC 6455, 5.4.
    MessageWithin = 1002 "A message begins within another one.",
    /// RFC 6455, 5.5.1.
    BadClose = 1002 "A Close frame has half a code, or one that is never sent.",
    /// RFC 6455, 8.1.
    BadUtf8 = 1007 "A text is no UTF-8.",
    /// RFC 7692, 7.2.2.
    BadDeflate = 1007 "A compressed message cannot be decompressed.",
    /// RFC 6455, 10.4: a limit of this side.
    MessageTooLong = 1009 "A message is too long.",
    /// RFC 6455, 10.4: a limit of this side.
    TooManyFragments = 1009 "A message has too many fragments.",
    /// RFC 6455, 7.4.1 and 10.4: a limit of this side.
    TooSlow = 1008 "A message did not come in time.",
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::super::close::{REASON_BYTES_MAX, is_close_code};
    use super::*;

    #[test]
    fn every_sentence_fits_a_close_frame_with_its_code() {
        for error in ProtocolError::ALL {
            assert!(error.sentence().len() <= REASON_BYTES_MAX, "{error:?}");
            assert!(is_close_code(error.close_code()), "{error:?}");
        }
    }
}
