//! The chat's rooms by WebSocket, beside people who come over a gate.

use std::time::Duration;

use serde_json::Value;
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::servers::{chat, web};
use skyring::sim::{Faults, Simulation};
use skyring::websocket::{self, WebSocket};

const WEB: &str = "127.0.0.1:80";
const GATE: &str = "127.0.0.1:81";
/// In virtual time.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn start(seed: u64, faults: Faults) -> Simulation {
    let mut sim = Simulation::new(seed).weather(faults);
    let options = web::Options::default();
    let limits = options.chat;
    let engine = web::engine(Config::new().cores(2), WEB, None, options);
    sim.start(engine.gate(GATE, chat::gate(Framing::Line, limits))).expect("it starts");
    sim
}

/// The next object of this type.
async fn hears(socket: &WebSocket, kind: &str) -> Result<Value> {
    while let Some(message) = socket.read().within(PATIENCE).await?? {
        let text = message.as_text().ok_or("an object is text")?;
        let object: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if object["type"] == kind {
            return Ok(object);
        }
    }
    Err(format!("no {kind} came").into())
}

async fn enter(name: &str) -> Result<WebSocket> {
    let socket = websocket::connect(format!("ws://{WEB}/chat")).await?;
    hears(&socket, "welcome").await?;
    socket.send(format!("NICK {name}"))?;
    hears(&socket, "nick_change").await?;
    socket.send("JOIN lobby")?;
    hears(&socket, "room_joined").await?;
    Ok(socket)
}

#[test]
fn people_of_a_page_and_of_a_gate_meet_in_a_room_in_any_weather() {
    for seed in 0..20 {
        let faults = if seed == 0 { Faults::default() } else { Faults::bad_weather() };
        let mut sim = start(seed, faults);
        let talk = async {
            let (ann, bob) = (enter("ann").await?, enter("bob").await?);
            assert_eq!(hears(&ann, "join").await?["user"], "bob");
            let eve = TcpStream::connect(GATE).await?.framed(Framing::Line);
            for command in ["NICK eve", "JOIN lobby", "MSG over the gate"] {
                eve.write(command)?;
            }
            for socket in [&ann, &bob] {
                let said = hears(socket, "message").await?;
                assert_eq!(
                    (&said["user"], &said["text"]),
                    (&"eve".into(), &"over the gate".into())
                );
            }
            ann.send("MSG by the page")?;
            assert_eq!(hears(&bob, "message").await?["text"], "by the page");
            bob.send("WHISPER eve psst")?;
            assert_eq!(hears(&bob, "whispered").await?["to"], "eve");
            drop(ann); // without a word
            assert_eq!(hears(&bob, "leave").await?["user"], "ann");
            bob.close(1000, "done").await?;
            while let Some(line) = eve.read().await? {
                let object: Value = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
                if object["type"] == "leave" && object["user"] == "bob" {
                    return Ok(());
                }
            }
            Err::<(), Error>("bob did not leave".into())
        };
        let ran = sim.run(talk).unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
        ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_command_is_text_and_as_long_as_a_text_may_be() {
    let mut sim = start(1, Faults::default());
    let max = chat::Limits::default().text_bytes_max;
    let talk = async move {
        let ann = enter("ann").await?;
        ann.send(format!("MSG {}", "x".repeat(max)))?;
        hears(&ann, "sent").await?;
        ann.send(format!("MSG {}", "x".repeat(max + 1)))?;
        assert_eq!(hears(&ann, "error").await?["code"], "too_long");
        ann.send(vec![0; 5])?;
        while ann.read().within(PATIENCE).await??.is_some() {}
        assert_eq!(ann.closed_with().map(|close| close.code), Some(1003));
        let bob = enter("bob").await?;
        // As many characters as the page allows: bob is told, and stays.
        bob.send(format!("MSG {}", "\u{4e2d}".repeat(max)))?;
        assert_eq!(hears(&bob, "error").await?["code"], "too_long");
        bob.send("x".repeat(3 * max + 300))?;
        while bob.read().within(PATIENCE).await??.is_some() {}
        assert_eq!(bob.closed_with().map(|close| close.code), Some(1009));
        // Both names are free again.
        enter("ann").await?;
        enter("bob").await?;
        Ok::<(), Error>(())
    };
    sim.run(talk).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

#[test]
fn who_is_in_the_chat_when_the_engine_stops_is_told_so() {
    let mut sim = start(2, Faults::default());
    let ann = sim.run(enter("ann")).expect("not stuck").expect("no error");
    let (told, tells) = std::sync::mpsc::channel();
    let wait = async move {
        spawn(async move {
            while let Ok(Some(_)) = ann.read().await {}
            let _ = told.send(ann.closed_with().map(|close| close.code));
        });
    };
    sim.run(wait).expect("not stuck");
    sim.stop().expect("everything came home");
    assert_eq!(tells.recv(), Ok(Some(1001)));
}
