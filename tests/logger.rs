//! The log is kept by a service, as in Skynet: what the engine says of that very service comes to it,
//! too.

use std::sync::OnceLock;

use skyring::prelude::*;
use skyring::service::{self, Address, Context, Reply, Service};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LOGGER: OnceLock<Address<Line>> = OnceLock::new();

enum Line {
    Event(&'static str),
    Events(Reply<Vec<&'static str>>),
}

#[derive(Default)]
struct Logger(Vec<&'static str>);

impl Service for Logger {
    type Message = Line;

    async fn handle(&mut self, line: Line, _: &Context<Self>) -> Result<()> {
        match line {
            Line::Event(name) => self.0.push(name),
            Line::Events(reply) => reply.send(std::mem::take(&mut self.0)),
        }
        Ok(())
    }
}

/// Sends each event to the logger.
struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("skyring")
    }

    fn event(&self, event: &Event<'_>) {
        if let Some(logger) = LOGGER.get() {
            let _ = logger.send(Line::Event(event.metadata().target()));
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_service_that_keeps_the_log_hears_of_its_own_long_mailbox() {
    tracing::subscriber::set_global_default(Forward).expect("no other subscriber");
    let mut sim = skyring::sim::Simulation::new(1);
    let config = Config::new().cores(1).mailbox_max(1 << 20);
    sim.start(Engine::new(config)).expect("the engine starts");
    let done = sim.run_on(0, async {
        let logger = service::spawn(Logger::default())?;
        LOGGER.set(logger).expect("set once");
        for _ in 0..5000 {
            logger.send(Line::Event("flood"))?;
        }
        let lines = logger.call(Line::Events).await?;
        let told = lines.iter().filter(|name| **name == "skyring::service::port").count();
        assert_eq!(told, 3, "at 1024, 2048 and 4096");
        Result::<()>::Ok(())
    });
    done.expect("it does not hang").expect("it succeeds");
    sim.stop().expect("clean");
}
