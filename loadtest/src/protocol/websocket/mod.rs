//! WebSocket (RFC 6455): messages that come back. Written anew here, so that the library's codec is
//! tested by code that is not its.

pub mod frame;
mod opening;

use std::os::fd::OwnedFd;

use super::{Answer, Aside, Wrong};
use crate::error::{Error, Result};
use crate::framing::Framing;
use crate::payload::Payload;
use crate::schedule::splitmix;
use frame::{BINARY, Found, PING, PONG, TEXT};

/// The path that our own servers echo messages on.
pub const ECHO: &str = "/echo";

/// The path on which what one says goes to all.
pub const BROADCAST: &str = "/broadcast";

/// The path on which our own server tells how many messages it has encoded.
pub const ENCODINGS: &str = "/encodings";

/// Bytes that an answer may take beyond its content: heads of fragments.
const HEADS_BYTES: usize = 4096;

/// Messages in the words of the one who wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The path of the handshake.
    pub path: String,
    /// The field `host`.
    pub authority: Option<String>,
    /// Text, whose UTF-8 a server checks, or binary.
    pub is_text: bool,
}

impl Ask {
    /// Checks the size of a message.
    ///
    /// # Errors
    /// A sentence with the bound that was passed.
    pub fn check_size(&self, bytes: usize) -> std::result::Result<(), String> {
        self.framing().check_size(bytes)
    }

    /// What a payload is made like: of printable bytes for texts.
    fn framing(&self) -> Framing {
        if self.is_text { Framing::Line } else { Framing::Raw }
    }
}

/// What is sent, and what must come back.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// The handshake.
    request: Vec<u8>,
    payload: Payload,
    opcode: u8,
    seed: u64,
}

impl Dialogue {
    pub(super) fn new(ask: &Ask, authority: &str, bytes: usize, seed: u64) -> Result<Self> {
        let payload = Payload::new(ask.framing(), bytes, seed).map_err(Error::usage)?;
        let authority = ask.authority.as_deref().unwrap_or(authority);
        Ok(Self {
            request: opening::request(&ask.path, authority),
            payload,
            opcode: if ask.is_text { TEXT } else { BINARY },
            seed,
        })
    }

    /// Makes a WebSocket of a connection, which blocks.
    pub(super) fn open(&self, socket: &OwnedFd) -> Result<()> {
        opening::open(&self.request, socket)
    }

    pub(super) fn content_bytes(&self) -> usize {
        self.payload.payload_bytes()
    }

    pub(super) fn request_bytes(&self) -> usize {
        frame::HEAD_BYTES_MAX + self.content_bytes()
    }

    pub(super) fn answer_bytes_max(&self) -> usize {
        HEADS_BYTES + self.content_bytes()
    }

    #[inline]
    pub(super) fn write(&self, sequence: u64, intended_ns: u64, out: &mut Vec<u8>) {
        let key = (splitmix(sequence ^ self.seed) as u32).to_be_bytes();
        frame::write_head(self.opcode, self.content_bytes(), key, out);
        let start = out.len();
        self.payload.write(sequence, intended_ns, out);
        out.truncate(start + self.content_bytes()); // without the line feed of texts
        frame::mask(&mut out[start..], key);
    }

    #[inline]
    pub(super) fn aside(&self, received: &[u8]) -> Aside {
        match frame::find(received) {
            Ok(Some(Found { opcode: PING, payload, bytes, .. })) => {
                Aside::Whole { bytes, reply: frame::control(PONG, &received[payload]) }
            }
            Ok(Some(Found { opcode: PONG, bytes, .. })) => {
                Aside::Whole { bytes, reply: Vec::new() }
            }
            _ => Aside::None,
        }
    }

    #[inline]
    pub(super) fn answer(&self, received: &[u8], sequence: u64, intended_ns: u64) -> Answer {
        match frame::find(received) {
            Ok(None) => Answer::Incomplete,
            Ok(Some(Found { opcode, is_final: true, payload, bytes })) if opcode == self.opcode => {
                let checked = self.check(&received[payload], sequence, intended_ns);
                Answer::Whole { bytes, checked }
            }
            Ok(Some(_)) => match frame::join(received, self.opcode) {
                Ok(None) => Answer::Incomplete,
                Ok(Some((content, bytes))) => {
                    let checked = self.check(&content, sequence, intended_ns);
                    Answer::Whole { bytes, checked }
                }
                Err(what) => Answer::Broken(what),
            },
            Err(what) => Answer::Broken(what),
        }
    }

    /// Compares a whole message with what was sent.
    #[inline]
    pub fn check(
        &self,
        got: &[u8],
        sequence: u64,
        intended_ns: u64,
    ) -> std::result::Result<(), Wrong> {
        let want = self.content_bytes();
        if got.len() != want {
            return Err(Wrong::Length { got: got.len(), want });
        }
        self.payload.check(got, sequence, intended_ns).map_err(Wrong::Byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(is_text: bool, bytes: usize) -> Dialogue {
        let ask = Ask { path: ECHO.into(), authority: None, is_text };
        Dialogue::new(&ask, "127.0.0.1:80", bytes, 1).expect("the size is allowed")
    }

    /// What a server sends back for what a client has sent.
    fn echoed(dialogue: &Dialogue, sequence: u64) -> Vec<u8> {
        let mut sent = Vec::new();
        dialogue.write(sequence, 9, &mut sent);
        let head = sent.len() - dialogue.content_bytes();
        let key = sent[head - 4..head].try_into().expect("four bytes");
        let mut content = sent.split_off(head);
        frame::mask(&mut content, key);
        sent.truncate(head - 4);
        sent[1] &= 0x7f;
        sent.extend(content);
        sent
    }

    #[test]
    fn a_message_comes_back_as_it_was_sent_in_every_length_of_a_head() {
        for is_text in [false, true] {
            for bytes in [32, 125, 126, 127, 65_535, 65_536, 70_000] {
                let dialogue = dialogue(is_text, bytes);
                let answer = echoed(&dialogue, 3);
                let Answer::Whole { bytes: taken, checked } = dialogue.answer(&answer, 3, 9) else {
                    panic!("{bytes}")
                };
                assert_eq!((taken, checked), (answer.len(), Ok(())));
                for cut in (0..answer.len()).step_by(1 + bytes / 100) {
                    assert_eq!(dialogue.answer(&answer[..cut], 3, 9), Answer::Incomplete);
                }
                assert!(matches!(
                    dialogue.answer(&answer, 4, 9),
                    Answer::Whole { checked: Err(Wrong::Byte(_)), .. }
                ));
            }
        }
    }

    #[test]
    fn fragments_are_joined_and_pings_answered() {
        let dialogue = dialogue(false, 64);
        let whole = echoed(&dialogue, 1);
        let content = &whole[2..];
        let mut parts = vec![0x02, 10];
        parts.extend(&content[..10]);
        parts.extend([0x89, 1, b'x', 0x00, 0, 0x80, 54]);
        parts.extend(&content[10..]);
        for cut in 0..parts.len() {
            assert_eq!(dialogue.answer(&parts[..cut], 1, 9), Answer::Incomplete, "{cut}");
        }
        let Answer::Whole { bytes, checked } = dialogue.answer(&parts, 1, 9) else { panic!() };
        assert_eq!((bytes, checked), (parts.len(), Ok(())));
        let Aside::Whole { bytes, reply } = dialogue.aside(&[0x89, 2, b'h', b'i', 0x82]) else {
            panic!()
        };
        assert_eq!((bytes, &reply[..2]), (4, &[0x8a, 0x82][..]));
        assert!(matches!(dialogue.aside(&whole), Aside::None));
    }

    #[test]
    fn what_breaks_the_protocol_is_told() {
        let dialogue = dialogue(false, 64);
        let broken = |bytes: &[u8], words: &str| {
            let Answer::Broken(what) = dialogue.answer(bytes, 1, 9) else { panic!("{words}") };
            assert!(what.contains(words), "{what}");
        };
        broken(&[0x82, 0x80 | 1, 0, 0, 0, 0, 0], "masked");
        broken(&[0xc2, 0], "reserved");
        broken(&[0x83, 0], "opcode 3");
        broken(&[0x81, 1, b'x'], "opcode 1");
        broken(&[0x80, 0], "opcode 0");
        broken(&[0x82, 126, 0, 125], "shorter form");
        broken(&[0x09, 0], "control");
        broken(&[0x88, 2, 3, 0xe9], "1001");
    }

    #[test]
    fn no_change_of_a_byte_reaches_a_panic() {
        let dialogue = dialogue(false, 64);
        let whole = echoed(&dialogue, 1);
        for at in 0..whole.len() {
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = (dialogue.answer(&changed, 1, 9), dialogue.aside(&changed));
            }
        }
    }
}
