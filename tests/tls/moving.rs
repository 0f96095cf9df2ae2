//! Encrypted clients that move between cores, and certificates that change under load.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::tls::{self, Pem};

use crate::common::{Echo, Server, config, deadline, pattern};
use crate::support::{Authority, Folder, both, peer, trust, trust_by};

const AT: &str = "127.0.0.1:443";

/// Answers each frame with itself, and hands the client to the other core now and then.
struct Stage;

fn other(cx: &Context<Stage>) -> Result<Address<()>> {
    let name = format!("stage {}", 1 - cx.id().core());
    Ok(service::find(&name).ok_or("each core has one")?)
}

impl Service for Stage {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        Ok(service::bind(&format!("stage {}", cx.id().core()), cx.address()).await?)
    }

    async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
        assert!(client.tls().is_some(), "it is as encrypted as it was");
        client.open();
        Ok(())
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        cx: &Context<Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            let moves = frame.len() % 3 == 0;
            client.send(frame)?;
            if moves {
                client.forward(other(cx)?)?;
                break; // what is left goes along
            }
        }
        Ok(())
    }
}

async fn wander(client: tls::Client) -> Result<()> {
    let stream = client.connect(AT).await?;
    let mut sent = Vec::new();
    for n in 0..60 {
        let len = (skyring::random() % if n % 10 == 0 { 9000 } else { 200 }) as usize;
        let frame = crate::common::u16_frame(&pattern(n, len));
        stream.write(&frame)?;
        sent.extend_from_slice(&frame);
        if n % 5 == 0 {
            sleep(Duration::from_micros(skyring::random() % 800)).await;
        }
    }
    let came = stream.read_exact(sent.len()).await?;
    assert!(came[..] == sent[..], "every frame comes back, in order");
    stream.finish();
    assert!(stream.read().await?.is_none(), "the end is said");
    Ok(stream.close().await?)
}

#[test]
fn clients_move_between_cores_in_all_weather() {
    let (_, server, client) = both();
    let mut moved = 0;
    for seed in 0..30 {
        let faults = if seed == 0 { Faults::default() } else { Faults::bad_weather() };
        let gate = Gate::framed(LengthPrefix::U16).tls(&server).service(|_| Stage);
        let mut sim = Simulation::new(seed).weather(faults);
        sim.start(Engine::new(Config::new().cores(2)).gate(AT, gate)).expect("it starts");
        let (one, two) = (client.clone(), client.clone());
        let ran = sim.run_on(0, async move {
            let other = spawn(wander(one));
            wander(two).await?;
            other.await.expect("no panic")
        });
        ran.unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"))
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        moved += sim.metrics().clients_sent;
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(moved > 100, "{moved} moves");
}

#[test]
fn a_storm_breaks_encrypted_connections_and_nothing_else() {
    let (_, server, client) = both();
    let mut broken = 0;
    for seed in 0..30 {
        let gate = Gate::framed(LengthPrefix::U16).tls(&server).service(|_| Stage);
        let mut sim = Simulation::new(seed).weather(Faults::storm());
        sim.start(Engine::new(Config::new().cores(2)).gate(AT, gate)).expect("it starts");
        let client = client.clone();
        let ran = sim.run_on(0, async move {
            let mut broken = 0;
            for n in 0..4 {
                broken += u32::from(wander(client.clone()).await.is_err());
                // A handshake that is dropped half way.
                let short = Duration::from_millis(n % 3);
                let _ = client.connect(AT).within(short).await;
            }
            broken
        });
        broken += ran.unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(broken > 0, "it was a storm");
}

#[test]
fn certificates_are_read_anew_under_load() {
    deadline(|| {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let folder = Folder::new();
        let write = |authority: &Authority| {
            let issued = authority.issue(&["localhost"]);
            let certificate = folder.file("cert.pem", &issued.certificate);
            (certificate, folder.file("key.pem", &issued.key))
        };
        let (certificate, key) = write(&old);
        let tls = tls::Server::from_pem_files(certificate.as_str(), key.as_str()).expect("made");
        let gate = Gate::raw().tls(&tls).agent(|_| Echo);
        let server = Server::start(config().cores(1), gate);
        let echo = |peer: &mut crate::support::Peer| {
            peer.write_all(b"hello").expect("written");
            peer.read_exact(&mut [0; 5]).expect("answered");
        };
        let mut early = peer(server.address, trust(&old));
        let (is_over, both_seen) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            // Trusts both: whichever it meets, it is served.
            scope.spawn(|| {
                let provider = rustls::crypto::ring::default_provider();
                while !is_over.load(Ordering::Relaxed) {
                    let mut either = trust_by(&old, provider.clone(), rustls::ALL_VERSIONS);
                    let pems = [old.pem.as_str(), new.pem.as_str()];
                    either = trust_all(&pems, either);
                    echo(&mut peer(server.address, either));
                    both_seen.fetch_add(1, Ordering::Relaxed);
                }
            });
            // Half of a new pair is refused, and nothing changes.
            let half = new.issue(&["localhost"]);
            folder.file("cert.pem", &half.certificate);
            let error = tls.reload().expect_err("the key does not fit").to_string();
            assert!(error.contains("does not belong"), "{error}");
            echo(&mut peer(server.address, trust(&old)));
            write(&new);
            tls.reload().expect("both fit");
            echo(&mut peer(server.address, trust(&new)));
            echo(&mut early);
            let seen = both_seen.load(Ordering::Relaxed);
            crate::common::eventually("some more are served", || {
                both_seen.load(Ordering::Relaxed) > seen + 5
            });
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(server.metrics().tls_failed, 0);
        drop(early);
        server.settle();
        server.stop();
    });
}

fn trust_all(pems: &[&str], like: rustls::ClientConfig) -> rustls::ClientConfig {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    for pem in pems {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        roots.add(certificate).expect("an authority");
    }
    rustls::ClientConfig::builder_with_provider(like.crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[test]
fn a_client_s_sessions_are_resumed_until_the_server_is_made_anew() {
    let authority = Authority::new("a");
    let folder = Folder::new();
    let issued = authority.issue(&["localhost", "127.0.0.1"]);
    let certificate = folder.file("cert.pem", &issued.certificate);
    let key = folder.file("key.pem", &issued.key);
    for version in [tls::Version::Tls12, tls::Version::Tls13] {
        let server = tls::Server::builder()
            .certificate(certificate.as_str(), key.as_str())
            .newest(version)
            .build()
            .expect("a server");
        let client = tls::Client::builder().ca(Pem::bytes(authority.pem.as_str()));
        let client = client.build().expect("a client");
        let gate = Gate::line().tls(&server).agent(|_| Echo);
        let mut sim = Simulation::new(1);
        sim.start(Engine::new(Config::new().cores(1)).gate(AT, gate)).expect("it starts");
        let ran = sim.run(async move {
            let mut resumed = Vec::new();
            for n in 0..5 {
                if n == 3 {
                    server.reload().expect("the files are as they were");
                }
                let stream: TcpStream = client.connect(AT).await?;
                stream.write("hello\n")?;
                assert_eq!(&stream.read_line(10).await?.expect("an answer")[..], b"hello");
                resumed.push(stream.tls().expect("encrypted").is_resumed);
                stream.close().await?;
            }
            Ok::<_, Error>(resumed)
        });
        let resumed = ran.unwrap_or_else(|stuck| panic!("{stuck}")).expect("served");
        assert_eq!(resumed, [false, true, true, false, true], "{version}");
        assert_eq!(sim.metrics().tls_resumed, 6);
        sim.stop().expect("nothing is left");
    }
}
