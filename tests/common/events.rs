//! What the engine logs, kept for a test to look at.

use std::fmt::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The events since [`Events::capture`], of all threads of the process.
pub(crate) struct Events;

/// Each as `message; name=value; name=value;`.
static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Events {
    /// Forgets what there was, and keeps what comes.
    pub(crate) fn capture() -> Events {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing::subscriber::set_global_default(Keep).expect("no other subscriber");
        });
        EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Events
    }

    /// How many events hold all of these texts.
    pub(crate) fn find(&self, texts: &[&str]) -> usize {
        let events = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| texts.iter().all(|text| event.contains(text))).count()
    }
}

struct Keep;

impl Subscriber for Keep {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("skyring") && *metadata.level() <= tracing::Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        EVENTS.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}; "),
            name => write!(self.0, "{name}={value:?}; "),
        };
        written.expect("a string takes all");
    }
}
