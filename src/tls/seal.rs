//! Seals records into a buffer that is used again: header, content and tag behind each other.
//!
//! ```text
//!   1.3   │ 23 3 3 len │ content, type      sealed │ tag │        RFC 8446, 5.2
//!   1.2   │ ty 3 3 len │ nonce │ content    sealed │ tag │        RFC 5288, 3; without nonce RFC 7905
//! ```
//! rustls' own encrypters do the same into a fresh vector for each record, which for large ones the
//! allocator gives back to the kernel, and faults in again, at every turn.

use ring::aead::{self, LessSafeKey, UnboundKey};
use rustls::crypto::cipher::{Iv, Nonce, make_tls12_aad, make_tls13_aad};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

use super::breach::Alert;

/// The legacy version of each record, TLS 1.2 (RFC 8446, 5.1).
const VERSION: [u8; 2] = [3, 3];
/// What all three ciphers have.
const TAG_BYTES: usize = 16;
/// The part of a nonce that AES-GCM of TLS 1.2 sends along (RFC 5288, 3).
const EXPLICIT_BYTES: usize = 8;

/// The most that a record is longer than its content: header, nonce or type, tag.
pub(super) const OVERHEAD_BYTES: usize = 5 + EXPLICIT_BYTES + TAG_BYTES;

/// What seals records by one key.
pub(super) struct Sealer {
    key: LessSafeKey,
    iv: Iv,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Tls13,
    Tls12,
    /// With a part of the nonce before the content.
    Tls12Explicit,
}

impl Sealer {
    pub(super) fn new(
        suite: SupportedCipherSuite,
        secrets: ConnectionTrafficSecrets,
    ) -> Result<Sealer, Alert> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, key, iv)
            }
            _ => return Err(Alert::INTERNAL_ERROR), // of a provider that has more
        };
        let shape = match suite {
            SupportedCipherSuite::Tls13(_) => Shape::Tls13,
            SupportedCipherSuite::Tls12(_) if *algorithm == aead::CHACHA20_POLY1305 => Shape::Tls12,
            SupportedCipherSuite::Tls12(_) => Shape::Tls12Explicit,
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Alert::INTERNAL_ERROR)?;
        Ok(Sealer { key: LessSafeKey::new(key), iv, shape })
    }

    /// Appends to `out` the record of this number, which holds the bytes that `write` appends.
    ///
    /// # Errors
    /// The cipher refuses; `out` is as it was.
    pub(super) fn seal(
        &self,
        typ: ContentType,
        number: u64,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Alert> {
        let nonce = Nonce::new(&self.iv, number).0;
        let start = out.len();
        let outer = if self.shape == Shape::Tls13 { ContentType::ApplicationData } else { typ };
        out.extend_from_slice(&[outer.into(), VERSION[0], VERSION[1], 0, 0]);
        if self.shape == Shape::Tls12Explicit {
            out.extend_from_slice(&nonce[nonce.len() - EXPLICIT_BYTES..]);
        }
        let content = out.len();
        write(out);
        let len = out.len() - content;
        if self.shape == Shape::Tls13 {
            out.push(typ.into());
        }
        let payload = out.len() - (start + 5) + TAG_BYTES;
        let header_len = u16::try_from(payload).expect("a record has at most 16 KiB");
        out[start + 3..start + 5].copy_from_slice(&header_len.to_be_bytes());
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let (aad13, aad12);
        let aad: &[u8] = match self.shape {
            Shape::Tls13 => {
                aad13 = make_tls13_aad(payload);
                &aad13
            }
            Shape::Tls12 | Shape::Tls12Explicit => {
                aad12 = make_tls12_aad(number, typ, ProtocolVersion::TLSv1_2, len);
                &aad12
            }
        };
        let aad = aead::Aad::from(aad);
        match self.key.seal_in_place_separate_tag(nonce, aad, &mut out[content..]) {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Err(_) => {
                out.truncate(start);
                Err(Alert::INTERNAL_ERROR)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::cipher::{AeadKey, OutboundChunks, OutboundPlainMessage};
    use rustls::crypto::ring::cipher_suite;

    use super::*;

    fn secrets(suite: SupportedCipherSuite) -> ConnectionTrafficSecrets {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8);
        let (key, iv) = (AeadKey::from(bytes), Iv::from([7; 12]));
        match suite.suite().as_str().expect("known") {
            name if name.contains("CHACHA") => {
                ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }
            }
            _ => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        }
    }

    /// What rustls' own encrypter makes of it.
    fn by_rustls(
        suite: SupportedCipherSuite,
        typ: ContentType,
        plain: &[u8],
        number: u64,
    ) -> Vec<u8> {
        let (ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets(suite)
        else {
            unreachable!("these two are made above")
        };
        let mut encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
                let (fixed, explicit) = iv.as_ref().split_at(fixed);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        let payload = OutboundChunks::Single(plain);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        encrypter.encrypt(message, number).expect("sealed").encode()
    }

    #[test]
    fn a_record_is_what_rustls_makes_of_it() {
        for suite in [
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ] {
            let sealer = Sealer::new(suite, secrets(suite)).expect("a cipher");
            let mut out = b"before".to_vec();
            let mut expected = out.clone();
            for (typ, len, number) in [
                (ContentType::ApplicationData, 1, 0),
                (ContentType::ApplicationData, 1 << 14, 1),
                (ContentType::Alert, 2, 1 << 40),
                (ContentType::Handshake, 5, u64::MAX),
            ] {
                let plain = vec![len as u8; len];
                let write = |out: &mut Vec<u8>| out.extend_from_slice(&plain);
                let before = out.len();
                sealer.seal(typ, number, &mut out, write).expect("sealed");
                assert!(out.len() - before <= len + OVERHEAD_BYTES);
                expected.extend(by_rustls(suite, typ, &plain, number));
                assert_eq!(out, expected, "{suite:?} {typ:?} {len}");
            }
        }
    }
}
