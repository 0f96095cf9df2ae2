//! Many clients of every kind in bad weather, by seed; and encrypted ones.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::tls::{self, Pem};
use skyring::websocket::{self, Deflate, WebSocket};
use skyring::wire::websocket::OpCode;

use crate::support::{Raw, router, run};

/// Sends messages and reads each again, whatever else goes on.
async fn honest(ws: WebSocket, rounds: usize) -> Result<()> {
    for n in 0..rounds {
        let text = format!("{n}: {}", "x".repeat(skyring::random() as usize % 3000));
        ws.send(&text)?;
        if skyring::random().is_multiple_of(4) {
            ws.ping(b"there?")?;
        }
        let message = ws.read().await?.ok_or("it has closed")?;
        assert!(message.as_text() == Some(&text));
    }
    ws.close(1000, "").await?;
    Ok(())
}

/// Sends frames at random, some of them malformed, and leaves as it likes.
async fn hostile() -> Result<()> {
    let raw = Raw::open("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").await?;
    for _ in 0..skyring::random() % 30 {
        let roll = skyring::random();
        let opcode =
            [OpCode::Text, OpCode::Binary, OpCode::Continuation, OpCode::Ping, OpCode::Close]
                [roll as usize % 5];
        let payload = vec![(roll >> 8) as u8; (roll >> 16) as usize % 200];
        raw.send(roll & 0x100 == 0, roll.is_multiple_of(7), opcode, &payload);
        if roll.is_multiple_of(11) {
            let _ = raw.stream.write(&roll.to_be_bytes()[..]); // garbage in the middle
        }
        if roll.is_multiple_of(3) {
            sleep(Duration::from_micros(roll % 5000)).await;
        }
    }
    match skyring::random() % 4 {
        0 => raw.stream.shutdown(),
        1 => raw.stream.finish(),
        2 => drop(raw.close_code().within(Duration::from_secs(1)).await),
        _ => {}
    }
    Ok(())
}

#[test]
fn honest_clients_are_served_among_hostile_ones_in_any_weather() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        let engine = Engine::new(Config::new().cores(2)).http("127.0.0.1:80", |_| router());
        sim.start(engine).expect("it starts");
        run(&mut sim, async {
            let hostile: Vec<_> = (0..20).map(|_| spawn(hostile())).collect();
            let honest: Vec<_> = (0..10)
                .map(|n| {
                    spawn(async move {
                        let mut asked = websocket::connect("ws://127.0.0.1/");
                        if n % 2 == 0 {
                            asked = asked.deflate(Deflate::default());
                        }
                        honest(asked.await?, 30).await
                    })
                })
                .collect();
            for task in honest {
                task.await??;
            }
            for task in hostile {
                let _ = task.await?; // the server may have had enough of it
            }
            Ok(())
        });
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// A server's side of TLS for localhost, and a client's that trusts it.
fn both() -> (tls::Server, tls::Client) {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).expect("names of hosts");
    let certificate = certificate.self_signed(&key).expect("signed").pem();
    let pem = || Pem::bytes(certificate.as_str());
    let server = tls::Server::from_pem_files(pem(), Pem::bytes(key.serialize_pem()));
    let client = tls::Client::builder().ca(pem()).build();
    (server.expect("a certificate with its key"), client.expect("an authority"))
}

#[test]
fn encrypted_sockets_are_as_any_other_in_any_weather() {
    let (server, client) = both();
    let (_, stranger) = both();
    for seed in 0..10 {
        let faults = if seed == 0 { Faults::default() } else { Faults::bad_weather() };
        let mut sim = Simulation::new(seed).weather(faults);
        let engine =
            Engine::new(Config::new().cores(2)).https("127.0.0.1:443", &server, |_| router());
        sim.start(engine).expect("it starts");
        let (client, stranger) = (client.clone(), stranger.clone());
        run(&mut sim, async move {
            let ws = websocket::connect("wss://127.0.0.1/ws").tls(&client).await?;
            honest(ws, 20).await?;
            let plain = websocket::connect("ws://127.0.0.1:443/ws").await;
            assert!(plain.is_err(), "it is encrypted, or it is not");
            let other = websocket::connect("wss://127.0.0.1/ws").tls(&stranger).await;
            assert!(other.is_err(), "nobody trusts it");
            Ok(())
        });
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_deadline_bounds_a_server_that_does_not_answer() {
    let mut sim = Simulation::new(1);
    let engine = Engine::new(Config::new().cores(1)).setup(|_| {
        let listener = skyring::net::TcpListener::bind("127.0.0.1:80")?;
        spawn(async move {
            let stream = listener.accept().await;
            sleep(Duration::from_secs(3600)).await;
            drop(stream);
        });
        Ok(())
    });
    sim.start(engine).expect("it starts");
    run(&mut sim, async {
        let before = skyring::now();
        let asked = websocket::connect("ws://127.0.0.1/").timeout(Duration::from_secs(3)).await;
        assert!(asked.is_err_and(|error| error.to_string().contains("3s")));
        assert_eq!(skyring::now().since(before).as_secs(), 3);
        for url in ["http://a", "ws://", "ws://a b"] {
            assert!(websocket::connect(url).await.is_err(), "{url}");
        }
        let faulty = websocket::connect("ws://127.0.0.1/").header("x\r\ny", "z").await;
        assert!(faulty.is_err());
        Ok(())
    });
}
