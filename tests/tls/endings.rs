//! How encrypted connections end: in order, cut, broken, and before they began. The peers are
//! rustls' on plain sockets, and sockets that speak no TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream as Socket};
use std::sync::mpsc::channel;
use std::time::Duration;

use skyring::net::{ReadError, TcpStream};
use skyring::prelude::*;
use skyring::sim::Simulation;

use crate::common::{
    Echo, PATIENCE, Server, config, connect, deadline, eventually, is_ended, pattern, read_end,
};
use crate::support::{both, peer, router, serve, trust, trust_by};

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// Reads to the end, answers with how many bytes came, and closes.
async fn count(stream: TcpStream) {
    let all = stream.read_to_end(1 << 20).await.expect("an orderly end");
    stream.write(format!("{} bytes", all.len())).expect("written");
    stream.close().await.expect("closed");
}

#[test]
fn the_end_is_said_both_ways_and_an_answer_may_come_behind_it() {
    deadline(|| {
        let (authority, tls, _) = both();
        let server = serve(config(), &tls, count);
        for version in VERSIONS {
            let provider = rustls::crypto::ring::default_provider();
            let mut peer = peer(server.address, trust_by(&authority, provider, &[version]));
            peer.write_all(&pattern(1, 100_000)).expect("written");
            peer.conn.send_close_notify();
            peer.flush().expect("the end is said");
            let mut answer = String::new();
            // Fails if the server's own end is not said.
            peer.read_to_string(&mut answer).expect("an orderly end");
            assert_eq!(answer, "100000 bytes");
        }
        server.settle();
        server.stop();
    });
}

#[test]
fn a_cut_stream_is_an_error_to_its_reader() {
    deadline(|| {
        let (authority, tls, _) = both();
        let (tell, told) = channel();
        let server = serve(config(), &tls, move |stream| {
            let tell = tell.clone();
            async move {
                assert_eq!(stream.read_exact(5).await.expect("it came")[..], *b"begin");
                let error = stream.read().await.expect_err("no end was said");
                let is_broken = matches!(&error, ReadError::Failed(_));
                let error = std::io::Error::from(error);
                let _ = tell.send((is_broken, error.kind(), error.to_string()));
                // The other direction is as it was.
                stream.write("still here").expect("written");
                let _ = stream.close().await;
            }
        });
        let mut peer = peer(server.address, trust(&authority));
        peer.write_all(b"begin").expect("written");
        peer.sock.shutdown(Shutdown::Write).expect("cut");
        let (is_broken, kind, text) = told.recv_timeout(PATIENCE).expect("told");
        assert!(is_broken && kind == ErrorKind::UnexpectedEof, "{kind:?} {text}");
        assert!(text.contains("close_notify"), "{text}");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an orderly end");
        assert_eq!(answer, "still here");
        server.settle();
        server.stop();
    });
}

#[test]
fn half_of_a_stream_may_end_first_on_this_side() {
    deadline(|| {
        let (authority, tls, _) = both();
        let server = serve(config(), &tls, |stream| async move {
            stream.write("nothing more comes").expect("written");
            stream.finish();
            let all = stream.read_to_end(1 << 20).await.expect("an orderly end");
            assert_eq!(all.len(), 50_000);
        });
        let mut peer = peer(server.address, trust(&authority));
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an orderly end");
        assert_eq!(answer, "nothing more comes");
        peer.write_all(&pattern(2, 50_000)).expect("the other half is open");
        peer.conn.send_close_notify();
        peer.flush().expect("the end is said");
        server.settle();
        assert_eq!(server.metrics().panics, 0);
        server.stop();
    });
}

#[test]
fn a_bad_record_is_answered_by_an_alert_and_the_reader_is_told() {
    deadline(|| {
        let (authority, tls, _) = both();
        let (tell, told) = channel();
        let server = serve(config(), &tls, move |stream| {
            let tell = tell.clone();
            async move {
                stream.write(pattern(3, 100)).expect("written");
                let error = std::io::Error::from(stream.read().await.expect_err("it is broken"));
                let flushed = stream.flush().await.is_err();
                let _ = tell.send((error.kind(), flushed));
            }
        });
        let mut peer = peer(server.address, trust(&authority));
        peer.read_exact(&mut [0; 100]).expect("what was sent before");
        let forged = [&[23, 3, 3, 0, 30][..], &[7; 30]].concat();
        peer.sock.write_all(&forged).expect("written");
        let (kind, flushed) = told.recv_timeout(PATIENCE).expect("told");
        assert_eq!((kind, flushed), (ErrorKind::InvalidData, true));
        let error = peer.read(&mut [0; 10]).expect_err("an alert");
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        server.settle();
        server.stop();
    });
}

#[test]
fn a_peer_without_tls_is_told_by_an_alert_and_counted() {
    deadline(|| {
        let (_, tls, _) = both();
        let server = Server::of(Engine::new(config()).https("127.0.0.1:0", &tls, |_| router()));
        let mut http = connect(server.address);
        http.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
        let alert = read_end(&mut http).expect("an orderly end");
        assert_eq!((alert.len(), alert[0], alert[5]), (7, 21, 2), "a fatal alert, in plain text");
        eventually("it is counted", || server.metrics().tls_failed == 1);
        let mut silent = connect(server.address);
        silent.shutdown(Shutdown::Write).expect("ended");
        assert!(is_ended(&mut silent));
        eventually("it is counted, too", || server.metrics().tls_failed == 2);
        server.settle();
        assert_eq!(server.metrics().http_requests, 0);
        server.stop();
    });
}

#[test]
fn handshakes_that_do_not_go_on_hold_nobody_up() {
    deadline(|| {
        let (authority, tls, _) = both();
        let server =
            Server::start(config(), Gate::framed(LengthPrefix::U16).tls(&tls).agent(|_| Echo));
        let half = |_| -> Socket {
            let mut socket = connect(server.address);
            socket.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).expect("written");
            socket
        };
        let waiting: Vec<Socket> = (0..50).map(half).collect();
        for n in 0..5 {
            let mut peer = peer(server.address, trust(&authority));
            let frame = crate::common::u16_frame(&pattern(n, 1000));
            peer.write_all(&frame).expect("written");
            let mut answer = vec![0; frame.len()];
            peer.read_exact(&mut answer).expect("answered");
            assert_eq!(answer, frame);
        }
        assert_eq!(server.metrics().tls_handshakes, 5);
        drop(waiting);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_handshake_has_a_time() {
    let (_, tls, _) = both();
    let cases = [(Config::new(), 10), (Config::new().handshake(Duration::from_secs(3)), 3)];
    for (config, seconds) in cases {
        let gate = Gate::line().tls(&tls).agent(|_| Echo);
        let mut sim = Simulation::new(1);
        sim.start(Engine::new(config.cores(1)).gate("127.0.0.1:443", gate)).expect("it starts");
        let waited = sim.run(async move {
            let stream = TcpStream::connect("127.0.0.1:443").await.expect("it listens");
            let before = skyring::now();
            assert!(stream.read().await.is_err(), "a reset");
            skyring::now().since(before)
        });
        let waited = waited.unwrap_or_else(|stuck| panic!("{stuck}")).as_secs();
        assert!((seconds..seconds + 2).contains(&waited), "{waited}");
        assert_eq!((sim.metrics().tls_failed, sim.metrics().tls_handshakes), (1, 0));
        sim.stop().expect("nothing is left");
    }
}

#[test]
fn keys_are_renewed_by_both_sides_before_they_are_worn_out() {
    deadline(|| {
        // The peer's ciphers seal sixty records by a key.
        let suites = rustls::crypto::ring::default_provider().cipher_suites;
        let worn = suites.into_iter().filter_map(|suite| match suite {
            rustls::SupportedCipherSuite::Tls13(suite) => {
                let copy = rustls::Tls13CipherSuite {
                    common: rustls::crypto::CipherSuiteCommon {
                        suite: suite.common.suite,
                        hash_provider: suite.common.hash_provider,
                        confidentiality_limit: 60,
                    },
                    hkdf_provider: suite.hkdf_provider,
                    aead_alg: suite.aead_alg,
                    quic: None,
                };
                Some(rustls::SupportedCipherSuite::Tls13(Box::leak(Box::new(copy))))
            }
            rustls::SupportedCipherSuite::Tls12(_) => None,
        });
        let provider = rustls::crypto::CryptoProvider {
            cipher_suites: worn.collect(),
            ..rustls::crypto::ring::default_provider()
        };
        let authority = crate::support::Authority::new("a");
        let issued = authority.issue(&["localhost"]);
        let certified = {
            use rustls::pki_types::pem::PemObject;
            let certificate =
                rustls::pki_types::CertificateDer::from_pem_slice(issued.certificate.as_bytes());
            let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key.as_bytes());
            (vec![certificate.expect("a certificate")], key.expect("a key"))
        };
        let worn = rustls::ServerConfig::builder_with_provider(provider.clone().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(certified.0, certified.1)
            .expect("a certificate");
        for (tls, config) in [
            (issued.server(), trust_by(&authority, provider.clone(), &[&rustls::version::TLS13])),
            (skyring::tls::Server::from_rustls(worn), trust(&authority)),
        ] {
            let server = serve(crate::common::config(), &tls, |stream| async move {
                while let Ok(Some(data)) = stream.read().await {
                    stream.write(data).expect("written");
                }
            });
            let mut peer = peer(server.address, config);
            for n in 0..400 {
                let sent = pattern(n, 50);
                peer.write_all(&sent).expect("written");
                let mut answer = vec![0; sent.len()];
                peer.read_exact(&mut answer).unwrap_or_else(|error| panic!("{n}: {error}"));
                assert_eq!(answer, sent);
            }
            server.stop();
        }
    });
}

#[test]
fn a_stopping_engine_ends_encrypted_connections_in_order() {
    deadline(|| {
        let (authority, tls, _) = both();
        let gate = Gate::raw().tls(&tls).agent(|_| Echo);
        let server = Server::start(config(), gate);
        let mut peer = peer(server.address, trust(&authority));
        peer.write_all(b"hello").expect("written");
        peer.read_exact(&mut [0; 5]).expect("answered");
        let waits = connect(server.address); // in the middle of its handshake
        server.handle.stop();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("the end is said");
        drop(waits);
        server.handle.join().expect("a clean end");
    });
}

#[test]
fn a_proxys_header_comes_before_the_handshake() {
    deadline(|| {
        let (authority, tls, _) = both();
        let networks = ["127.0.0.0/8".parse().expect("a network")];
        let gate = Gate::raw().proxies(networks).tls(&tls).agent(|client| {
            let peer = client.peer().map(ToString::to_string).unwrap_or_default();
            Whose(peer)
        });
        let server = Server::start(config(), gate);
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let config = std::sync::Arc::new(trust(&authority));
        let mut tls = rustls::ClientConnection::new(config, name).expect("a configuration");
        // The header and the first words of the handshake in one piece.
        let mut first = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n".to_vec();
        tls.write_tls(&mut first).expect("written");
        let mut socket = connect(server.address);
        socket.write_all(&first).expect("written");
        let mut peer = rustls::StreamOwned::new(tls, socket);
        peer.write_all(b"who am I?").expect("written");
        let mut answer = [0; 16];
        peer.read_exact(&mut answer).expect("answered");
        assert_eq!(&answer, b"203.0.113.7:4711");
        drop(peer);
        server.settle();
        server.stop();
    });
}

/// Tells each client who it is.
struct Whose(String);

impl Agent for Whose {
    async fn frame(&mut self, client: &Client, _: Frame) -> Result<()> {
        client.send(&self.0)
    }
}
