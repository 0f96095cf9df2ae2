//! Compression of one socket's messages. What it needs is made when the first message needs it, so
//! that an idle socket costs little.

use crate::wire::websocket::{Agreement, DeflateOffer, Deflater, Inflater, ProtocolError};

/// How messages are compressed (permessage-deflate, RFC 7692), if the peer can do it, too.
///
/// A side that remembers its last messages compresses small ones well, and holds up to 260 KiB for
/// each socket that has sent one, 45 KiB for each that has received one. One that forgets holds
/// nothing between messages.
///
/// ```
/// use skyring::websocket::{Deflate, Options};
/// // For many sockets: the server compresses what is sent to all of them once.
/// let options = Options::new().deflate(Deflate::forgetful());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The server forgets after each message.
    pub server_no_context_takeover: bool,
    /// The client forgets after each message.
    pub client_no_context_takeover: bool,
    /// The server looks back at most so many bits: 9 to 15.
    pub server_max_window_bits: u8,
    /// The client looks back at most so many bits: 9 to 15.
    pub client_max_window_bits: u8,
    /// 1, fast, to 9, small.
    pub level: u8,
    /// Shorter messages are sent as they are.
    pub bytes_min: usize,
}

impl Default for Deflate {
    /// Both sides remember 32 KiB; level 6, messages from 64 bytes on.
    fn default() -> Deflate {
        Deflate {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
            level: 6,
            bytes_min: 64,
        }
    }
}

impl Deflate {
    /// Both sides forget after each message.
    pub fn forgetful() -> Deflate {
        Deflate {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..Deflate::default()
        }
    }

    /// What is wrong with it, if anything is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if !(1..=9).contains(&self.level) {
            return Some("levels of compression go from 1 to 9");
        }
        self.offer().fault()
    }

    pub(super) fn offer(&self) -> DeflateOffer {
        DeflateOffer {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self.client_max_window_bits,
        }
    }
}

/// How this side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) level: u8,
    pub(super) window_bits: u8,
    pub(super) forgets: bool,
}

impl Style {
    pub(super) fn deflater(self) -> Deflater {
        Deflater::new(self.level, self.window_bits, self.forgets)
    }
}

/// The compression of one socket.
pub(super) struct Compression {
    pub(super) style: Style,
    peer_forgets: bool,
    bytes_min: usize,
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
}

impl Compression {
    /// As it was agreed on.
    pub(super) fn new(agreed: Agreement, ours: Deflate, is_server: bool) -> Compression {
        let (window_bits, forgets, peer_forgets) = match is_server {
            true => (
                agreed.server_max_window_bits,
                agreed.server_no_context_takeover,
                agreed.client_no_context_takeover,
            ),
            false => (
                agreed.client_max_window_bits,
                agreed.client_no_context_takeover,
                agreed.server_no_context_takeover,
            ),
        };
        let style = Style { level: ours.level, window_bits, forgets };
        let bytes_min = ours.bytes_min;
        Compression { style, peer_forgets, bytes_min, deflater: None, inflater: None }
    }

    /// Whether a message of this length is compressed.
    pub(super) fn applies_to(&self, len: usize) -> bool {
        len >= self.bytes_min
    }

    pub(super) fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.style.forgets {
            return self.style.deflater().deflate(payload);
        }
        self.deflater.get_or_insert_with(|| self.style.deflater()).deflate(payload)
    }

    /// Compresses a piece of a message, which [`end_pieces`](Compression::end_pieces) ends.
    pub(super) fn deflate_piece(&mut self, piece: &[u8]) -> Vec<u8> {
        self.deflater.get_or_insert_with(|| self.style.deflater()).deflate_piece(piece)
    }

    /// What ends a message that went in pieces.
    pub(super) fn end_pieces(&mut self) -> &'static [u8] {
        let end = self.deflater.get_or_insert_with(|| self.style.deflater()).end_pieces();
        if self.style.forgets {
            self.deflater = None;
        }
        end
    }

    pub(super) fn inflate(
        &mut self,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, ProtocolError> {
        if self.peer_forgets {
            return Inflater::new(true).inflate(payload, bytes_max);
        }
        let inflater = self.inflater.get_or_insert_with(|| Inflater::new(false));
        inflater.inflate(payload, bytes_max)
    }
}
