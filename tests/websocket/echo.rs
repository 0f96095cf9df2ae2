//! A server and a client of the engine's own, on both kernels.

use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::websocket::{self, Message};

use crate::common::{config, deadline};
use crate::support::router;

/// Sends messages of many lengths, and reads each again.
async fn converse(url: String) -> Result<()> {
    let ws = websocket::connect(url).await?;
    let lens = [0, 1, 125, 126, 127, 1000, 65_535, 65_536, 200_000];
    for len in lens {
        ws.send(vec![len as u8; len])?;
        ws.send("x".repeat(len))?;
    }
    for len in lens {
        let Some(Message::Binary(bytes)) = ws.read().await? else { return Err("bytes".into()) };
        assert_eq!(bytes[..], vec![len as u8; len][..]);
        let Some(Message::Text(text)) = ws.read().await? else { return Err("a text".into()) };
        assert_eq!(text, *"x".repeat(len));
    }
    ws.ping(b"are you there")?;
    ws.close(1000, "done").await?;
    assert_eq!(ws.closed_with().map(|close| close.code), Some(1000));
    assert!(ws.send("more").is_err() && ws.read().await?.is_none());
    Ok(())
}

#[test]
fn messages_of_every_length_come_back_in_any_weather() {
    for seed in 0..30 {
        let faults = if seed == 0 { Faults::default() } else { Faults::bad_weather() };
        let mut sim = Simulation::new(seed).weather(faults);
        sim.start(Engine::new(Config::new().cores(2)).http("127.0.0.1:80", |_| router()))
            .expect("it starts");
        let ran = sim.run(converse("ws://127.0.0.1/ws?x=1".into()));
        let ran = ran.unwrap_or_else(|stuck| panic!("{stuck}"));
        ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn messages_of_every_length_come_back_on_loopback() {
    deadline(|| {
        let engine = Engine::new(config()).http("127.0.0.1:0", |_| router());
        let server = crate::common::Server::of(engine);
        let url = format!("ws://{}/", server.address);
        let (told, tells) = std::sync::mpsc::channel();
        let client = Engine::new(config()).setup(move |_| {
            let (url, told) = (url.clone(), told.clone());
            spawn(async move { told.send(converse(url).await) });
            Ok(())
        });
        let client = client.start().expect("it starts");
        tells.recv().expect("it ends").expect("it converses");
        client.stopper().stop();
        client.join().expect("a clean end");
        server.settle();
        server.stop();
    });
}
