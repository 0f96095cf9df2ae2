//! What the tests of the chat share: a simulated engine, and clients that know what they expect.

use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use skyring::limit::Limit;
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::servers::chat::{self, Limits};
use skyring::sim::{Faults, Simulation};

pub(crate) const ADDRESS: &str = "127.0.0.1:80";

/// A chat without a limit of commands.
pub(crate) fn limits() -> Limits {
    Limits { commands: Limit::UNLIMITED, ..Limits::default() }
}

pub(crate) fn start(seed: u64, cores: usize, faults: Faults, limits: Limits) -> Simulation {
    let mut sim = Simulation::new(seed).weather(faults);
    let framing = LengthPrefix::U16.into();
    sim.start(chat::engine(Config::new().cores(cores), ADDRESS, framing, limits)).expect("starts");
    sim
}

/// Runs a client in fair weather, on two cores, and sees to it that everything comes home.
pub(crate) fn fair<F>(limits: Limits, client: F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = start(1, 2, Faults::default(), limits);
    sim.run(client).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}

pub(crate) async fn pause(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

/// One client in a chat framed by u16.
pub(crate) struct Person {
    pub(crate) stream: TcpStream,
    pub(crate) name: String,
}

impl Person {
    /// Connects and reads the welcome.
    pub(crate) async fn guest() -> Result<Person> {
        let stream = TcpStream::connect(ADDRESS).await?;
        let mut person = Person { stream, name: String::new() };
        let welcome = person.hear().await?;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        person.name = welcome["user"].as_str().expect("a name").into();
        Ok(person)
    }

    /// A guest who takes a name.
    pub(crate) async fn named(name: &str) -> Result<Person> {
        let mut person = Person::guest().await?;
        let answer = person.ask(&format!("NICK\n{name}")).await?;
        assert_eq!(answer["new_name"], name, "{answer}");
        person.name = name.into();
        Ok(person)
    }

    /// As [`Person::named`], in a room.
    pub(crate) async fn member(name: &str, room: &str) -> Result<Person> {
        let person = Person::named(name).await?;
        person.join(room).await?;
        Ok(person)
    }

    pub(crate) fn say(&self, command: impl AsRef<[u8]>) -> Result<()> {
        let command = command.as_ref();
        self.stream.write(&(command.len() as u16).to_be_bytes())?;
        self.stream.write(command)?;
        Ok(())
    }

    /// The next object.
    pub(crate) async fn hear(&self) -> Result<Value> {
        let head = self.stream.read_exact(2).await?;
        let len = u16::from_be_bytes(head[..].try_into().expect("two"));
        let object = self.stream.read_exact(usize::from(len)).await?;
        Ok(serde_json::from_slice(&object).expect("JSON"))
    }

    /// The next object, which is of this type.
    pub(crate) async fn hears(&self, kind: &str) -> Result<Value> {
        let object = self.hear().await?;
        assert_eq!(object["type"], kind, "{} hears {object}", self.name);
        Ok(object)
    }

    /// The next object of this type, whatever comes before.
    pub(crate) async fn awaits(&self, kind: &str) -> Result<Value> {
        loop {
            let object = self.hear().await?;
            if object["type"] == kind {
                return Ok(object);
            }
        }
    }

    pub(crate) async fn ask(&self, command: impl AsRef<[u8]>) -> Result<Value> {
        self.say(command)?;
        self.hear().await
    }

    /// The error that a command is answered by.
    pub(crate) async fn refused(&self, command: impl AsRef<[u8]>) -> Result<String> {
        let answer = self.ask(&command).await?;
        let shown = command.as_ref().escape_ascii().to_string();
        assert_eq!(answer["type"], "error", "{shown}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|text| text.len() > 5), "{shown}: {answer}");
        Ok(answer["code"].as_str().expect("a code").into())
    }

    /// Enters a room; returns what it looks like.
    pub(crate) async fn join(&self, room: &str) -> Result<Value> {
        self.say(format!("JOIN\n{room}"))?;
        let join = self.hears("join").await?;
        assert_eq!(join["user"], self.name);
        self.hears("room_joined").await
    }

    /// Nothing more comes for a while.
    pub(crate) async fn hears_nothing(&self) {
        let heard = self.hear().within(Duration::from_millis(200)).await;
        assert!(heard.is_err(), "{} hears {:?}", self.name, heard.map(Result::ok));
    }
}
