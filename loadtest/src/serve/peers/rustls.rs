//! A framed echo over TLS by tokio-rustls.

use std::io;
use std::sync::Arc;

use ::rustls::ServerConfig;
use ::rustls::crypto::ring;
use ::rustls::pki_types::pem::PemObject;
use ::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::framing::Framing;
use crate::serve::certificate;
use crate::serve::tokio::echo;

/// What greets connections.
pub(super) fn acceptor() -> io::Result<TlsAcceptor> {
    let pair = certificate::make().map_err(io::Error::other)?;
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.map_err(io::Error::other)?],
            key.map_err(io::Error::other)?,
        )
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves one connection.
pub(super) async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    framing: Framing,
    read_bytes: usize,
) {
    // An error is the peer's.
    if let Ok(stream) = acceptor.accept(stream).await {
        let _ = echo(stream, framing, read_bytes).await;
    }
}
