//! The one place where a client's connection is opened.

use super::error::ClientError;
use crate::net::TcpStream;
#[cfg(feature = "tls")]
use crate::tls;
use crate::wire::http::Url;

/// Opens connections.
#[derive(Default)]
pub(super) struct Connector {
    /// Whom it trusts. Made with the first connection that needs it, unless the user says so.
    #[cfg(feature = "tls")]
    tls: std::cell::OnceCell<tls::Client>,
}

impl Connector {
    /// Trusts whom `tls` trusts.
    #[cfg(feature = "tls")]
    pub(super) fn trusting(tls: tls::Client) -> Connector {
        Connector { tls: tls.into() }
    }

    /// Opens a connection to the origin of `url`.
    pub(super) async fn open(&self, url: &Url) -> Result<TcpStream, ClientError> {
        match url.is_secure() {
            true => self.open_secure(url).await,
            false => {
                TcpStream::connect((url.host(), url.port())).await.map_err(ClientError::Connect)
            }
        }
    }

    #[cfg(feature = "tls")]
    async fn open_secure(&self, url: &Url) -> Result<TcpStream, ClientError> {
        let tls = match self.tls.get() {
            Some(tls) => tls.clone(),
            None => {
                let made = tls::Client::builder().alpn(["http/1.1"]).build();
                let made = made.map_err(tls::TlsConnectError::NoRoots)?;
                self.tls.get_or_init(|| made).clone()
            }
        };
        Ok(tls.connect((url.host(), url.port())).await?)
    }

    #[cfg(not(feature = "tls"))]
    async fn open_secure(&self, _: &Url) -> Result<TcpStream, ClientError> {
        Err(ClientError::NoTls)
    }
}
