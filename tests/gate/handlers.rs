//! The seven handlers of a gate server.

use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::Simulation;

use super::support::{ADDRESS, Log, hear, say, simulated, text};

/// Writes down what it hears. A client is opened by the command of its number.
struct Diary {
    log: Log,
    clients: Vec<Client>,
    opens: bool,
}

enum Command {
    Open(usize),
    Flood(usize),
    Fail,
    Close,
}

impl GateServer for Diary {
    type Command = Command;

    async fn open(&mut self, gate: &GateContext<'_, Self>) -> Result<()> {
        service::bind_local("diary", gate.address())?;
        self.log.add(format!("open {:?}", gate.listening()[0].to_string()));
        Ok(())
    }

    async fn connect(&mut self, client: &Client, gate: &GateContext<'_, Self>) -> Result<()> {
        self.log.add(format!("connect {}", gate.clients()));
        if self.opens {
            client.open();
        }
        self.clients.push(client.clone());
        Ok(())
    }

    async fn message(
        &mut self,
        client: &Client,
        mut frames: Frames,
        _: &GateContext<'_, Self>,
    ) -> Result<()> {
        let mut batch = Vec::new();
        while let Some(frame) = frames.next().await {
            batch.push(text(&frame));
        }
        self.log.add(format!("message {batch:?}"));
        match &batch[..] {
            [one] if one == "echo" => client.send("echo"),
            _ => Ok(()),
        }
    }

    async fn disconnect(&mut self, _: ClientId, _: &GateContext<'_, Self>) -> Result<()> {
        self.log.add("disconnect");
        Ok(())
    }

    async fn error(
        &mut self,
        _: ClientId,
        why: Disconnect,
        _: &GateContext<'_, Self>,
    ) -> Result<()> {
        self.log.add(format!("error: {why}"));
        Ok(())
    }

    async fn warning(
        &mut self,
        _: &Client,
        backlog: Backlog,
        _: &GateContext<'_, Self>,
    ) -> Result<()> {
        self.log.add(match backlog {
            Backlog::Warning { .. } => "warning",
            _ => "drained",
        });
        Ok(())
    }

    async fn command(&mut self, command: Command, gate: &GateContext<'_, Self>) -> Result<()> {
        match command {
            Command::Open(number) => self.clients[number].open(),
            Command::Flood(number) => {
                (0..64).try_for_each(|_| self.clients[number].send(&[7; 60_000]))?
            }
            Command::Fail => return Err("told to fail".into()),
            Command::Close => gate.close(),
        }
        Ok(())
    }
}

fn engine(log: &Log, opens: bool, cores: usize) -> Engine {
    let log = log.clone();
    let gate = Gate::framed(LengthPrefix::U16).server(move |_| Diary {
        log: log.clone(),
        clients: Vec::new(),
        opens,
    });
    Engine::new(Config::new().cores(cores)).gate(ADDRESS, gate)
}

fn diary() -> Address<Command> {
    service::find_local("diary").expect("the gate is open")
}

#[test]
fn the_handlers_come_in_order() {
    let log = Log::default();
    simulated(engine(&log, true, 1), || async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        say(&stream, "echo")?;
        assert_eq!(hear(&stream).await?.as_deref(), Some("echo"));
        stream.close().await?;
        log.until("disconnect").await;
        let told = log.take();
        assert_eq!(
            told,
            ["open \"127.0.0.1:80\"", "connect 1", "message [\"echo\"]", "disconnect"]
        );
        Ok(())
    });
}

#[test]
fn a_client_is_parked_until_it_is_opened_and_its_frames_come_as_a_batch() {
    let log = Log::default();
    simulated(engine(&log, false, 1), || async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        ["a", "b", "c"].iter().try_for_each(|word| say(&stream, word))?;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.take().len(), 2, "opened, and connected, and nothing was read");
        diary().send(Command::Open(0))?;
        log.until("message [\"a\", \"b\", \"c\"]").await;
        Ok(())
    });
}

#[test]
fn what_breaks_is_an_error_and_no_disconnect() {
    let log = Log::default();
    simulated(engine(&log, true, 1), || async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        log.until("connect 1").await;
        stream.shutdown();
        log.until("error: the connection broke: Connection reset by peer (os error 104)").await;
        assert!(!log.take().contains(&"disconnect".to_owned()));
        Ok(())
    });
}

#[test]
fn a_slow_reader_is_a_warning_and_then_drained() {
    let log = Log::default();
    simulated(engine(&log, true, 1), || async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        log.until("connect 1").await;
        diary().send(Command::Flood(0))?;
        log.until("warning").await;
        for _ in 0..64 {
            hear_bytes(&stream).await?;
        }
        log.until("drained").await;
        Ok(())
    });
}

async fn hear_bytes(stream: &TcpStream) -> Result<()> {
    stream.read_exact(2 + 60_000).await?;
    Ok(())
}

#[test]
fn a_gate_that_fails_closes_its_clients_and_is_started_again() {
    let log = Log::default();
    simulated(engine(&log, true, 1), || async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        log.until("connect 1").await;
        diary().send(Command::Fail)?;
        assert_eq!(hear(&stream).await?, None, "closed in order");
        let refused = TcpStream::connect(ADDRESS).await?;
        assert!(hear(&refused).await.is_err(), "the gate is not there yet");
        log.take();
        log.until("open \"127.0.0.1:80\"").await;
        let stream = TcpStream::connect(ADDRESS).await?;
        say(&stream, "echo")?;
        assert_eq!(hear(&stream).await?.as_deref(), Some("echo"));
        Ok(())
    });
}

#[test]
fn a_closed_gate_keeps_its_clients_and_accepts_no_more() {
    let log = Log::default();
    simulated(engine(&log, true, 1), || async move {
        let stream = TcpStream::connect(ADDRESS).await?;
        log.until("connect 1").await;
        diary().send(Command::Close)?;
        sleep(Duration::from_millis(10)).await;
        assert!(TcpStream::connect(ADDRESS).await.is_err(), "nobody listens");
        say(&stream, "echo")?;
        assert_eq!(hear(&stream).await?.as_deref(), Some("echo"));
        Ok(())
    });
}

#[test]
fn a_gate_has_as_many_clients_as_it_says_and_not_one_more() {
    let mut sim = Simulation::new(1);
    let gate = Gate::line().clients_max(3).agent(|_| Silent);
    sim.start(Engine::new(Config::new().cores(2)).gate(ADDRESS, gate)).expect("it starts");
    let ran: Result<()> = sim
        .run(async move {
            for round in 0..3 {
                let mut streams = Vec::new();
                for _ in 0..3 {
                    let stream = TcpStream::connect(ADDRESS).await?;
                    stream.write("hello\n")?;
                    assert_eq!(stream.read_line(100).await?.expect("an answer")[..], *b"hello");
                    streams.push(stream);
                }
                let refused = TcpStream::connect(ADDRESS).await?;
                assert!(refused.read().await.is_err(), "round {round}: the fourth");
                for stream in streams {
                    stream.close().await?;
                }
                sleep(Duration::from_secs(3)).await;
            }
            Ok(())
        })
        .expect("it does not hang");
    ran.expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}

/// Answers each line with itself.
struct Silent;

impl Agent for Silent {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        client.send(frame)
    }
}
