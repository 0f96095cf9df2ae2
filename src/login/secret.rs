//! Secrets, and what is done with them: proofs, other keys, sealed bytes.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes that sealing adds.
pub(super) const SEAL_BYTES: usize = 16;

/// 32 bytes that two sides know and nobody else: a session's secret, a key. Wiped when dropped,
/// and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// The bytes: to hand a session to a message server that is another program, say. Whoever has
    /// them has the session.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-Extract of RFC 5869 with SHA-256.
    pub(super) fn extract(salt: &[u8], material: &[u8]) -> Secret {
        let (key, _) = Hkdf::<Sha256>::extract(Some(salt), material);
        Secret(Zeroizing::new(key.into()))
    }

    /// HKDF-Expand of RFC 5869: a key of its own for each use.
    pub(super) fn derive(&self, label: &[&[u8]]) -> Secret {
        let expand = Hkdf::<Sha256>::from_prk(&*self.0).expect("32 bytes are long enough");
        let mut key = Zeroizing::new([0; 32]);
        expand.expand_multi_info(label, &mut *key).expect("32 bytes can be expanded to");
        Secret(key)
    }

    fn hmac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.0).expect("any length does");
        parts.iter().for_each(|part| mac.update(part));
        mac
    }

    /// HMAC-SHA-256 (RFC 2104) of the parts, one after the other.
    pub(super) fn prove(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.hmac(parts).finalize().into_bytes().into()
    }

    /// Whether `proof` is [`Secret::prove`] of the parts, in a time that does not tell how far it
    /// is right.
    pub(super) fn accepts(&self, parts: &[&[u8]], proof: &[u8; 32]) -> bool {
        self.hmac(parts).verify_slice(proof).is_ok()
    }

    /// Seals bytes (ChaCha20-Poly1305, RFC 8439), bound to a context. Once for each key: the nonce
    /// is zero.
    pub(super) fn seal_once(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let payload = Payload { msg: plain, aad: context };
        let sealed = ChaCha20Poly1305::new((&*self.0).into()).encrypt(&[0; 12].into(), payload);
        sealed.expect("a message is far below 256 GiB")
    }

    /// Opens what was sealed for this context; `None` if a bit of it is another.
    pub(super) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let payload = Payload { msg: sealed, aad: context };
        let plain = ChaCha20Poly1305::new((&*self.0).into()).decrypt(&[0; 12].into(), payload);
        plain.ok().map(Zeroizing::new)
    }
}

impl From<[u8; 32]> for Secret {
    fn from(bytes: [u8; 32]) -> Secret {
        Secret(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// SHA-256 of the parts, one after the other.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::login) fn hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn proofs_are_those_of_rfc_4231() {
        // A key shorter than a block is filled up with zeros, so these have keys of 32 bytes, too.
        let pad = |key: &[u8]| {
            let mut padded = [0; 32];
            padded[..key.len()].copy_from_slice(key);
            Secret::from(padded)
        };
        let first = "b0344c61d8db38535ca8afceaf0bf12b 881dc200c9833da726e9376c2e32cff7";
        assert_eq!(pad(&[0x0b; 20]).prove(&[b"Hi There"])[..], hex(first));
        let second = "5bdcc146bf60754e6a042426089575c7 5a003f089d2739839dec58b964ec3843";
        let proof = pad(b"Jefe").prove(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(proof[..], hex(second));
        let third = "773ea91e36800e46854db8ebd09181a7 2959098b3ef8c122d9635514ced565fe";
        assert_eq!(pad(&[0xaa; 20]).prove(&[&[0xdd; 50]])[..], hex(third));
    }

    #[test]
    fn keys_are_those_of_rfc_5869() {
        let (salt, info) = (hex("000102030405060708090a0b0c"), hex("f0f1f2f3f4f5f6f7f8f9"));
        let prk = Secret::extract(&salt, &[0x0b; 22]);
        let expected = "077709362c2e32df0ddc3f0dc47bba63 90b6c73bb50f9c3122ec844ad7c2b3e5";
        assert_eq!(prk.expose()[..], hex(expected));
        // The first 32 of the 42 bytes.
        let expected = "3cb25f25faacd57a90434f64d0362f2a 2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
        assert_eq!(prk.derive(&[&info[..3], &info[3..]]).expose()[..], hex(expected));
    }

    #[test]
    fn a_proof_with_any_bit_flipped_is_refused() {
        let secret = Secret::from([7; 32]);
        let proof = secret.prove(&[b"part"]);
        assert!(secret.accepts(&[b"pa", b"rt"], &proof));
        for bit in 0..256 {
            let mut other = proof;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!secret.accepts(&[b"part"], &other), "bit {bit}");
        }
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_alone() {
        let secret = Secret::from([7; 32]);
        let sealed = secret.seal_once(b"here", b"token");
        assert_eq!(sealed.len(), 5 + SEAL_BYTES);
        assert_eq!(secret.open(b"here", &sealed).expect("its own")[..], *b"token");
        assert!(secret.open(b"there", &sealed).is_none());
        assert!(Secret::from([8; 32]).open(b"here", &sealed).is_none());
        for len in 0..sealed.len() {
            assert!(secret.open(b"here", &sealed[..len]).is_none());
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::from([7; 32])), "Secret(..)");
    }
}
