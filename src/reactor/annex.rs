//! What a higher floor has beside the reactors of an engine, such as a thread of its own: made when
//! it is first asked for, ended after the last reactor. The engine does not know what it is.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::blocking::Blocking;
use crate::config::Settings;

/// How soon a lesser patience counts while an end is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// Something beside the reactors. There is one type of it.
pub(crate) trait Annex: Any + Send + Sync {
    /// Beside the reactors of the engine that has these settings; `blocking` knows where threads
    /// off the reactors run.
    fn new(settings: &Settings, blocking: &Arc<Blocking>) -> Self
    where
        Self: Sized;
    /// The reactors have ended: take nothing more.
    fn close(&self);
    /// Waits for its end, at most so long; whether it has ended.
    fn has_ended_within(&self, wait: Duration) -> bool;
    /// It has not ended in time, and the engine goes without it.
    fn abandon(&self);
}

/// Where the annex of an engine stands, and how long its end may take.
pub(super) struct Site {
    annex: OnceLock<Box<dyn Annex>>,
    patience_ns: AtomicU64,
}

impl Site {
    pub(super) fn new(drain: Duration) -> Site {
        Site { annex: OnceLock::new(), patience_ns: AtomicU64::new(nanos(drain)) }
    }

    /// The engine stops, with this much patience; the least that was said counts.
    fn hurry(&self, patience: Duration) {
        self.patience_ns.fetch_min(nanos(patience), Ordering::Relaxed);
    }

    /// The annex, made by `make` when it is first asked for.
    ///
    /// # Panics
    /// When there is one of another type.
    pub(super) fn get<A: Annex>(&self, make: impl FnOnce() -> A) -> &A {
        let annex = &**self.annex.get_or_init(|| Box::new(make()));
        (annex as &dyn Any).downcast_ref().expect("an engine has annexes of one type")
    }

    /// Ends the annex, if there is one.
    pub(super) fn close(&self) {
        let Some(annex) = self.annex.get() else { return };
        annex.close();
        let mut waited = Duration::ZERO;
        while !annex.has_ended_within(LOOK) {
            waited += LOOK;
            if nanos(waited) >= self.patience_ns.load(Ordering::Relaxed) {
                return annex.abandon();
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Hurries the end of an engine; holds nothing of it.
#[derive(Clone)]
pub(super) struct Hurry(Weak<Site>);

impl Hurry {
    pub(super) fn of(site: &Arc<Site>) -> Hurry {
        Hurry(Arc::downgrade(site))
    }

    pub(super) fn to(&self, patience: Duration) {
        if let Some(site) = self.0.upgrade() {
            site.hurry(patience);
        }
    }
}
