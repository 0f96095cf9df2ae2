//! The client's side of a login.

use std::fmt;

use zeroize::Zeroizing;

use super::code::Code;
use super::error::LoginError;
use super::exchange::{
    Ephemeral, Keys, LABEL, OFFER, Outcome, PAD_BYTES, REFUSAL, RESULT, SIGNED_OFFER,
    TOKEN_BYTES_MAX, signed,
};
use super::fields::Reader;
use super::identity::PublicIdentity;
use super::name::Name;
use super::secret::Secret;

/// Which login servers a client trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whoever answers: right behind TLS that checks the server, or on a network that is one's own.
    Anybody,
    /// One that proves one of these identities. More than one lets a server change its own.
    Pinned(Vec<PublicIdentity>),
}

/// A login whose first frame was sent.
///
/// ```
/// use skyring::login::{Code, Greeted, Identity, Name, Offered, Trust};
///
/// let identity = Identity::from_seed([1; 32]);
/// let trust = Trust::Pinned(vec![identity.public()]);
/// // Random bytes come from the kernel, not from the source.
/// let (hello, client) = Greeted::hello([2; 32], trust);
/// let (offer, server) = Offered::answer(&hello, &[3; 64], Some(&identity))?;
/// let (proof, client) = client.prove(&offer, b"ann:secret")?;
/// let (token, server) = server.credentials(&proof)?;
/// assert_eq!(token.as_bytes(), b"ann:secret");
/// let secret = server.secret().clone();
/// let result = server.accept(&Name::new("ann", "games", 5)?);
/// let session = client.result(&result)?;
/// assert_eq!(session.name.to_string(), "ann@games#5");
/// assert_eq!(session.secret.expose(), secret.expose());
/// # Ok::<(), skyring::Error>(())
/// ```
pub struct Greeted {
    hello: Vec<u8>,
    ephemeral: Ephemeral,
    trust: Trust,
}

impl Greeted {
    /// The first frame to send, and what goes on. `random` are 32 random bytes that nobody can
    /// foresee, used for this login alone.
    pub fn hello(random: [u8; 32], trust: Trust) -> (Vec<u8>, Greeted) {
        let ephemeral = Ephemeral::new(random);
        let mut hello = LABEL.to_vec();
        hello.extend_from_slice(&ephemeral.public);
        (hello.clone(), Greeted { hello, ephemeral, trust })
    }

    /// Takes the server's answer: returns the frame that proves this client and gives its
    /// credentials, sealed, and what goes on.
    ///
    /// # Errors
    /// [`LoginError`]: close; nothing of the credentials was sent.
    pub fn prove(self, offer: &[u8], token: &[u8]) -> Result<(Vec<u8>, Proved), LoginError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(LoginError::TokenTooLong(token.len()));
        }
        check_refusal(offer)?;
        let (offer, proof) = offer.split_last_chunk().ok_or(LoginError::Malformed)?;
        let theirs = self.check(offer)?;
        let shared = self.ephemeral.agree(theirs).ok_or(LoginError::WeakKey)?;
        let keys = Keys::new(&shared, &self.hello, offer);
        if !keys.accepts_server(proof) {
            return Err(LoginError::Proof);
        }
        let mut frame = keys.prove_client().to_vec();
        let sealed = keys.credentials().seal_once(keys.transcript(), &pad(token));
        frame.extend_from_slice(&sealed);
        let outcome = keys.finish(proof, &frame);
        Ok((frame, Proved(outcome)))
    }

    /// The server's ephemeral key, if it is one to be trusted.
    fn check(&self, offer: &[u8]) -> Result<[u8; 32], LoginError> {
        let mut reader = Reader::new(offer);
        let kind = reader.u8().ok_or(LoginError::Malformed)?;
        let _challenge: [u8; 32] = reader.array().ok_or(LoginError::Malformed)?;
        let theirs = reader.array().ok_or(LoginError::Malformed)?;
        let identity = match kind {
            OFFER => None,
            SIGNED_OFFER => {
                let identity = PublicIdentity(reader.array().ok_or(LoginError::Malformed)?);
                let signature = reader.array().ok_or(LoginError::Malformed)?;
                let unsigned = &offer[..offer.len() - signature.len()];
                if !identity.has_signed(&signed(&self.hello, unsigned), &signature) {
                    return Err(LoginError::UnknownServer);
                }
                Some(identity)
            }
            _ => return Err(LoginError::Malformed),
        };
        reader.end().ok_or(LoginError::Malformed)?;
        match &self.trust {
            Trust::Anybody => Ok(theirs),
            Trust::Pinned(pinned) if identity.is_some_and(|it| pinned.contains(&it)) => Ok(theirs),
            Trust::Pinned(_) => Err(LoginError::UnknownServer),
        }
    }
}

impl fmt::Debug for Greeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeted").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// `len u16 | token | zeros`, up to a multiple of [`PAD_BYTES`].
fn pad(token: &[u8]) -> Zeroizing<Vec<u8>> {
    let len = (2 + token.len()).next_multiple_of(PAD_BYTES);
    let mut padded = Zeroizing::new(Vec::with_capacity(len));
    padded.extend_from_slice(&(token.len() as u16).to_be_bytes());
    padded.extend_from_slice(token);
    padded.resize(len, 0);
    padded
}

/// Whether the server refuses in plain.
fn check_refusal(frame: &[u8]) -> Result<(), LoginError> {
    let [REFUSAL, high, low] = *frame else { return Ok(()) };
    let code = Code::from_number(u16::from_be_bytes([high, low]));
    Err(code.filter(|code| *code != Code::Ok).map_or(LoginError::Malformed, LoginError::Refused))
}

/// A login whose proof and credentials were sent.
pub struct Proved(Outcome);

impl Proved {
    /// Takes the server's last frame: the session, if the user may enter.
    ///
    /// # Errors
    /// [`LoginError::Refused`] says why not.
    pub fn result(self, frame: &[u8]) -> Result<LoggedIn, LoginError> {
        check_refusal(frame)?;
        let Some((&RESULT, sealed)) = frame.split_first() else {
            return Err(LoginError::Malformed);
        };
        let plain = self.0.result.open(&self.0.transcript, sealed).ok_or(LoginError::Proof)?;
        let mut reader = Reader::new(&plain);
        match reader.u16().and_then(Code::from_number) {
            Some(Code::Ok) => {}
            Some(code) => return Err(LoginError::Refused(code)),
            None => return Err(LoginError::Malformed),
        }
        let name = Name::read(&mut reader).ok_or(LoginError::Malformed)?;
        reader.end().ok_or(LoginError::Malformed)?;
        Ok(LoggedIn { name, secret: self.0.secret })
    }
}

impl fmt::Debug for Proved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proved(..)")
    }
}

/// What a login gives a client: with it, it connects to the message server.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The session.
    pub name: Name,
    /// Proves that the session is this client's.
    pub secret: Secret,
}
