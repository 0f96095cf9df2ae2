//! Who is not trusted: wrong hosts, times and issuers, and clients without certificates.

use skyring::net::TcpListener;
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::tls::{self, HandshakeError, Pem, SetupError, TlsConnectError};

use crate::common::{Echo, Server, config, deadline, eventually};
use crate::support::{Authority, Folder, trusting};

const AT: &str = "127.0.0.1:443";

/// What a client and a server say of a handshake with each other.
fn meet(
    server: &tls::Server,
    client: &tls::Client,
    host: &'static str,
) -> (Result<String, TlsConnectError>, Result<usize, HandshakeError>) {
    let (server, client) = (server.clone(), client.clone());
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(1))).expect("it starts");
    let met = sim.run(async move {
        let listener = TcpListener::bind(AT).expect("a free port");
        let served = spawn(async move {
            let stream = listener.accept().await.expect("it connects");
            let stream = server.accept(stream).await?;
            stream.write("welcome").expect("written");
            let certificates = stream.tls().expect("encrypted").peer_certificates.len();
            let _ = stream.close().await;
            Ok(certificates)
        });
        let asked = async {
            let stream = skyring::net::TcpStream::connect(AT).await.expect("it listens");
            let stream = client.wrap(stream, host).await?;
            // In TLS 1.3 a client hears here that its certificate is refused.
            let welcome = stream.read().await.map_err(|error| TlsConnectError::Handshake {
                host: host.into(),
                error: HandshakeError::Refused(error.to_string()),
            })?;
            Ok(String::from_utf8_lossy(&welcome.expect("a word")).into_owned())
        };
        (asked.await, served.await.expect("no panic"))
    });
    let met = met.unwrap_or_else(|stuck| panic!("{stuck}"));
    sim.stop().expect("nothing is left");
    met
}

fn why(result: Result<String, TlsConnectError>) -> HandshakeError {
    match result {
        Err(TlsConnectError::Handshake { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_is_trusted_is_let_in() {
    let authority = Authority::new("a");
    let server = authority.issue(&["localhost", "127.0.0.1"]).server();
    for host in ["localhost", "LOCALHOST", "localhost.", "127.0.0.1"] {
        let (asked, served) = meet(&server, &trusting(&authority), host);
        assert_eq!((asked.expect(host).as_str(), served.expect(host)), ("welcome", 0));
    }
}

#[test]
fn who_trusts_whom_this_machine_trusts_trusts_no_stranger() {
    let server = Authority::new("a").issue(&["localhost"]).server();
    let client = tls::Client::new().expect("a client");
    match meet(&server, &client, "localhost").0 {
        Err(TlsConnectError::NoRoots(error)) => println!("this machine trusts nobody: {error}"),
        met => assert!(matches!(why(met), HandshakeError::UnknownIssuer)),
    }
}

#[test]
fn a_certificate_for_others_is_refused_and_both_know_why() {
    let authority = Authority::new("a");
    let server = authority.issue(&["example.org", "example.net"]).server();
    let (asked, served) = meet(&server, &trusting(&authority), "localhost");
    let error = why(asked);
    assert!(matches!(&error, HandshakeError::WrongHost { host, certified }
        if host == "localhost" && certified.len() == 2));
    let text = error.to_string();
    assert!(text.contains("example.org") && text.contains("localhost"), "{text}");
    assert!(matches!(served, Err(HandshakeError::Refused(_))), "{served:?}");
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new("a");
    let server = authority.issue_expired(&["localhost"]).server();
    let (asked, served) = meet(&server, &trusting(&authority), "localhost");
    let error = why(asked);
    assert!(matches!(error, HandshakeError::Expired { ago: Some(_) }), "{error:?}");
    assert!(error.to_string().contains("days ago"), "{error}");
    let served = served.expect_err("no handshake").to_string();
    assert!(served.contains("certificate_expired"), "{served}");
}

#[test]
fn a_certificate_of_a_stranger_is_refused_and_its_own_may_be_trusted() {
    let server = Authority::new("a").issue(&["localhost"]).server();
    let (asked, served) = meet(&server, &trusting(&Authority::new("b")), "localhost");
    let error = why(asked);
    assert!(matches!(error, HandshakeError::UnknownIssuer), "{error:?}");
    assert!(error.to_string().contains("self-signed"), "{error}");
    assert!(served.expect_err("no handshake").to_string().contains("unknown_ca"));

    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
    let certificate = params.self_signed(&key).expect("signed").pem();
    let pair = (Pem::bytes(certificate.as_str()), Pem::bytes(key.serialize_pem()));
    let server = tls::Server::from_pem_files(pair.0.clone(), pair.1).expect("a certificate");
    let (asked, _) = meet(&server, &trusting(&Authority::new("b")), "localhost");
    assert!(matches!(why(asked), HandshakeError::UnknownIssuer));
    let client = tls::Client::builder().ca(pair.0).build().expect("a certificate");
    assert!(meet(&server, &client, "localhost").0.is_ok());
}

#[test]
fn a_client_is_asked_for_a_certificate_of_the_right_authority() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let stranger = Authority::new("clients").issue(&["guest"]);
    let right = clients.issue(&["guest"]);
    for version in [tls::Version::Tls12, tls::Version::Tls13] {
        let server = |is_required: bool| {
            let (certificate, key) = servers.issue(&["localhost"]).pair();
            let ca = Pem::bytes(clients.pem.as_str());
            let builder = tls::Server::builder().certificate(certificate, key).newest(version);
            let builder =
                if is_required { builder.require_clients(ca) } else { builder.ask_clients(ca) };
            builder.build().expect("a server")
        };
        let client = |shown: Option<&crate::support::Issued>| {
            let mut builder = tls::Client::builder().ca(Pem::bytes(servers.pem.as_str()));
            if let Some(shown) = shown {
                let (certificate, key) = shown.pair();
                builder = builder.certificate(certificate, key);
            }
            builder.build().expect("a client")
        };
        let (asked, served) = meet(&server(true), &client(None), "localhost");
        assert!(matches!(served, Err(HandshakeError::CertificateRequired)), "{served:?}");
        let heard = why(asked).to_string();
        assert!(heard.contains("certificate"), "{heard}");
        let (asked, served) = meet(&server(true), &client(Some(&stranger)), "localhost");
        assert!(asked.is_err() && served.is_err(), "{served:?}");
        let (asked, served) = meet(&server(true), &client(Some(&right)), "localhost");
        assert_eq!((asked.expect("let in").as_str(), served.expect("let in")), ("welcome", 1));
        let (asked, served) = meet(&server(false), &client(None), "localhost");
        assert_eq!((asked.expect("let in").as_str(), served.expect("let in")), ("welcome", 0));
        let (_, served) = meet(&server(false), &client(Some(&stranger)), "localhost");
        assert!(served.is_err(), "a wrong one is worse than none");
    }
}

#[test]
fn versions_and_protocols_without_a_common_one_are_refused() {
    let authority = Authority::new("a");
    let (certificate, key) = authority.issue(&["localhost"]).pair();
    let builder = || tls::Server::builder().certificate(certificate.clone(), key.clone());
    let ca = || tls::Client::builder().ca(Pem::bytes(authority.pem.as_str()));
    let new = builder().oldest(tls::Version::Tls13).build().expect("a server");
    let old = ca().newest(tls::Version::Tls12).build().expect("a client");
    let (asked, served) = meet(&new, &old, "localhost");
    assert!(matches!(why(asked), HandshakeError::Refused(_)));
    assert!(matches!(served, Err(HandshakeError::Incompatible(_))), "{served:?}");

    let server = builder().alpn(["chat/1"]).build().expect("a server");
    let client = ca().alpn(["chat/2"]).build().expect("a client");
    let (asked, served) = meet(&server, &client, "localhost");
    assert!(why(asked).to_string().contains("no_application_protocol"));
    assert!(matches!(served, Err(HandshakeError::Incompatible(_))), "{served:?}");
    let both = ca().alpn(["chat/2", "chat/1"]).build().expect("a client");
    assert!(meet(&server, &both, "localhost").0.is_ok());
}

#[test]
fn what_is_no_name_of_a_host_is_an_error() {
    let authority = Authority::new("a");
    let server = authority.issue(&["localhost"]).server();
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(1))).expect("it starts");
    let client = trusting(&authority);
    let error = sim.run(async move {
        let _listener = TcpListener::bind(AT).expect("a free port");
        let stream = skyring::net::TcpStream::connect(AT).await.expect("it listens");
        client.wrap(stream, "no name at all").await.expect_err("no name")
    });
    let error = error.unwrap_or_else(|stuck| panic!("{stuck}"));
    assert!(matches!(&error, TlsConnectError::BadHost(_)), "{error}");
    drop(server);
}

#[test]
fn files_that_are_wrong_are_named_with_what_is_wrong() {
    let folder = Folder::new();
    let authority = Authority::new("a");
    let (one, two) = (authority.issue(&["one"]), authority.issue(&["two"]));
    let certificate = folder.file("one.pem", &one.certificate);
    let key = folder.file("one.key", &one.key);
    let other = folder.file("two.key", &two.key);
    let empty = folder.file("empty.pem", "nothing\n");
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let sealed = folder.file("sealed.key", sealed);
    let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
               DEK-Info: AES-128-CBC,4CBB64C64B01283A47AA5082F6D627BA\n\nAAAA\n\
               -----END EC PRIVATE KEY-----\n";
    let sealed_of_old = folder.file("old.key", old);
    let torn = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let torn = folder.file("torn.pem", torn);
    let false_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let false_one = folder.file("false.pem", false_one);
    let missing = folder.path().join("missing.pem");
    let fails = |certificate: &str, key: &str, words: &[&str]| {
        let error = tls::Server::from_pem_files(certificate, key).expect_err("it is wrong");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    fails(missing.to_str().expect("UTF-8"), &key, &["cannot read", "missing.pem", "No such file"]);
    fails(&empty, &key, &["empty.pem", "no certificate in it"]);
    fails(&certificate, &empty, &["empty.pem", "no private key in it"]);
    fails(&key, &certificate, &["one.key", "swapped"]);
    fails(&certificate, &certificate, &["one.pem", "swapped"]);
    fails(&certificate, &sealed, &["sealed.key", "encrypted", "openssl pkey"]);
    fails(&certificate, &sealed_of_old, &["old.key", "encrypted", "openssl pkey"]);
    fails(&certificate, &other, &["one.pem", "two.key", "does not belong"]);
    fails(&torn, &key, &["torn.pem", "certificate 1"]);
    fails(&false_one, &key, &["false.pem"]);
    assert!(tls::Server::from_pem_files(certificate.as_str(), key.as_str()).is_ok());
    let error = tls::Client::builder().ca(key.as_str()).build().expect_err("no certificate");
    assert!(error.to_string().contains("one.key"), "{error}");
    assert!(matches!(tls::Server::builder().build(), Err(SetupError::NoCertificate)));
}

/// What a client says of a peer that does this.
fn strange<F>(peer: impl FnOnce(skyring::net::TcpStream) -> F + 'static) -> TlsConnectError
where
    F: Future<Output = ()> + 'static,
{
    let client = trusting(&Authority::new("a"));
    let mut sim = Simulation::new(1);
    sim.start(Engine::new(Config::new().cores(1))).expect("it starts");
    let error = sim.run(async move {
        let listener = TcpListener::bind(AT).expect("a free port");
        spawn(async move { peer(listener.accept().await.expect("it connects")).await });
        client.connect(AT).await.expect_err("no TLS")
    });
    let error = error.unwrap_or_else(|stuck| panic!("{stuck}"));
    assert_eq!((sim.metrics().tls_failed, sim.metrics().tls_handshakes), (1, 0));
    sim.stop().expect("nothing is left");
    error
}

#[test]
fn a_client_says_what_is_strange_about_its_peer() {
    let error = strange(async |stream| {
        let _ = stream.write("HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.close().await;
    });
    let text = error.to_string();
    assert!(text.contains("speaks no TLS") && text.contains("HTTP/1.1 400"), "{text}");
    let error = strange(async |stream| drop(stream.close().await));
    assert!(matches!(why(Err(error)), HandshakeError::Ended));
    let error = strange(async |stream| stream.shutdown());
    assert!(matches!(why(Err(error)), HandshakeError::Failed(_)));
    let error = strange(async |_stream| std::future::pending().await);
    assert!(matches!(why(Err(error)), HandshakeError::TimedOut(_)));
}

#[test]
fn nobody_that_this_machine_trusts_has_signed_it() {
    deadline(|| {
        let tls = Authority::new("a").issue(&["127.0.0.1"]).server();
        let server = Server::start(config(), Gate::raw().tls(&tls).agent(|_| Echo));
        let address = server.address;
        let asked = server.handle.run_on(0, move || async move {
            tls::Client::new()?.connect(address).await.map(|_| ()).map_err(Error::from)
        });
        let error = asked.expect("no panic").expect_err("it is not trusted").to_string();
        // The latter where this machine trusts nobody.
        assert!(
            error.contains("that is trusted here") || error.contains("ca-certificates"),
            "{error}"
        );
        eventually("both ends are closed", || server.handle.connections() == 0);
        server.stop();
    });
}
