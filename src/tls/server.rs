//! The server's side: what it is made of, and made anew of while it runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::error::{HandshakeError, SetupError};
use super::negotiated::Version;
use super::pem::{Pair, Pem};
use super::shake::{Serving, Shaking, note_server_name};
use crate::config::Config;
use crate::net::TcpStream;
use crate::net::handshake::{self, Greet, Handshake, Refused, handshake_limit};

/// The server's side of TLS: its certificates, and whom it lets in. A cheap clone; all cores and
/// several listeners may share one.
///
/// ```no_run
/// use skyring::http::{Response, Router};
/// use skyring::prelude::*;
/// use skyring::tls;
///
/// fn main() -> Result<()> {
///     let tls = tls::Server::from_pem_files("cert.pem", "key.pem")?;
///     Engine::new(Config::from_env()?)
///         .https("0.0.0.0:8443", &tls, |_core| {
///             Router::new().get("/", async |_request| Ok(Response::text("Nobody else reads this.")))
///         })
///         .run()
/// }
/// ```
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    /// What it is made of; nothing where it was made of a configuration of rustls.
    builder: Option<ServerBuilder>,
    config: RwLock<Arc<ServerConfig>>,
}

impl Server {
    /// Of a certificate, with those that vouch for it behind, and its private key, both in PEM.
    ///
    /// # Errors
    /// [`SetupError`] names the file and what is wrong with it.
    pub fn from_pem_files(
        certificate: impl Into<Pem>,
        key: impl Into<Pem>,
    ) -> Result<Server, SetupError> {
        Server::builder().certificate(certificate, key).build()
    }

    /// Of the files that `SKYRING_TLS_CERT` and `SKYRING_TLS_KEY` name.
    ///
    /// # Errors
    /// [`SetupError::NoFiles`] when they are not set, and as [`Server::from_pem_files`].
    pub fn from_config(config: &Config) -> Result<Server, SetupError> {
        let (certificate, key) = config.tls_files().ok_or(SetupError::NoFiles)?;
        Server::from_pem_files(certificate, key)
    }

    /// Of several certificates, for clients with certificates, or with other choices.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Of a configuration of rustls', for what the builder has no word for. Early data is turned off.
    pub fn from_rustls(config: ServerConfig) -> Server {
        Server::of(None, fit(config))
    }

    fn of(builder: Option<ServerBuilder>, config: ServerConfig) -> Server {
        Server(Arc::new(Inner { builder, config: RwLock::new(Arc::new(config)) }))
    }

    /// Reads all files anew. Connections that are there stay as they are; the next ones get the new
    /// certificates. Sessions of before are not resumed: whom they let in may not be let in any more.
    ///
    /// It reads files, so on a core call it by [`blocking`](fn@crate::blocking).
    ///
    /// # Errors
    /// [`SetupError`]: what was there before stays.
    pub fn reload(&self) -> Result<(), SetupError> {
        let Some(builder) = &self.0.builder else {
            return Err(SetupError::Refused(
                "it was made of a configuration of rustls, not of files".into(),
            ));
        };
        let config = Arc::new(builder.config()?);
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Speaks the handshake on an accepted stream, or on one that has spoken in plain text before
    /// (STARTTLS), within `SKYRING_HANDSHAKE`, or 10 s, if its address has not begun too many
    /// (`SKYRING_TLS_RATE_PER_IP`). What nobody has read of it belongs to the
    /// handshake.
    ///
    /// Gates and HTTP servers do this by themselves.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed.
    ///
    /// ```no_run
    /// use skyring::net::TcpListener;
    /// use skyring::{Result, tls};
    ///
    /// async fn serve(listener: TcpListener, tls: tls::Server) -> Result<()> {
    ///     while let Ok(stream) = listener.accept().await {
    ///         let tls = tls.clone();
    ///         skyring::spawn(async move {
    ///             let stream = tls.accept(stream).await?;
    ///             while let Some(data) = stream.read().await? {
    ///                 stream.write(data)?;
    ///             }
    ///             stream.close().await.map_err(skyring::Error::from)
    ///         });
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn accept(&self, stream: TcpStream) -> Result<TcpStream, HandshakeError> {
        handshake::admit(stream.peer())?;
        let handshake = self.0.begin().map_err(|why| HandshakeError::Malformed(why.to_string()))?;
        Ok(handshake::encrypt(stream, handshake, handshake_limit()).await?)
    }

    /// For listeners.
    pub(crate) fn greet(&self) -> Arc<dyn Greet> {
        self.0.clone()
    }
}

impl Greet for Inner {
    fn begin(&self) -> Result<Box<dyn Handshake>, Refused> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let max_fragment = config.max_fragment_size;
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Box::new(Shaking::new(Serving::new(connection), max_fragment)))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("tls::Server").finish_non_exhaustive()
    }
}

/// What a server does with clients' certificates.
#[derive(Clone)]
enum Clients {
    /// Asks for none.
    Unasked,
    /// Asks, and takes those that have none.
    Asked(Pem),
    Required(Pem),
}

/// What a [`Server`] is made of.
///
/// ```no_run
/// use skyring::tls;
///
/// # fn example() -> Result<(), tls::SetupError> {
/// let tls = tls::Server::builder()
///     .certificate("example.org.pem", "example.org.key") // for whoever names no other host
///     .certificate("example.net.pem", "example.net.key") // for those that ask for example.net
///     .require_clients("clients-ca.pem")
///     .alpn(["h2", "http/1.1"])
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct ServerBuilder {
    pairs: Vec<Pair>,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
    oldest: Version,
    newest: Version,
    resumes: bool,
}

impl Default for ServerBuilder {
    fn default() -> ServerBuilder {
        ServerBuilder {
            pairs: Vec::new(),
            clients: Clients::Unasked,
            alpn: Vec::new(),
            oldest: Version::Tls12,
            newest: Version::Tls13,
            resumes: true,
        }
    }
}

impl ServerBuilder {
    /// A certificate, with those that vouch for it behind, and its key. The first is for clients that
    /// ask for no host, or for one that no other certificate is for.
    pub fn certificate(
        mut self,
        certificate: impl Into<Pem>,
        key: impl Into<Pem>,
    ) -> ServerBuilder {
        self.pairs.push(Pair { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Lets in only clients with a certificate that is signed by one of `ca`.
    pub fn require_clients(mut self, ca: impl Into<Pem>) -> ServerBuilder {
        self.clients = Clients::Required(ca.into());
        self
    }

    /// Asks clients for a certificate that is signed by one of `ca`, and lets in those without one:
    /// [`Negotiated::peer_certificates`](super::Negotiated::peer_certificates) tells.
    pub fn ask_clients(mut self, ca: impl Into<Pem>) -> ServerBuilder {
        self.clients = Clients::Asked(ca.into());
        self
    }

    /// Application protocols (ALPN), the best first. A client that names none of them is refused, one
    /// that names nothing is not. Without this, whatever a client names is passed over.
    pub fn alpn<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> ServerBuilder {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The oldest version that is spoken; 1.2 without this.
    pub fn oldest(mut self, version: Version) -> ServerBuilder {
        self.oldest = version;
        self
    }

    /// The newest version that is spoken; 1.3 without this.
    pub fn newest(mut self, version: Version) -> ServerBuilder {
        self.newest = version;
        self
    }

    /// Whether clients may resume a session, by tickets that only this server reads, for up to 12
    /// hours; they may without this. The key of the tickets is new every 6 hours.
    pub fn resumption(mut self, on: bool) -> ServerBuilder {
        self.resumes = on;
        self
    }

    /// Reads the files and makes the server.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn build(self) -> Result<Server, SetupError> {
        let config = self.config()?;
        Ok(Server::of(Some(self), config))
    }

    fn config(&self) -> Result<ServerConfig, SetupError> {
        let refused = |error: rustls::Error| SetupError::Refused(error.to_string());
        let provider = Arc::new(ring::default_provider());
        if self.pairs.is_empty() {
            return Err(SetupError::NoCertificate);
        }
        let keys = self.pairs.iter().map(|pair| pair.load(&provider));
        let chooser = Chooser { keys: keys.collect::<Result<_, _>>()? };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(self.oldest, self.newest))
            .map_err(refused)?;
        let builder = match self.verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(chooser));
        config.alpn_protocols = self.alpn.clone();
        // Tickets alone: no table of sessions, nothing that cores would share a lock for.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.resumes {
            config.ticketer = ring::Ticketer::new().map_err(refused)?;
        } else {
            config.send_tls13_tickets = 0;
        }
        Ok(fit(config))
    }

    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>, SetupError> {
        let (ca, is_required) = match &self.clients {
            Clients::Unasked => return Ok(None),
            Clients::Asked(ca) => (ca, false),
            Clients::Required(ca) => (ca, true),
        };
        let mut roots = RootCertStore::empty();
        ca.add_roots(&mut roots)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if is_required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build();
        Ok(Some(verifier.map_err(|error| SetupError::Refused(error.to_string()))?))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.pairs.iter().map(|pair| pair.certificate.name()).collect();
        f.debug_struct("tls::ServerBuilder").field("certificates", &names).finish_non_exhaustive()
    }
}

/// The versions between these; an empty list, which rustls refuses, when there is none.
pub(super) fn versions(
    oldest: Version,
    newest: Version,
) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static BOTH: [&rustls::SupportedProtocolVersion; 2] =
        [&rustls::version::TLS12, &rustls::version::TLS13];
    let from = usize::from(oldest == Version::Tls13);
    let to = 1 + usize::from(newest == Version::Tls13);
    BOTH.get(from..to).unwrap_or_default()
}

/// Fits a configuration to this engine: its records are taken from rustls when the handshake is done,
/// early data is not spoken, and the host that a client asks for is noted.
fn fit(mut config: ServerConfig) -> ServerConfig {
    config.enable_secret_extraction = true;
    config.max_early_data_size = 0;
    config.cert_resolver = Arc::new(Noting(config.cert_resolver));
    config
}

/// Notes the host that a client asks for.
#[derive(Debug)]
struct Noting(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        note_server_name(hello.server_name());
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

/// Chooses a certificate by the host that a client asks for.
#[derive(Debug)]
struct Chooser {
    /// At least one.
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let first = self.keys.first()?;
        let asked = hello.server_name().filter(|_| self.keys.len() > 1);
        let Some(Ok(name)) = asked.map(ServerName::try_from) else { return Some(first.clone()) };
        let fitting = self.keys.iter().find(|key| is_for(key, &name));
        Some(fitting.unwrap_or(first).clone())
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().map(ParsedCertificate::try_from);
    matches!(certificate, Some(Ok(parsed)) if verify_server_name(&parsed, name).is_ok())
}
