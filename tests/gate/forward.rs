//! Clients that are handed to another service of their core.

use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::service::ForwardError;

use super::support::{ADDRESS, Log, hear, say, simulated, text};

/// Has the clients first. "login" hands one to an agent of its own.
struct Hall {
    log: Log,
}

impl Service for Hall {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
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
            match &text(&frame)[..] {
                "login" => {
                    let agent = cx.spawn(Player { log: self.log.clone(), client: None })?;
                    client.forward(agent)?;
                    assert!(frames.next().await.is_none(), "the rest is the agent's");
                }
                "nobody" => {
                    let agent = cx.spawn(Player { log: self.log.clone(), client: None })?;
                    service::kill(agent);
                    let refused = client.forward(agent);
                    assert_eq!(refused, Err(ForwardError::Dead(agent.id())));
                    client.send("nobody is there")?;
                }
                "deaf" => client.forward(cx.spawn(Deaf)?)?,
                "drop" => return Ok(()),
                other => client.send(format!("hall: {other}"))?,
            }
        }
        Ok(())
    }

    async fn disconnected(&mut self, _: &Client, why: Disconnect, _: &Context<Self>) -> Result<()> {
        self.log.add(format!("hall: {why}"));
        Ok(())
    }

    async fn gone(&mut self, _: ClientId, why: Disconnect, cx: &Context<Self>) -> Result<()> {
        self.log.add(format!("gone: {why}"));
        assert_eq!(cx.clients(), 0);
        Ok(())
    }
}

/// An agent, the long way.
struct Player {
    log: Log,
    client: Option<Client>,
}

impl Service for Player {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
        self.client = Some(client.clone());
        client.send("welcome")
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        cx: &Context<Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            match &text(&frame)[..] {
                "die" => return Err("told to die".into()),
                "panic" => panic!("told to panic"),
                "stop" => cx.stop(),
                "wait" => sleep(Duration::from_millis(10)).await,
                other => client.send(format!("player: {other}"))?,
            }
        }
        Ok(())
    }

    async fn disconnected(
        &mut self,
        _: &Client,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> Result<()> {
        self.log.add(format!("player: {why}"));
        cx.stop();
        Ok(())
    }
}

/// Hears no clients.
struct Deaf;

impl Service for Deaf {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }
}

fn engine(log: &Log) -> Engine {
    let log = log.clone();
    let gate = Gate::framed(LengthPrefix::U16).service(move |_| Hall { log: log.clone() });
    Engine::new(Config::new().cores(1)).gate(ADDRESS, gate)
}

/// Says all words at once; what is answered until the end, or until there are `answers`.
async fn converse(words: &[&str], answers: usize) -> Result<(TcpStream, Vec<String>)> {
    let stream = TcpStream::connect(ADDRESS).await?;
    words.iter().try_for_each(|word| say(&stream, word))?;
    let mut heard = Vec::new();
    while heard.len() < answers
        && let Some(answer) = hear(&stream).await?
    {
        heard.push(answer);
    }
    Ok((stream, heard))
}

#[test]
fn what_was_sent_behind_the_login_goes_to_the_agent_in_order() {
    let log = Log::default();
    simulated(engine(&log), || async move {
        let words = ["a", "b", "login", "c", "wait", "d"];
        let (stream, heard) = converse(&words, 5).await?;
        assert_eq!(heard, ["hall: a", "hall: b", "welcome", "player: c", "player: d"]);
        stream.close().await?;
        log.until("gone: the client ended the connection").await;
        assert_eq!(log.take().len(), 2, "the player heard it, too");
        Ok(())
    });
}

#[test]
fn an_agent_that_dies_closes_its_client_and_the_first_service_knows() {
    let log = Log::default();
    simulated(engine(&log), || async move {
        for end in ["die", "panic", "stop"] {
            let (_, heard) = converse(&["login", "a", end, "b"], 100).await?;
            assert_eq!(heard[..2], ["welcome", "player: a"], "{end}");
            log.until("gone: the service that the client belonged to ended").await;
            log.take();
        }
        Ok(())
    });
}

#[test]
fn a_service_that_has_ended_gets_no_client() {
    let log = Log::default();
    simulated(engine(&log), || async move {
        let (stream, heard) = converse(&["nobody", "a"], 2).await?;
        assert_eq!(heard, ["nobody is there", "hall: a"], "it stays where it was");
        stream.close().await?;
        log.until("hall: the client ended the connection").await;
        Ok(())
    });
}

#[test]
fn a_service_that_hears_no_clients_closes_them() {
    let log = Log::default();
    simulated(engine(&log), || async move {
        let (_, heard) = converse(&["deaf", "a"], 1).await?;
        assert!(heard.is_empty());
        log.until("gone: the connection was closed from this side").await;
        Ok(())
    });
}

#[test]
fn frames_that_are_dropped_are_counted_and_the_client_goes_on() {
    let log = Log::default();
    let mut sim = skyring::sim::Simulation::new(1);
    sim.start(engine(&log)).expect("it starts");
    let ran: Result<()> = sim
        .run(async {
            let (stream, heard) = converse(&["a", "drop", "b", "c"], 1).await?;
            assert_eq!(heard, ["hall: a"]);
            sleep(Duration::from_millis(100)).await;
            say(&stream, "d")?;
            assert_eq!(hear(&stream).await?.as_deref(), Some("hall: d"));
            Ok(())
        })
        .expect("it does not hang");
    ran.expect("it succeeds");
    let undelivered = sim.metrics().frames_undelivered;
    assert_eq!(undelivered, 2);
    sim.stop().expect("everything was cleaned up");
}
