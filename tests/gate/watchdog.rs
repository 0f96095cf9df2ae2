//! The standard gate with its watchdog, which gives clients their agents: the tutorial's three.

use std::collections::HashMap;
use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::service::Down;
use skyring::sim::Simulation;
use skyring::{GateCommand, GateEvent};

use super::support::{ADDRESS, Log, hear, say, text};

/// Gives each client an agent on this watchdog's core once it has said "agent".
struct Watchdog {
    log: Log,
    gates: HashMap<ClientId, Address<GateCommand>>,
    agents: HashMap<service::ServiceId, ClientId>,
}

enum Message {
    Gate(GateEvent),
    /// What the tutorial's agent asks for at `quit`.
    Close(ClientId),
    Broker,
}

impl From<GateEvent> for Message {
    fn from(event: GateEvent) -> Message {
        Message::Gate(event)
    }
}

impl Watchdog {
    fn on_gate(&mut self, event: GateEvent, cx: &Context<Self>) -> Result<()> {
        match event {
            GateEvent::Connect { client, peer, gate } => {
                self.log.add(format!("connect {}", peer.is_some()));
                self.gates.insert(client, gate);
                gate.send(GateCommand::Accept(client))?;
            }
            GateEvent::Message(client, bytes) if bytes == "agent" => {
                let agent = cx.spawn(MyAgent { watchdog: cx.address() })?;
                cx.watch(agent);
                self.agents.insert(agent.id(), client);
                let gate = self.gates[&client];
                gate.send(GateCommand::Forward { client, agent: agent.id() })?;
            }
            GateEvent::Message(_, bytes) => self.log.add(format!("before: {bytes:?}")),
            GateEvent::Disconnect(client) => {
                self.log.add("disconnect");
                self.gates.remove(&client);
            }
            GateEvent::Error(client, why) => {
                self.log.add(format!("error: {why}"));
                self.gates.remove(&client);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Service for Watchdog {
    type Message = Message;

    async fn handle(&mut self, message: Message, cx: &Context<Self>) -> Result<()> {
        match message {
            Message::Gate(event) => self.on_gate(event, cx)?,
            Message::Close(client) => self.gates[&client].send(GateCommand::Close(client))?,
            Message::Broker => {
                let broker = cx.spawn(MyAgent { watchdog: cx.address() })?;
                for gate in self.gates.values() {
                    gate.send(GateCommand::Broker(broker.id()))?;
                }
            }
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        let client = self.agents.remove(&down.service).expect("one of its agents");
        self.log.add(format!("agent down: {}", down.reason.is_orderly()));
        client.close();
        Ok(())
    }
}

struct MyAgent {
    watchdog: Address<Message>,
}

impl Service for MyAgent {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
        client.send("welcome")
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        _: &Context<Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            match &text(&frame)[..] {
                "quit" => self.watchdog.send(Message::Close(client.id()))?,
                "die" => return Err("told to die".into()),
                other => client.send(format!("echo {other}"))?,
            }
        }
        Ok(())
    }

    async fn disconnected(&mut self, _: &Client, _: Disconnect, cx: &Context<Self>) -> Result<()> {
        if cx.clients() == 1 {
            cx.stop();
        }
        Ok(())
    }
}

/// One watchdog for the gates of two cores.
fn with_watchdog<F>(seed: u64, body: impl FnOnce(Log) -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let log = Log::default();
    let told = log.clone();
    let gate = Gate::framed(LengthPrefix::U16).watchdog_with(move |_core| {
        let log = told.clone();
        let (gates, agents) = (HashMap::new(), HashMap::new());
        let make = move || Watchdog { log, gates, agents };
        async { Ok(service::unique("watchdog", make).await?) }
    });
    let mut sim = Simulation::new(seed);
    sim.start(Engine::new(Config::new().cores(2)).gate(ADDRESS, gate)).expect("it starts");
    let body = body(log);
    let ran = sim.run_on(0, async {
        sleep(Duration::from_millis(1)).await;
        body.await
    });
    ran.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}

#[test]
fn a_client_goes_from_the_gate_by_the_watchdog_to_its_agent() {
    for seed in 0..8 {
        with_watchdog(seed, |log| async move {
            let stream = TcpStream::connect(ADDRESS).await?;
            ["early", "agent", "a", "b"].iter().try_for_each(|word| say(&stream, word))?;
            // What came with the order is the watchdog's, too, when it came before the agent was.
            say(&stream, "c")?;
            assert_eq!(hear(&stream).await?.as_deref(), Some("welcome"));
            sleep(Duration::from_millis(10)).await;
            say(&stream, "d")?;
            let mut last = String::new();
            while last != "echo d" {
                last = hear(&stream).await?.expect("an answer");
            }
            say(&stream, "quit")?;
            assert_eq!(hear(&stream).await?, None, "closed in order");
            log.until("disconnect").await;
            log.until("agent down: true").await;
            let told = log.take();
            assert_eq!(told[..2], ["connect true", "before: b\"early\""], "seed {seed}");
            Ok(())
        });
    }
}

#[test]
fn an_agent_that_dies_closes_its_client_and_the_watchdog_knows() {
    with_watchdog(1, |log| async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        say(&stream, "agent")?;
        assert_eq!(hear(&stream).await?.as_deref(), Some("welcome"));
        say(&stream, "die")?;
        assert_eq!(hear(&stream).await?, None);
        log.until("agent down: false").await;
        log.until("error: the service that the client belonged to ended").await;
        Ok(())
    });
}

#[test]
fn a_broker_has_all_clients_of_its_gate() {
    with_watchdog(1, |log| async move {
        let mut first = Vec::new();
        for _ in 0..8 {
            first.push(TcpStream::connect(ADDRESS).await?); // both cores have some
        }
        sleep(Duration::from_millis(10)).await;
        let watchdog = service::find::<Message>("watchdog").expect("it lives");
        watchdog.send(Message::Broker)?;
        sleep(Duration::from_millis(10)).await;
        for n in 0..8 {
            let stream = TcpStream::connect(ADDRESS).await?;
            assert_eq!(hear(&stream).await?.as_deref(), Some("welcome"), "at once");
            say(&stream, &format!("{n}"))?;
            assert_eq!(hear(&stream).await?, Some(format!("echo {n}")));
            first.push(stream);
        }
        assert_eq!(log.take().len(), 8, "the watchdog heard of the first eight");
        Ok(())
    });
}

#[test]
fn a_watchdog_hears_both_ends_of_each_client_however_many_there_are() {
    with_watchdog(3, |log| async move {
        for _ in 0..20 {
            let mut streams = Vec::new();
            for _ in 0..50 {
                streams.push(TcpStream::connect(ADDRESS).await?);
            }
            streams.iter().for_each(|stream| stream.shutdown());
        }
        sleep(Duration::from_secs(5)).await;
        let told = log.take();
        let ends = told.iter().filter(|line| !line.starts_with("connect")).count();
        assert_eq!((told.len() - ends, ends), (1000, 1000));
        Ok(())
    });
}
