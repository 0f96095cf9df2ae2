//! Certificates made on the spot, servers that have them, and peers by rustls on plain sockets.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use skyring::http::{Request, Response, Router};
use skyring::prelude::*;
use skyring::tls::{self, Pem};

use crate::common::{Server, connect};

/// Who signs the certificates of a test.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        Authority { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// One that was valid long ago.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names of hosts");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Issued {
    pub(crate) fn pair(&self) -> (Pem, Pem) {
        (Pem::bytes(self.certificate.as_str()), Pem::bytes(self.key.as_str()))
    }

    pub(crate) fn server(&self) -> tls::Server {
        let (certificate, key) = self.pair();
        tls::Server::from_pem_files(certificate, key).expect("a certificate with its key")
    }
}

/// An authority, a server for localhost, and a client that trusts it.
pub(crate) fn both() -> (Authority, tls::Server, tls::Client) {
    let authority = Authority::new("the tests' authority");
    let server = authority.issue(&["localhost", "127.0.0.1"]).server();
    let client = trusting(&authority);
    (authority, server, client)
}

pub(crate) fn trusting(authority: &Authority) -> tls::Client {
    let ca = Pem::bytes(authority.pem.as_str());
    tls::Client::builder().ca(ca).build().expect("an authority")
}

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("skyring-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a fresh folder");
        Folder(path)
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What an HTTP server of the tests serves.
pub(crate) fn router() -> Router {
    Router::new()
        .get("/", async |_| Ok(Response::text("Hello, World!")))
        .get("/large", async |_| Ok(Response::bytes("text/plain", vec![b'x'; 8 << 20])))
        .post("/echo", async |mut request: Request| {
            let body = request.bytes().await?;
            Ok(Response::bytes("application/octet-stream", body))
        })
        .get("/tls", async |request: Request| {
            let tls = request.tls().ok_or("plain text")?;
            let name = tls.server_name.as_deref().unwrap_or("-");
            let alpn = String::from_utf8_lossy(tls.alpn.as_deref().unwrap_or(b"-")).into_owned();
            let certificates = tls.peer_certificates.len();
            let version = tls.version;
            let resumed = if tls.is_resumed { "resumed" } else { "full" };
            Ok(Response::text(format!("{version} {name} {alpn} {certificates} {resumed}")))
        })
}

/// Whether a program is there; says loudly when a test has to be skipped.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed, and this test talks to it");
    }
    found
}

/// Runs a program to its end: whether it succeeded, what it printed, and what it complained of.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> (bool, String, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It may end without reading.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// A peer by rustls, on a plain socket.
pub(crate) type Peer = StreamOwned<ClientConnection, TcpStream>;

/// What a peer trusts.
pub(crate) fn trust(authority: &Authority) -> ClientConfig {
    trust_by(authority, rustls::crypto::ring::default_provider(), rustls::ALL_VERSIONS)
}

pub(crate) fn trust_by(
    authority: &Authority,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(authority.pem.as_bytes());
    roots.add(certificate.expect("a certificate")).expect("an authority");
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Connects, and speaks the handshake.
pub(crate) fn peer(address: SocketAddr, config: ClientConfig) -> Peer {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    let mut socket = connect(address);
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).expect("a handshake");
    }
    StreamOwned::new(connection, socket)
}

/// A server on a core, whose streams `serve` has.
pub(crate) fn serve<F>(
    config: Config,
    tls: &tls::Server,
    serve: impl Fn(skyring::net::TcpStream) -> F + Clone + Send + Sync + 'static,
) -> Server
where
    F: Future<Output = ()> + 'static,
{
    let tls = tls.clone();
    Server::of(Engine::new(config).setup(move |_| {
        let listener = skyring::net::TcpListener::bind("127.0.0.1:0")?;
        let (tls, serve) = (tls.clone(), serve.clone());
        spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let (tls, serve) = (tls.clone(), serve.clone());
                spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        });
        Ok(())
    }))
}
