//! Who a login server is, over all of its logins.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// A login server's long-term key (Ed25519, RFC 8032). A client that pins its public half notices
/// anybody in the middle.
///
/// Made from 32 random bytes, which are to be kept as a private key is: in a file that only the
/// server reads. Wiped when dropped, and never printed.
///
/// ```
/// use skyring::login::Identity;
///
/// let identity = Identity::from_seed([7; 32]); // from a file, not from the source
/// println!("pin this in clients: {}", identity.public());
/// ```
pub struct Identity(SigningKey);

impl Identity {
    /// The identity of these 32 bytes.
    pub fn from_seed(seed: [u8; 32]) -> Identity {
        Identity(SigningKey::from_bytes(&seed))
    }

    /// What clients know it by.
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public())
    }
}

/// What clients know a login server by: 32 bytes, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicIdentity(pub [u8; 32]);

impl PublicIdentity {
    /// Whether the signature is this identity's. Strict: weak keys and signatures that can be
    /// altered and still hold are refused.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let key = VerifyingKey::from_bytes(&self.0);
        key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl fmt::Display for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::tests::hex;
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc4 4449c5697b326919703bac031cae7f60");
        let identity = Identity::from_seed(seed.try_into().expect("32 bytes"));
        assert_eq!(
            identity.public().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let expected = "e5564300c360ac729086e2cc806e828a 84877f1eb8e5d974d873e06522490155
                        5fb8821590a33bacc61e39701cf9b46b d25bf5f0595bbe24655141438e7a100b";
        assert_eq!(identity.sign(b"")[..], hex(expected));
        assert!(identity.public().has_signed(b"", &identity.sign(b"")));
        assert!(!identity.public().has_signed(b"x", &identity.sign(b"")));
        assert!(!PublicIdentity([0; 32]).has_signed(b"", &[0; 64]), "a weak key");
        assert!(!format!("{identity:?}").contains("9d61"));
    }
}
