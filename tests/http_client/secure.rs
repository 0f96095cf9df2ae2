//! `https`, in the simulated kernel: who is trusted, and what never leaves for plain text.
#![cfg(feature = "tls")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use skyring::http::{Client, ClientError, RedirectError, Response, Router};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::tls::{self, HandshakeError, Pem, TlsConnectError};

use crate::support::router;

/// A server for 127.0.0.1 and a client that trusts it.
fn both(authority: &str) -> (tls::Server, tls::Client) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, authority);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("signed").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("signed").pem();
    let pems = [certificate, key.serialize_pem()].map(|pem| Pem::bytes(pem.as_str()));
    let [certificate, key] = pems;
    let server = tls::Server::from_pem_files(certificate, key).expect("a certificate");
    let client = tls::Client::builder().ca(Pem::bytes(ca.as_str())).build().expect("an authority");
    (server, client)
}

fn crossing() -> Router {
    router()
        .get("/up", async |_| Ok(Response::new(302).header("location", "https://127.0.0.1/")?))
        .get("/down", async |_| Ok(Response::new(302).header("location", "http://127.0.0.1/")?))
}

/// Runs a client against the same server at port 80, in plain text, and 443.
fn with_both<F>(seed: u64, faults: Faults, client: impl FnOnce(Client) -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let (server, trusting) = both("ours");
    let mut sim = Simulation::new(seed).weather(faults);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", |_| crossing()).https(
        "127.0.0.1:443",
        &server,
        |_| crossing(),
    );
    sim.start(engine).expect("it starts");
    let ended =
        sim.run(client(Client::new().tls(trusting))).unwrap_or_else(|stuck| panic!("{stuck}"));
    ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

#[test]
fn a_server_that_is_trusted_is_asked_in_any_weather() {
    for seed in 0..6 {
        with_both(seed, Faults::bad_weather(), async |client| {
            for _ in 0..3 {
                let mut response = client.get("https://127.0.0.1/").await?;
                assert_eq!(response.text().await?, "Hello, World!");
                let body = vec![b'x'; 200_000];
                let mut echo = client.post("https://127.0.0.1/echo").body(body).await?;
                assert_eq!(echo.bytes().await?.len(), 200_000);
            }
            let mut lines = client.get("https://127.0.0.1/lines").await?;
            assert_eq!(lines.text().await?.lines().count(), 1000);
            Ok(())
        });
    }
}

#[test]
fn plain_text_leads_to_tls_and_never_back() {
    with_both(1, Faults::default(), async |client| {
        let response = client.get("http://127.0.0.1/up").await?;
        assert_eq!(response.url().to_string(), "https://127.0.0.1/");
        let error = client.get("https://127.0.0.1/down").await.expect_err("insecure");
        assert!(matches!(error, ClientError::Redirect(RedirectError::Insecure)), "{error}");
        Ok(())
    });
}

#[test]
fn who_cannot_be_trusted_is_not_asked() {
    with_both(1, Faults::default(), async |client| {
        let (_, others) = both("others");
        let stranger = client.tls(others).get("https://127.0.0.1/").await.expect_err("a stranger");
        let is_unknown = matches!(
            &stranger,
            ClientError::Tls(TlsConnectError::Handshake {
                error: HandshakeError::UnknownIssuer,
                ..
            })
        );
        assert!(is_unknown, "{stranger}");
        let plain = client.get("https://127.0.0.1:80/").await.expect_err("plain text");
        assert!(matches!(plain, ClientError::Tls(_)), "{plain}");
        let nobody = client.get("https://127.0.0.1:81/").await.expect_err("nobody");
        assert!(matches!(nobody, ClientError::Connect(_)), "{nobody}");
        let other_way = client.get("http://127.0.0.1:443/").await.expect_err("TLS");
        assert!(!matches!(other_way, ClientError::TimedOut { .. }), "{other_way}");
        Ok(())
    });
}
