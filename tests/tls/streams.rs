//! Streams and gates of both sides in one engine, in good and in bad weather.

use skyring::net::{TcpListener, TcpStream};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::tls;

use crate::common::pattern;
use crate::support::both;

const AT: &str = "127.0.0.1:443";

async fn echo(stream: TcpStream, tls: tls::Server) -> Result<()> {
    let stream = tls.accept(stream).await?;
    while let Some(data) = stream.read().await? {
        stream.write(data)?;
    }
    stream.write("bye")?;
    Ok(stream.close().await?)
}

fn serving(tls: &tls::Server) -> Engine {
    let tls = tls.clone();
    Engine::new(Config::new().cores(1)).setup(move |_| {
        let tls = tls.clone();
        let listener = TcpListener::bind(AT)?;
        spawn(async move {
            while let Ok(stream) = listener.accept().await {
                spawn(echo(stream, tls.clone()));
            }
        });
        Ok(())
    })
}

async fn converse(client: &tls::Client, sizes: &[usize]) -> Result<()> {
    let stream = client.connect(AT).await?;
    let mut sent = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let piece = pattern(index, *size);
        stream.write(&piece)?;
        sent.extend(piece);
        if index % 3 == 0 {
            stream.flush().await?;
        }
    }
    let echoed = stream.read_exact(sent.len()).await?;
    assert!(echoed[..] == sent[..], "what comes back is what was sent");
    stream.finish();
    assert_eq!(&stream.read_to_end(100).await?[..], b"bye");
    Ok(stream.close().await?)
}

/// Runs it against an echo, in this weather.
fn talk(seed: u64, faults: Option<Faults>, sizes: &'static [usize]) {
    let (_, server, client) = both();
    let mut sim = Simulation::new(seed);
    if let Some(faults) = faults {
        sim = sim.weather(faults);
    }
    sim.start(serving(&server)).expect("it starts");
    let ran = sim.run(async move { converse(&client, sizes).await });
    ran.unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"))
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(sim.metrics().tls_handshakes, 2);
    sim.stop().expect("nothing is left");
}

#[test]
fn streams_of_every_size_come_back_whole() {
    talk(1, None, &[1, 100, 1024, 16_383, 16_384, 16_385, 60_000, 0, 7]);
}

#[test]
fn streams_stand_bad_weather() {
    for seed in 0..40 {
        talk(seed, Some(Faults::bad_weather()), &[1, 3000, 100, 16_384, 20_000, 5]);
    }
}
