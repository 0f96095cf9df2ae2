//! The connections' bytes on their way: as they are, or through TLS.
//!
//! ```text
//!   plain   write ──────────────► ring.send      ring.received ─────────────► answers
//!   TLS     write ──► session ──► ring.send      ring.received ──► session ──► plain ──► answers
//! ```

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::error::{Doing, Error, Result};
use crate::sys::Ring;

/// How long a handshake may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The ring with what stands between it and the requests.
pub(super) struct Wire {
    pub(super) ring: Ring,
    /// By slot; empty where bytes travel as they are.
    sessions: Vec<Session>,
}

/// One connection's TLS.
struct Session {
    tls: ClientConnection,
    /// What came and was not consumed yet, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// Most of it.
    plain_bytes_max: usize,
    cipher: Vec<u8>,
}

impl Wire {
    /// Bytes as they are.
    pub(super) fn plain(ring: Ring) -> Self {
        Self { ring, sessions: Vec::new() }
    }

    /// Makes a session of each of `count` connections, which block. `bytes_max` bounds what may wait
    /// decrypted.
    pub(super) fn secure(ring: Ring, count: usize, bytes_max: usize) -> Result<Self> {
        let config = Arc::new(config()?);
        let sessions = (0..count).map(|slot| Session::open(&config, ring.socket(slot), bytes_max));
        let sessions = sessions.collect::<Result<_>>()?;
        Ok(Self { ring, sessions })
    }

    /// Takes in what has come on a connection.
    ///
    /// # Errors
    /// What is wrong with it.
    #[inline]
    pub(super) fn absorb(&mut self, slot: usize) -> std::result::Result<(), String> {
        let Some(session) = self.sessions.get_mut(slot) else { return Ok(()) };
        let received = self.ring.received(slot);
        session.decrypt(received).map_err(|error| format!("TLS: {error}"))?;
        let count = received.len();
        self.ring.consume(slot, count);
        Ok(())
    }

    /// The bytes that came and were not consumed yet.
    #[inline]
    pub(super) fn received(&self, slot: usize) -> &[u8] {
        match self.sessions.get(slot) {
            None => self.ring.received(slot),
            Some(session) => &session.plain[session.taken..],
        }
    }

    /// Gives the first `bytes` of what was received back.
    #[inline]
    pub(super) fn consume(&mut self, slot: usize, bytes: usize) {
        match self.sessions.get_mut(slot) {
            None => self.ring.consume(slot, bytes),
            Some(session) => session.consume(bytes),
        }
    }

    /// Whether no more can be received before something is consumed.
    #[inline]
    pub(super) fn is_full(&self, slot: usize) -> bool {
        match self.sessions.get(slot) {
            None => self.ring.is_full(slot),
            Some(session) => session.plain.len() - session.taken >= session.plain_bytes_max,
        }
    }

    /// Sends all of `bytes`, which is empty afterwards; with TLS what it has to say by itself, too.
    /// False when there is nothing to send.
    #[inline]
    pub(super) fn send(&mut self, slot: usize, bytes: &mut Vec<u8>) -> bool {
        let out = match self.sessions.get_mut(slot) {
            None => bytes,
            Some(session) => {
                session.encrypt(bytes);
                bytes.clear();
                &mut session.cipher
            }
        };
        let is_something = !out.is_empty();
        if is_something {
            self.ring.send(slot, out);
        }
        is_something
    }

    /// Whether TLS has something to say by itself: a new key, an alert.
    #[inline]
    pub(super) fn has_to_say(&self, slot: usize) -> bool {
        self.sessions.get(slot).is_some_and(|session| session.tls.wants_write())
    }
}

impl Session {
    fn open(config: &Arc<ClientConfig>, socket: &OwnedFd, plain_bytes_max: usize) -> Result<Self> {
        let worded = |error: &dyn std::fmt::Display| {
            Error::run(format!("a handshake of TLS: {error}; does the server speak it?"))
        };
        let name = ServerName::try_from("localhost").expect("it is a name");
        let mut tls =
            ClientConnection::new(config.clone(), name).map_err(|error| worded(&error))?;
        // Bounded by what the generator writes at once.
        tls.set_buffer_limit(None);
        const WHAT: &str = "a handshake of TLS";
        sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(TIMEOUT)).doing(WHAT)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut Blocking(socket)).map_err(|error| worded(&error))?;
        }
        sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, None).doing(WHAT)?;
        Ok(Self { tls, plain: Vec::new(), taken: 0, plain_bytes_max, cipher: Vec::new() })
    }

    fn decrypt(&mut self, mut received: &[u8]) -> io::Result<()> {
        self.plain.drain(..self.taken);
        self.taken = 0;
        while !received.is_empty() {
            self.tls.read_tls(&mut received)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let start = self.plain.len();
            self.plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut self.plain[start..])?;
        }
        Ok(())
    }

    fn encrypt(&mut self, plain: &[u8]) {
        // Both write to memory.
        self.tls.writer().write_all(plain).expect("its buffer has no limit");
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.cipher).expect("a vector takes all");
        }
    }

    fn consume(&mut self, bytes: usize) {
        assert!(self.taken + bytes <= self.plain.len(), "no more can be consumed than came");
        self.taken += bytes;
    }
}

/// A socket that blocks, for the handshake.
struct Blocking<'a>(&'a OwnedFd);

impl Read for Blocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buffer, RecvFlags::empty())?.0)
    }
}

impl Write for Blocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Speaks with whoever answers: a load shows how fast a server is, not who it is.
fn config() -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::run(format!("TLS: {error}")))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(schemes)));
    Ok(builder.with_no_client_auth())
}

#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
