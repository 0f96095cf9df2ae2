//! Certificates and keys in PEM, from files or from bytes; every error says which, and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::error::SetupError;
use super::validity::complaint;
use crate::driver::wall_clock;

/// Certificates or a key in PEM: a file by its path, or its bytes.
#[derive(Clone)]
pub struct Pem(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl From<&str> for Pem {
    /// A file.
    fn from(path: &str) -> Pem {
        Pem(Source::File(path.into()))
    }
}

impl From<String> for Pem {
    /// A file.
    fn from(path: String) -> Pem {
        Pem(Source::File(path.into()))
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Pem {
        Pem(Source::File(path.into()))
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Pem {
        Pem(Source::File(path))
    }
}

impl Pem {
    /// What a file has, in place of its path.
    ///
    /// ```
    /// use skyring::tls::Pem;
    /// let key = Pem::bytes("-----BEGIN PRIVATE KEY-----\n...");
    /// ```
    pub fn bytes(pem: impl Into<Vec<u8>>) -> Pem {
        Pem(Source::Bytes(pem.into()))
    }

    /// What errors call it.
    pub(super) fn name(&self) -> String {
        match &self.0 {
            Source::File(path) => path.display().to_string(),
            Source::Bytes(_) => "the given PEM".into(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, SetupError> {
        match &self.0 {
            Source::File(file) => std::fs::read(file)
                .map_err(|source| SetupError::Unreadable { file: file.clone(), source }),
            Source::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    fn unusable(&self, why: impl Into<String>) -> SetupError {
        SetupError::Unusable { file: self.name(), why: why.into() }
    }

    /// All certificates of it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, SetupError> {
        let pem = self.read()?;
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            certificates.push(certificate.map_err(|error| {
                self.unusable(format!("certificate {}: {error}", certificates.len() + 1))
            })?);
        }
        if !certificates.is_empty() {
            return Ok(certificates);
        }
        Err(self.unusable(if has_label(&pem, "PRIVATE KEY") {
            "a private key, and no certificate in it; are the two files swapped?"
        } else {
            "no certificate in it; one begins with -----BEGIN CERTIFICATE-----"
        }))
    }

    /// The first private key of it.
    fn key(&self) -> Result<PrivateKeyDer<'static>, SetupError> {
        let pem = self.read()?;
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => Ok(key),
            // The second is how keys were encrypted before PKCS #8 (RFC 1421, 4.6.1.1).
            Err(_) if has_label(&pem, "ENCRYPTED PRIVATE KEY") || has_encrypted_body(&pem) => {
                Err(self.unusable(
                    "the private key is encrypted; decrypt it once: openssl pkey -in KEY -out PLAIN",
                ))
            }
            Err(rustls::pki_types::pem::Error::NoItemsFound) => {
                Err(self.unusable(if has_label(&pem, "CERTIFICATE") {
                    "a certificate, and no private key in it; are the two files swapped?"
                } else {
                    "no private key in it; one begins with -----BEGIN PRIVATE KEY-----"
                }))
            }
            Err(error) => Err(self.unusable(format!("the private key: {error}"))),
        }
    }

    /// All certificates of it, as those that others are checked by.
    pub(super) fn add_roots(&self, roots: &mut RootCertStore) -> Result<(), SetupError> {
        for (index, certificate) in self.certificates()?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                self.unusable(format!("certificate {} cannot be trusted: {error}", index + 1))
            })?;
        }
        Ok(())
    }
}

/// Whether a section of PEM of this kind begins in it.
fn has_label(pem: &[u8], label: &str) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(label))
}

/// Whether a section of it says that what follows is encrypted.
fn has_encrypted_body(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.lines().any(|line| line.starts_with("Proc-Type: 4,ENCRYPTED"))
}

/// A certificate with its key, and where they come from.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
}

impl Pair {
    /// Reads both and looks whether they belong together.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, SetupError> {
        let certificates = self.certificate.certificates()?;
        let key = provider.key_provider.load_private_key(self.key.key()?);
        let key = key.map_err(|error| self.key.unusable(format!("the private key: {error}")))?;
        let pair = CertifiedKey::new(certificates, key);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                self.warn_of_date(&pair);
                Ok(Arc::new(pair))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(SetupError::KeyMismatch {
                certificate: self.certificate.name(),
                key: self.key.name(),
            }),
            Err(error) => Err(self.certificate.unusable(format!("the first certificate: {error}"))),
        }
    }

    /// A certificate out of its time is shown all the same: its owner may know what he does.
    fn warn_of_date(&self, pair: &CertifiedKey) {
        let complaint = pair.cert.first().and_then(|der| complaint(der, wall_clock()));
        if let Some(complaint) = complaint {
            let certificate = self.certificate.name();
            tracing::warn!(certificate, "the certificate is out of its time, or soon: {complaint}");
        }
    }
}
