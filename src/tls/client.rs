//! The client's side: whom it trusts, and connections to those.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::error::{HandshakeError, SetupError, TlsConnectError};
use super::negotiated::Version;
use super::pem::{Pair, Pem};
use super::server::versions;
use super::shake::{Asking, Shaking};
use crate::net::handshake::{self, Handshake};
use crate::net::{Endpoint, TcpStream};
use crate::reactor::Reactor;
use crate::reactor::blocking::blocking;

/// The client's side of TLS: whom it trusts. A cheap clone; all cores may share one, and sessions
/// that it remembers are resumed from any.
///
/// Certificates are always checked. (Who must not: [`Client::from_rustls`].)
///
/// ```no_run
/// use skyring::{Result, tls};
///
/// async fn ask() -> Result<()> {
///     let tls = tls::Client::new()?; // trusts whom this machine trusts
///     let stream = tls.connect("example.org:443").await?;
///     stream.write("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")?;
///     println!("{:?}", stream.read_to_end(1 << 20).await?);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    builder: ClientBuilder,
    /// Made with the first connection where the machine's own certificates are trusted.
    config: OnceLock<Arc<ClientConfig>>,
}

impl Client {
    /// Trusts whom this machine trusts. Those certificates are read off the reactor, with the first
    /// connection.
    ///
    /// # Errors
    /// [`SetupError`]; none today.
    pub fn new() -> Result<Client, SetupError> {
        Client::builder().build()
    }

    /// Trusts others, shows a certificate, or makes other choices.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Of a configuration of rustls', for what the builder has no word for. Early data is turned off.
    pub fn from_rustls(config: ClientConfig) -> Client {
        let made = OnceLock::from(Arc::new(fit(config)));
        Client(Arc::new(Inner { builder: ClientBuilder::default(), config: made }))
    }

    /// Connects to a host and port, as [`TcpStream::connect`] does, and speaks the handshake; each
    /// within `SKYRING_CONNECT_TIMEOUT`. The host's certificate must be for the name, or address, that
    /// stands here.
    ///
    /// Dropping the future cancels; nothing of the connection stays.
    ///
    /// # Errors
    /// [`TlsConnectError`] tells what is wrong with the connection, or with the certificate.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub async fn connect(&self, to: impl Into<Endpoint>) -> Result<TcpStream, TlsConnectError> {
        let endpoint = to.into();
        let host = endpoint.host();
        let stream = TcpStream::connect(endpoint).await.map_err(TlsConnectError::Connect)?;
        self.wrap(stream, &host.unwrap_or_default()).await
    }

    /// Speaks the handshake on a stream, which may have spoken in plain text before, within
    /// `SKYRING_CONNECT_TIMEOUT`. The peer's certificate must be for `host`.
    ///
    /// # Errors
    /// [`TlsConnectError`]; the connection is closed.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub async fn wrap(&self, stream: TcpStream, host: &str) -> Result<TcpStream, TlsConnectError> {
        let config = self.config().await.map_err(TlsConnectError::NoRoots)?;
        let handshake = begin(config, host)?;
        let limit = Reactor::current().settings.connect_timeout;
        handshake::encrypt(stream, handshake, limit).await.map_err(|failure| {
            TlsConnectError::Handshake { host: host.to_owned(), error: failure.into() }
        })
    }

    /// Its configuration, where no file is to be read for it.
    #[cfg(test)]
    pub(super) fn made(&self) -> Option<Arc<ClientConfig>> {
        self.0.config.get().cloned()
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, SetupError> {
        if let Some(config) = self.0.config.get() {
            return Ok(config.clone());
        }
        let inner = self.0.clone();
        let made = blocking(move || {
            let mut roots = RootCertStore::empty();
            add_native(&mut roots)?;
            inner.builder.config(roots)
        });
        let made = made.await.map_err(|error| SetupError::NoRoots(error.to_string()))??;
        Ok(self.0.config.get_or_init(|| Arc::new(made)).clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("tls::Client").finish_non_exhaustive()
    }
}

/// What a [`Client`] is made of.
#[derive(Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct ClientBuilder {
    ca: Vec<Pem>,
    pair: Option<Pair>,
    alpn: Vec<Vec<u8>>,
    oldest: Version,
    newest: Version,
    resumes: bool,
}

impl Default for ClientBuilder {
    fn default() -> ClientBuilder {
        ClientBuilder {
            ca: Vec::new(),
            pair: None,
            alpn: Vec::new(),
            oldest: Version::Tls12,
            newest: Version::Tls13,
            resumes: true,
        }
    }
}

impl ClientBuilder {
    /// Trusts the certificates of `ca`, and those that they vouch for, in place of those that this
    /// machine trusts. May be called several times.
    pub fn ca(mut self, ca: impl Into<Pem>) -> ClientBuilder {
        self.ca.push(ca.into());
        self
    }

    /// The certificate that a server is shown that asks for one, and its key.
    pub fn certificate(
        mut self,
        certificate: impl Into<Pem>,
        key: impl Into<Pem>,
    ) -> ClientBuilder {
        self.pair = Some(Pair { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Application protocols (ALPN) that are offered, the best first.
    pub fn alpn<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> ClientBuilder {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The oldest version that is spoken; 1.2 without this.
    pub fn oldest(mut self, version: Version) -> ClientBuilder {
        self.oldest = version;
        self
    }

    /// The newest version that is spoken; 1.3 without this.
    pub fn newest(mut self, version: Version) -> ClientBuilder {
        self.newest = version;
        self
    }

    /// Whether sessions are remembered and resumed; they are without this, the last 256 of them.
    pub fn resumption(mut self, on: bool) -> ClientBuilder {
        self.resumes = on;
        self
    }

    /// Reads the files that were named, and makes the client.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn build(self) -> Result<Client, SetupError> {
        let config = OnceLock::new();
        if let Some(pair) = &self.pair {
            pair.load(&ring::default_provider())?; // what is wrong with it shows here
        }
        if !self.ca.is_empty() {
            let mut roots = RootCertStore::empty();
            for ca in &self.ca {
                ca.add_roots(&mut roots)?;
            }
            let made = self.config(roots)?;
            config.get_or_init(|| Arc::new(made));
        }
        Ok(Client(Arc::new(Inner { builder: self, config })))
    }

    fn config(&self, roots: RootCertStore) -> Result<ClientConfig, SetupError> {
        let refused = |error: rustls::Error| SetupError::Refused(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(self.oldest, self.newest))
            .map_err(refused)?
            .with_root_certificates(roots);
        let mut config = match &self.pair {
            Some(pair) => {
                let key = rustls::sign::SingleCertAndKey::from(pair.load(&provider)?);
                builder.with_client_cert_resolver(Arc::new(key))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.clone();
        if !self.resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Ok(fit(config))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("tls::ClientBuilder").finish_non_exhaustive()
    }
}

/// The handshake with a server that is to be `host`.
pub(super) fn begin(
    config: Arc<ClientConfig>,
    host: &str,
) -> Result<Box<dyn Handshake>, TlsConnectError> {
    let bare = host.trim_end_matches('.').to_owned();
    let Ok(name) = ServerName::try_from(bare.clone()) else {
        return Err(TlsConnectError::BadHost(host.to_owned()));
    };
    let max_fragment = config.max_fragment_size;
    let connection = UnbufferedClientConnection::new(config, name).map_err(|error| {
        TlsConnectError::Handshake { host: host.to_owned(), error: HandshakeError::of(error) }
    })?;
    Ok(Box::new(Shaking::new(Asking::new(connection, bare), max_fragment)))
}

/// Fits a configuration to this engine: its records are taken from rustls when the handshake is done,
/// and early data is not spoken.
fn fit(mut config: ClientConfig) -> ClientConfig {
    config.enable_secret_extraction = true;
    config.enable_early_data = false;
    config
}

/// The certificates that this machine trusts; those that cannot be used are passed over.
fn add_native(roots: &mut RootCertStore) -> Result<(), SetupError> {
    let found = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map_or("none was found".into(), ToString::to_string);
        return Err(SetupError::NoRoots(why));
    }
    Ok(())
}
