//! Records after the handshake: opened where they were received, sealed as they leave.
//!
//! ```text
//!   block  │ end of a record │ record │ record │ beginning │
//!               └▶ partial       └──────┴▶ decrypted in place      └▶ partial
//!   turn's output ─▶ records of at most 16 KiB, in buffers that are used again ─▶ one send
//! ```
//! The handshake is rustls' own, and so are the ciphers and the key schedule. Records are taken from
//! it here (its interface for kernels that encrypt) because its own record layer copies what it has
//! opened, and what it has sealed, once more. An idle connection holds its keys and nothing else.

use std::any::Any;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use rustls::crypto::cipher::{InboundOpaqueMessage, MessageDecrypter};
use rustls::{ContentType, Error, ExtractedSecrets, ProtocolVersion, SupportedCipherSuite};

use super::breach::{self, Alert};
use super::keys::{Keys, decrypter};
use super::negotiated::Negotiated;
use super::seal::{OVERHEAD_BYTES, Sealer};
use crate::memory::chain::Chain;
use crate::net::connection::{Fault, Filter, Opened, take_spare};

/// Type, version and length before each record (RFC 8446, 5.1).
pub(super) const HEADER_BYTES: usize = 5;
/// The most that a record holds (RFC 8446, 5.1).
const PLAIN_BYTES_MAX: usize = 1 << 14;
/// What encryption may add to it (RFC 8446, 5.2; RFC 5246, 6.2.3).
const EXPANSION_BYTES_MAX: usize = 2048;
/// A message of the handshake that comes behind it: a ticket, of which this much is waited for.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Records in a row that bring nothing (empty ones, warnings, key updates) before the peer is told
/// to stop: they cost us, and it has no use for them.
const IDLE_RECORDS_MAX: u8 = 32;

/// Plain bytes that one buffer takes; more go into the next.
const BUFFERED_BYTES_MAX: usize = 4 * PLAIN_BYTES_MAX;
/// Plain bytes that one send takes, so that a core is not kept by one connection's backlog, which
/// would need twice its memory, too.
const SEALED_AT_ONCE_MAX: usize = 256 * 1024;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// What stays of a connection when its handshake is done.
pub(super) struct Records {
    keys: Box<dyn Keys>,
    suite: SupportedCipherSuite,
    decrypter: Box<dyn MessageDecrypter>,
    sealer: Sealer,
    /// Numbers of the next records.
    received: u64,
    sent: u64,
    /// Records that one key may seal.
    sent_max: u64,
    /// The most that one record is to hold.
    plain_bytes_max: usize,
    /// A record of which the end has not come.
    partial: Vec<u8>,
    /// A message of the handshake of which the end has not come.
    message: Vec<u8>,
    idle_records: u8,
    /// What is to be said, sealed.
    own: Vec<u8>,
    /// A last word was said: an alert, or close_notify.
    has_ended: bool,
    about: Arc<Negotiated>,
}

/// A header that is whole.
struct Header {
    typ: ContentType,
    version: ProtocolVersion,
    /// With the header.
    len: usize,
}

impl Records {
    pub(super) fn new(
        keys: Box<dyn Keys>,
        suite: SupportedCipherSuite,
        secrets: ExtractedSecrets,
        plain_bytes_max: Option<usize>,
        about: Arc<Negotiated>,
    ) -> Result<Records, Alert> {
        let limit = match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        };
        let (received, receive) = secrets.rx;
        let (sent, send) = secrets.tx;
        Ok(Records {
            keys,
            suite,
            decrypter: decrypter(suite, receive)?,
            sealer: Sealer::new(suite, send)?,
            received,
            sent,
            // The last two of a key are kept for the word that ends it.
            sent_max: limit.min(1 << 62).saturating_sub(2),
            plain_bytes_max: plain_bytes_max.unwrap_or(PLAIN_BYTES_MAX).clamp(1, PLAIN_BYTES_MAX),
            partial: Vec::new(),
            message: Vec::new(),
            idle_records: 0,
            own: Vec::new(),
            has_ended: false,
            about,
        })
    }

    fn is_tls13(&self) -> bool {
        matches!(self.suite, SupportedCipherSuite::Tls13(_))
    }

    /// Opens one whole record in place. Where in it data lies, if it brought any.
    fn open_record(
        &mut self,
        header: &Header,
        record: &mut [u8],
        opened: &mut Opened,
    ) -> Result<Range<usize>, Alert> {
        let base = record.as_ptr().addr();
        if self.is_tls13() && header.typ != ContentType::ApplicationData {
            return Err(Alert::UNEXPECTED_MESSAGE);
        }
        let sealed = InboundOpaqueMessage::new(
            header.typ,
            header.version,
            &mut record[HEADER_BYTES..header.len],
        );
        let plain = self.decrypter.decrypt(sealed, self.received).map_err(|error| match error {
            Error::PeerSentOversizedRecord => Alert::RECORD_OVERFLOW,
            Error::PeerMisbehaved(_) => Alert::UNEXPECTED_MESSAGE,
            _ => Alert::BAD_RECORD_MAC,
        })?;
        self.received = self.received.checked_add(1).ok_or(Alert::UNEXPECTED_MESSAGE)?;
        let (typ, start) = (plain.typ, plain.payload.as_ptr().addr() - base);
        let range = start..start + plain.payload.len();
        if typ == ContentType::ApplicationData && !range.is_empty() {
            self.idle_records = 0;
        } else {
            self.idle_records += 1;
            if self.idle_records > IDLE_RECORDS_MAX {
                return Err(Alert::UNEXPECTED_MESSAGE);
            }
        }
        if !self.message.is_empty() && typ != ContentType::Handshake {
            return Err(Alert::UNEXPECTED_MESSAGE); // RFC 8446, 5.1: nothing comes between
        }
        match typ {
            ContentType::ApplicationData => return Ok(range),
            ContentType::Alert => opened.is_end = self.hear_alert(&record[range])?,
            ContentType::Handshake => self.hear_message(&record[range])?,
            _ => return Err(Alert::UNEXPECTED_MESSAGE),
        }
        Ok(0..0)
    }

    /// Whether an alert is the peer's orderly end.
    fn hear_alert(&mut self, alert: &[u8]) -> Result<bool, Alert> {
        let &[level, code] = alert else { return Err(Alert::DECODE_ERROR) };
        let is_warning = level == breach::WARNING;
        match code {
            breach::CLOSE_NOTIFY => Ok(true),
            breach::USER_CANCELED => Ok(false),
            // A warning of TLS 1.2; in 1.3 all but these two end the connection (RFC 8446, 6).
            _ if is_warning && !self.is_tls13() => Ok(false),
            code => Err(Alert::heard(code)),
        }
    }

    /// A piece of what is said of the handshake behind it: tickets and new keys, in TLS 1.3.
    fn hear_message(&mut self, piece: &[u8]) -> Result<(), Alert> {
        if !self.is_tls13() || piece.is_empty() {
            return Err(Alert::UNEXPECTED_MESSAGE); // 1.2: a renegotiation
        }
        let mut message = mem::take(&mut self.message);
        message.extend_from_slice(piece);
        let mut rest = &message[..];
        while let &[typ, a, b, c, ref behind @ ..] = rest {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            match typ {
                NEW_SESSION_TICKET if len <= MESSAGE_BYTES_MAX => {}
                KEY_UPDATE if len == 1 => {}
                _ => return Err(Alert::UNEXPECTED_MESSAGE),
            }
            let Some((body, behind)) = behind.split_at_checked(len) else { break };
            match typ {
                NEW_SESSION_TICKET => self.keys.hear_ticket(body)?,
                // What is behind it would be under the old key (RFC 8446, 5.1).
                _ if !behind.is_empty() => return Err(Alert::UNEXPECTED_MESSAGE),
                _ => self.renew_received(body[0])?,
            }
            rest = behind;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    /// The peer has a new key, and wants one of us if `request` says so.
    fn renew_received(&mut self, request: u8) -> Result<(), Alert> {
        let (number, secrets) = self.keys.next_received()?;
        self.decrypter = decrypter(self.suite, secrets)?;
        self.received = number;
        match request {
            0 => Ok(()),
            // Once for however many requests came before we had anything to send.
            1 if self.own.is_empty() => self.renew_sent(),
            1 => Ok(()),
            _ => Err(Alert::ILLEGAL_PARAMETER),
        }
    }

    /// Tells the peer that a new key comes, and has it.
    fn renew_sent(&mut self) -> Result<(), Alert> {
        let mut own = mem::take(&mut self.own);
        let sealed = self.seal_one(ContentType::Handshake, &[KEY_UPDATE, 0, 0, 1, 0], &mut own);
        self.own = own;
        sealed?;
        let (number, secrets) = self.keys.next_sent()?;
        self.sealer = Sealer::new(self.suite, secrets)?;
        self.sent = number;
        Ok(())
    }

    /// Appends a short record to `out`.
    fn seal_one(
        &mut self,
        typ: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Alert> {
        self.sealer.seal(typ, self.sent, out, |out| out.extend_from_slice(content))?;
        self.sent += 1;
        Ok(())
    }

    /// Says an alert that ends the connection, once.
    fn say(&mut self, level: u8, code: u8) {
        if !mem::replace(&mut self.has_ended, true) {
            let mut own = mem::take(&mut self.own);
            // What cannot be said is not: the connection ends in any case.
            let _ = self.seal_one(ContentType::Alert, &[level, code], &mut own);
            self.own = own;
        }
    }

    /// A key that is used up: the next one in 1.3, the end in 1.2.
    #[cold]
    fn renew_worn(&mut self, out: &mut Vec<u8>) -> Result<(), Alert> {
        if !self.is_tls13() {
            return Err(breach::WORN_OUT);
        }
        self.renew_sent()?;
        out.append(&mut self.own);
        Ok(())
    }

    /// Completes the partial record from the front of `block`: how much of that it took.
    fn complete(&mut self, block: &[u8]) -> Result<(usize, Option<Header>), Alert> {
        let mut used = 0;
        loop {
            let header = read_header(&self.partial)?;
            let needed = header.as_ref().map_or(HEADER_BYTES, |header| header.len);
            if header.is_some() && self.partial.len() == needed {
                return Ok((used, header));
            }
            let take = (needed - self.partial.len()).min(block.len() - used);
            if take == 0 {
                return Ok((used, None));
            }
            self.partial.reserve_exact(needed - self.partial.len());
            self.partial.extend_from_slice(&block[used..used + take]);
            used += take;
        }
    }

    fn open_all(&mut self, block: &mut [u8], opened: &mut Opened) -> Result<(), Alert> {
        let mut at = 0;
        if !self.partial.is_empty() {
            let (used, header) = self.complete(block)?;
            at = used;
            let Some(header) = header else { return Ok(()) };
            let mut record = mem::take(&mut self.partial);
            let range = self.open_record(&header, &mut record, opened)?;
            opened.push_joined(record, range);
        }
        while at < block.len() && !opened.is_end {
            let header = read_header(&block[at..])?;
            let Some(header) = header.filter(|header| header.len <= block.len() - at) else {
                self.partial.extend_from_slice(&block[at..]);
                break;
            };
            let range = self.open_record(&header, &mut block[at..at + header.len], opened)?;
            opened.push_within(block, at + range.start..at + range.end);
            at += header.len;
        }
        Ok(())
    }
}

impl Filter for Records {
    fn open(&mut self, block: &mut [u8], opened: &mut Opened) -> Result<(), Fault> {
        self.open_all(block, opened).map_err(|alert| {
            match alert.to_say {
                Some(code) => self.say(breach::FATAL, code),
                None => self.has_ended = true, // the peer has had its last word, and gets none
            }
            Fault::Filter(alert.breach)
        })
    }

    fn seal(&mut self, plain: &Chain, sealed: &mut Chain) -> Result<usize, Fault> {
        let own = mem::take(&mut self.own);
        sealed.push_buffer(own);
        let len = plain.len().min(SEALED_AT_ONCE_MAX);
        if self.has_ended {
            return Ok(plain.len()); // nobody hears it
        }
        let mut rest = Reader::of(plain.slices());
        let mut done = 0;
        while done < len {
            let mut buffer = take_spare();
            let end = len.min(done + BUFFERED_BYTES_MAX);
            let records = (end - done).div_ceil(self.plain_bytes_max);
            buffer.reserve(end - done + records * OVERHEAD_BYTES);
            while done < end {
                if self.sent >= self.sent_max {
                    self.renew_worn(&mut buffer).map_err(|alert| Fault::Filter(alert.breach))?;
                }
                let count = (end - done).min(self.plain_bytes_max);
                let write = |out: &mut Vec<u8>| rest.copy(count, out);
                self.sealer
                    .seal(ContentType::ApplicationData, self.sent, &mut buffer, write)
                    .map_err(|alert| Fault::Filter(alert.breach))?;
                self.sent += 1;
                done += count;
            }
            sealed.push_buffer(buffer);
        }
        Ok(len)
    }

    fn seal_end(&mut self, sealed: &mut Chain) {
        self.say(breach::WARNING, breach::CLOSE_NOTIFY);
        sealed.push_buffer(mem::take(&mut self.own));
    }

    fn has_output(&self) -> bool {
        !self.own.is_empty()
    }

    fn about(&self) -> Arc<dyn Any + Send + Sync> {
        self.about.clone()
    }
}

/// Reads pieces one behind the other.
struct Reader<'a, I> {
    pieces: I,
    piece: &'a [u8],
}

impl<'a, I: Iterator<Item = &'a [u8]>> Reader<'a, I> {
    fn of(pieces: I) -> Reader<'a, I> {
        Reader { pieces, piece: &[] }
    }

    /// Appends the next `count` bytes, which there are.
    fn copy(&mut self, mut count: usize, out: &mut Vec<u8>) {
        while count > 0 {
            if self.piece.is_empty() {
                let Some(next) = self.pieces.next() else { return };
                self.piece = next;
            }
            let (now, later) = self.piece.split_at(count.min(self.piece.len()));
            out.extend_from_slice(now);
            count -= now.len();
            self.piece = later;
        }
    }
}

/// The header at the front of `bytes`; `None` when it is not whole.
fn read_header(bytes: &[u8]) -> Result<Option<Header>, Alert> {
    let &[typ, major, minor, a, b, ..] = bytes else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([a, b]));
    if !is_record_type(typ) || major != 3 {
        return Err(Alert::DECODE_ERROR);
    }
    if len == 0 && typ != u8::from(ContentType::ApplicationData) {
        return Err(Alert::DECODE_ERROR);
    }
    if len > PLAIN_BYTES_MAX + EXPANSION_BYTES_MAX {
        return Err(Alert::RECORD_OVERFLOW);
    }
    let version = ProtocolVersion::from(u16::from_be_bytes([major, minor]));
    Ok(Some(Header { typ: ContentType::from(typ), version, len: HEADER_BYTES + len }))
}

/// Whether records of this type exist: change_cipher_spec, alert, handshake, application_data.
pub(super) fn is_record_type(typ: u8) -> bool {
    (20..=23).contains(&typ)
}
