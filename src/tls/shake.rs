//! rustls' handshake over bytes: fed record by record, so that it sees nothing behind its end.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{CommonState, ExtractedSecrets};

use super::error::HandshakeError;
use super::keys::Keys;
use super::negotiated::Negotiated;
use super::record::{HEADER_BYTES, Records, is_record_type};
use crate::net::handshake::{Handshake, Refused, Step};

/// The most that a peer may send for one handshake. Long chains of certificates have 10 KiB.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;
/// The most that one record may have (RFC 5246, 6.2.3).
const RECORD_BYTES_MAX: usize = (1 << 14) + 2048;

/// One side's handshake by rustls.
pub(super) struct Shaking<S> {
    /// Gone when the handshake is done.
    side: Option<S>,
    /// What was received and is not used up; the first `fed` bytes were shown.
    inbox: Vec<u8>,
    fed: usize,
    received: usize,
    plain_bytes_max: Option<usize>,
}

/// What a client and a server have in common.
pub(super) trait Side {
    type Data;

    /// What is negotiated so far.
    fn state(&self) -> &CommonState;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// The host that the client has asked for.
    fn server_name(&self) -> Option<String>;

    fn into_keys(self) -> Result<(ExtractedSecrets, Box<dyn Keys>), rustls::Error>;
}

/// What a step of rustls wants.
enum Wants {
    /// It has said something, or used something up.
    Nothing,
    Bytes,
    Done,
}

impl<S: Side> Shaking<S> {
    pub(super) fn new(side: S, max_fragment: Option<usize>) -> Shaking<S> {
        // rustls counts the header of a record in.
        let plain_bytes_max = max_fragment.map(|max| max - HEADER_BYTES);
        Shaking { side: Some(side), inbox: Vec::new(), fed: 0, received: 0, plain_bytes_max }
    }

    /// Shows the next record. Whether there was one.
    fn feed(&mut self) -> bool {
        let waiting = &self.inbox[self.fed..];
        let Some(header) = waiting.first_chunk::<HEADER_BYTES>() else { return false };
        let [typ, major, _, a, b] = *header;
        let len = HEADER_BYTES + usize::from(u16::from_be_bytes([a, b]));
        if !is_record_type(typ) || major != 3 || len > HEADER_BYTES + RECORD_BYTES_MAX {
            self.fed = self.inbox.len(); // rustls says what is wrong with it
            return true;
        }
        if waiting.len() < len {
            return false;
        }
        self.fed += len;
        true
    }

    /// One step of rustls with what was shown to it.
    fn step(&mut self, reply: &mut Vec<u8>) -> Result<Wants, rustls::Error> {
        let Some(side) = &mut self.side else { return Ok(Wants::Bytes) };
        let UnbufferedStatus { discard, state, .. } = side.process(&mut self.inbox[..self.fed]);
        let wants = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let from = reply.len();
                if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                    reply.resize(from + size.required_size, 0);
                    // As long as it has asked for.
                    let written = data.encode(&mut reply[from..]).unwrap_or_default();
                    reply.truncate(from + written);
                }
                Ok(Wants::Nothing)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Wants::Nothing)
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Wants::Bytes),
            // A server may write before it has heard all; it does not.
            Ok(ConnectionState::WriteTraffic(_)) => Ok(Wants::Done),
            Ok(_) => Err(rustls::Error::HandshakeNotComplete),
            Err(error) => Err(error),
        };
        self.inbox.drain(..discard);
        self.fed -= discard;
        match wants? {
            Wants::Done if side.state().is_handshaking() => Ok(Wants::Bytes),
            wants => Ok(wants),
        }
    }

    fn finish(&mut self) -> Result<Step, Refused> {
        let side = self.side.take().expect("it is done once");
        if self.fed > 0 {
            return Err(HandshakeError::Malformed("half a message behind its end".into()).into()); // half a message behind the last
        }
        let suite = side.state().negotiated_cipher_suite();
        let about = Negotiated::of(side.state(), side.server_name());
        let (Some(suite), Some(about)) = (suite, about) else {
            return Err(HandshakeError::Malformed("it agreed on nothing".into()).into());
        };
        let is_resumed = about.is_resumed;
        let (secrets, keys) = side.into_keys().map_err(HandshakeError::of)?;
        let records = Records::new(keys, suite, secrets, self.plain_bytes_max, Arc::new(about));
        let filter = Box::new(records.map_err(|alert| alert.breach.text)?);
        Ok(Step::Done { filter, rest: mem::take(&mut self.inbox), is_resumed })
    }

    /// The words that rustls has for a peer after an error. As long as it has some it looks at
    /// nothing else, which it must not do again.
    fn last_words(&mut self, reply: &mut Vec<u8>) {
        while self.side.as_ref().is_some_and(|side| side.state().wants_write()) {
            if self.step(reply).is_err() {
                return;
            }
        }
    }
}

impl<S: Side> Handshake for Shaking<S> {
    fn advance(&mut self, received: &[u8], reply: &mut Vec<u8>) -> Result<Step, Refused> {
        let is_first = self.received == 0;
        self.received += received.len();
        self.inbox.extend_from_slice(received);
        loop {
            match self.step(reply) {
                Ok(Wants::Nothing) => {}
                Ok(Wants::Done) => return self.finish(),
                Ok(Wants::Bytes) if self.feed() => {}
                Ok(Wants::Bytes) if self.received > HANDSHAKE_BYTES_MAX => {
                    return Err(HandshakeError::TooLong.into());
                }
                Ok(Wants::Bytes) => return Ok(Step::More),
                Err(error) => {
                    let refusal = HandshakeError::of_first(error, received, is_first);
                    self.last_words(reply);
                    return Err(refusal.into());
                }
            }
        }
    }
}

thread_local! {
    /// What the handshake in progress has asked for; set by the server's resolver.
    static ASKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the host that a client asks for. rustls tells it to whoever chooses a certificate, which it
/// has done within the step that reads the client's first message.
pub(super) fn note_server_name(name: Option<&str>) {
    ASKED.replace(name.map(str::to_ascii_lowercase));
}

/// A server's side.
pub(super) struct Serving {
    connection: UnbufferedServerConnection,
    asked: Option<String>,
}

impl Serving {
    pub(super) fn new(connection: UnbufferedServerConnection) -> Serving {
        Serving { connection, asked: None }
    }
}

impl Side for Serving {
    type Data = ServerConnectionData;

    fn state(&self) -> &CommonState {
        &self.connection
    }

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        let status = self.connection.process_tls_records(bytes);
        let asked = ASKED.take();
        if asked.is_some() {
            self.asked = asked;
        }
        status
    }

    fn server_name(&self) -> Option<String> {
        self.asked.clone()
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Box<dyn Keys>), rustls::Error> {
        let (secrets, keys) = self.connection.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(keys)))
    }
}

/// A client's side.
pub(super) struct Asking {
    connection: UnbufferedClientConnection,
    host: String,
}

impl Asking {
    pub(super) fn new(connection: UnbufferedClientConnection, host: String) -> Asking {
        Asking { connection, host }
    }
}

impl Side for Asking {
    type Data = ClientConnectionData;

    fn state(&self) -> &CommonState {
        &self.connection
    }

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.connection.process_tls_records(bytes)
    }

    fn server_name(&self) -> Option<String> {
        Some(self.host.clone())
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Box<dyn Keys>), rustls::Error> {
        let (secrets, keys) = self.connection.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(keys)))
    }
}
