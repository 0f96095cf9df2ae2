//! What both sides of a login compute alike: the shared secret, the transcript, and the keys.

use x25519_dalek::{PublicKey, StaticSecret};

use super::secret::{Secret, digest};

/// What the first message of a client begins with: the protocol and its version.
pub(super) const LABEL: &[u8; 16] = b"skyring login 1\0";

/// What a server's messages begin with.
pub(super) const REFUSAL: u8 = 0;
pub(super) const OFFER: u8 = 1;
pub(super) const SIGNED_OFFER: u8 = 2;
pub(super) const RESULT: u8 = 3;

/// Sealed credentials are filled up to a multiple of this many bytes, so that their length tells
/// little of a password's.
pub(super) const PAD_BYTES: usize = 64;

/// The longest token, in bytes: with its length, 64 times 64.
pub const TOKEN_BYTES_MAX: usize = 64 * PAD_BYTES - 2;

/// One side's ephemeral key.
pub(super) struct Ephemeral {
    private: StaticSecret,
    pub(super) public: [u8; 32],
}

impl Ephemeral {
    pub(super) fn new(random: [u8; 32]) -> Ephemeral {
        let private = StaticSecret::from(random);
        let public = PublicKey::from(&private).to_bytes();
        Ephemeral { private, public }
    }

    /// The secret that is shared with the owner of `theirs` (RFC 7748); `None` when it is all zero,
    /// because then it would be known to everybody (section 6.1).
    pub(super) fn agree(&self, theirs: [u8; 32]) -> Option<Secret> {
        let shared = self.private.diffie_hellman(&PublicKey::from(theirs));
        shared.was_contributory().then(|| Secret::from(shared.to_bytes()))
    }
}

/// What an identity signs of a login: its messages up to the identity itself.
pub(super) fn signed(hello: &[u8], offer: &[u8]) -> Vec<u8> {
    let mut message = b"skyring login 1: the server's identity\0".to_vec();
    message.extend_from_slice(&digest(&[hello, offer]));
    message
}

/// The keys of one login: derived from the shared secret and from every byte that was sent until
/// then, so that both sides have the same ones only if both have seen the same.
pub(super) struct Keys {
    root: Secret,
    transcript: [u8; 32],
}

impl Keys {
    /// `offer` is the server's message without its proof.
    pub(super) fn new(shared: &Secret, hello: &[u8], offer: &[u8]) -> Keys {
        let transcript = digest(&[hello, offer]);
        Keys { root: Secret::extract(&transcript, shared.expose()), transcript }
    }

    pub(super) fn prove_server(&self) -> [u8; 32] {
        self.root.derive(&[b"server proves"]).prove(&[&self.transcript])
    }

    pub(super) fn accepts_server(&self, proof: &[u8; 32]) -> bool {
        self.root.derive(&[b"server proves"]).accepts(&[&self.transcript], proof)
    }

    pub(super) fn prove_client(&self) -> [u8; 32] {
        self.root.derive(&[b"client proves"]).prove(&[&self.transcript])
    }

    pub(super) fn accepts_client(&self, proof: &[u8; 32]) -> bool {
        self.root.derive(&[b"client proves"]).accepts(&[&self.transcript], proof)
    }

    /// Seals the client's credentials.
    pub(super) fn credentials(&self) -> Secret {
        self.root.derive(&[b"credentials"])
    }

    /// What seals are bound to.
    pub(super) fn transcript(&self) -> &[u8; 32] {
        &self.transcript
    }

    /// The client's last message ends the transcript.
    pub(super) fn finish(&self, server_proof: &[u8; 32], last: &[u8]) -> Outcome {
        let transcript = digest(&[&self.transcript, server_proof, last]);
        Outcome {
            secret: self.root.derive(&[b"session secret", &transcript]),
            result: self.root.derive(&[b"result"]),
            transcript,
        }
    }
}

/// What a login comes to.
pub(super) struct Outcome {
    /// The session's.
    pub(super) secret: Secret,
    /// Seals the server's result, bound to the transcript.
    pub(super) result: Secret,
    pub(super) transcript: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::super::secret::tests::hex;
    use super::*;

    fn key(text: &str) -> [u8; 32] {
        hex(text).try_into().expect("32 bytes")
    }

    #[test]
    fn shared_secrets_are_those_of_rfc_7748() {
        // Section 6.1.
        let alice = "77076d0a7318a57d3c16c17251b26645 df4c2f87ebc0992ab177fba51db92c2a";
        let bob = "5dab087e624a8a4b79e17f8b83800ee6 6f3bb1292618b6fd1c2f8b27ff88e0eb";
        let (alice, bob) = (Ephemeral::new(key(alice)), Ephemeral::new(key(bob)));
        let alice_public = "8520f0098930a754748b7ddcb43ef75a 0dbf3a0d26381af4eba4a98eaa9b4e6a";
        let bob_public = "de9edb7d7b7dc1b4d35b61c2ece43537 3f8343c85b78674dadfc7e146f882b4f";
        assert_eq!((alice.public, bob.public), (key(alice_public), key(bob_public)));
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25 e07e21c947d19e3376f09b3c1e161742";
        for secret in [alice.agree(bob.public), bob.agree(alice.public)] {
            assert_eq!(secret.expect("not zero").expose(), &key(shared));
        }
    }

    #[test]
    fn keys_that_share_zero_with_everybody_are_refused() {
        // Points of low order (RFC 7748 section 6.1): 0, 1, two of order 8, p - 1, p, p + 1.
        for low in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert!(Ephemeral::new([7; 32]).agree(key(low)).is_none(), "{low}");
        }
    }
}
