//! The server's side of a login.

use std::fmt;

use zeroize::Zeroizing;

use super::code::Code;
use super::error::LoginError;
use super::exchange::{
    Ephemeral, Keys, LABEL, OFFER, Outcome, PAD_BYTES, REFUSAL, RESULT, SIGNED_OFFER,
    TOKEN_BYTES_MAX, signed,
};
use super::fields::Reader;
use super::identity::Identity;
use super::name::Name;
use super::secret::{SEAL_BYTES, Secret};

/// The frame by which a server refuses before there are keys, or in place of a proper result.
pub fn refusal(code: Code) -> Vec<u8> {
    let [high, low] = code.number().to_be_bytes();
    vec![REFUSAL, high, low]
}

/// A login that waits for the client's proof and credentials.
pub struct Offered {
    keys: Keys,
    proof: [u8; 32],
}

impl Offered {
    /// Answers a client's first frame: returns the frame to send, and what goes on.
    ///
    /// `random` are 64 random bytes that nobody can foresee, used for this login alone; the first
    /// 32 become the server's ephemeral key, the others its challenge.
    ///
    /// # Errors
    /// [`LoginError`]: send the [`refusal`] of its code and close.
    pub fn answer(
        hello: &[u8],
        random: &[u8; 64],
        identity: Option<&Identity>,
    ) -> Result<(Vec<u8>, Offered), LoginError> {
        let mut reader = Reader::new(hello);
        let label = reader.array().ok_or(LoginError::Malformed)?;
        if label != *LABEL {
            return Err(LoginError::Version);
        }
        let theirs = reader.array().ok_or(LoginError::Malformed)?;
        reader.end().ok_or(LoginError::Malformed)?;

        let (key, challenge) = random.split_at(32);
        let ephemeral = Ephemeral::new(key.try_into().expect("32 of 64"));
        let shared = ephemeral.agree(theirs).ok_or(LoginError::WeakKey)?;
        let kind = if identity.is_some() { SIGNED_OFFER } else { OFFER };
        let mut offer = vec![kind];
        offer.extend_from_slice(challenge);
        offer.extend_from_slice(&ephemeral.public);
        if let Some(identity) = identity {
            offer.extend_from_slice(&identity.public().0);
            offer.extend_from_slice(&identity.sign(&signed(hello, &offer)));
        }
        let keys = Keys::new(&shared, hello, &offer);
        let proof = keys.prove_server();
        offer.extend_from_slice(&proof);
        Ok((offer, Offered { keys, proof }))
    }

    /// Takes the client's second frame: its credentials, and what goes on.
    ///
    /// # Errors
    /// [`LoginError`]: send the [`refusal`] of its code and close.
    pub fn credentials(self, frame: &[u8]) -> Result<(Token, Deciding), LoginError> {
        let mut reader = Reader::new(frame);
        let proof = reader.array().ok_or(LoginError::Malformed)?;
        let sealed = reader.rest();
        let padded = sealed.len().checked_sub(SEAL_BYTES).ok_or(LoginError::Malformed)?;
        if !padded.is_multiple_of(PAD_BYTES) || !(1..=TOKEN_BYTES_MAX + 2).contains(&padded) {
            return Err(LoginError::Malformed);
        }
        if !self.keys.accepts_client(&proof) {
            return Err(LoginError::Proof);
        }
        let plain = self.keys.credentials().open(self.keys.transcript(), sealed);
        let plain = plain.ok_or(LoginError::Proof)?;
        let token = Token::unpad(plain).ok_or(LoginError::Malformed)?;
        Ok((token, Deciding(self.keys.finish(&self.proof, frame))))
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offered(..)")
    }
}

/// What a client proves its user by: a password, a ticket, whatever the server's accounts know.
/// Wiped when dropped, and never printed.
pub struct Token {
    padded: Zeroizing<Vec<u8>>,
    len: usize,
}

impl Token {
    /// `padded` is `len u16 | token | zeros`.
    fn unpad(padded: Zeroizing<Vec<u8>>) -> Option<Token> {
        let mut reader = Reader::new(&padded);
        let len = usize::from(reader.u16()?);
        reader.take(len)?;
        let rest = reader.rest();
        let shortest = rest.len() < PAD_BYTES && rest.iter().all(|&byte| byte == 0);
        shortest.then_some(Token { padded, len })
    }

    /// The bytes that the client gave.
    pub fn as_bytes(&self) -> &[u8] {
        &self.padded[2..2 + self.len]
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.len)
    }
}

/// A login of a client that has proved itself; whether its user may enter is to be decided.
pub struct Deciding(Outcome);

impl Deciding {
    /// The secret of the session that this login would begin.
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// The last frame: the user has a session of this name. Close after it.
    pub fn accept(self, name: &Name) -> Vec<u8> {
        let mut plain = Code::Ok.number().to_be_bytes().to_vec();
        name.write(&mut plain);
        self.seal(&plain)
    }

    /// The last frame: the user may not enter. Close after it. The client knows that it comes from
    /// the server, unlike a [`refusal`].
    pub fn refuse(self, code: Code) -> Vec<u8> {
        self.seal(&code.number().to_be_bytes())
    }

    fn seal(self, plain: &[u8]) -> Vec<u8> {
        let mut frame = vec![RESULT];
        frame.extend_from_slice(&self.0.result.seal_once(&self.0.transcript, plain));
        frame
    }
}

impl fmt::Debug for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deciding(..)")
    }
}
