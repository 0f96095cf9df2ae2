//! A certificate for the length of a run: who measures a server asks it for no proof.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::error::{Error, Result};

/// Certificate and key, in PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A new certificate that is signed by itself, for `localhost`.
pub(super) fn make() -> Result<Pair> {
    let made = generate_simple_self_signed(["localhost".to_owned()]);
    let CertifiedKey { cert, signing_key } =
        made.map_err(|error| Error::run(format!("making a certificate: {error}")))?;
    Ok(Pair { certificate: cert.pem(), key: signing_key.serialize_pem() })
}
