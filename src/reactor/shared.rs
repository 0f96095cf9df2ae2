//! What the reactors of one engine share, and what each of them sets up.

use std::sync::Arc;

use super::blocking::Blocking;
use super::kind::{Kind, Kinds};
use super::listening::Listening;
use super::progress::{Progress, Shown};
use crate::config::Settings;
use crate::error::Result;
use crate::limit::quota::Quota;

/// What a set-up hook is told about the core it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Core {
    /// Place among the engine's cores, from 0.
    pub index: usize,
    /// How many cores the engine has.
    pub count: usize,
}

/// What each core runs before its first turn.
pub(crate) type Hook = Arc<dyn Fn(&Core) -> Result<()> + Send + Sync>;

/// What the reactors of one engine share; nothing of it is touched for a frame.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) blocking: Arc<Blocking>,
    pub(crate) listening: Listening,
    /// By core: what it publishes of its progress.
    pub(crate) progress: Box<[Shown]>,
    pub(super) kinds: Kinds,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Arc<Shared> {
        let quota = Quota::new(settings.connections_max, settings.connections_per_ip_max);
        let blocking = Blocking::new(settings.blocking_threads);
        let progress = settings.cores.iter().map(|_| Progress::new()).collect();
        Arc::new(Shared {
            settings: Arc::new(settings),
            quota,
            blocking,
            listening: Listening::default(),
            progress,
            kinds: Kinds::default(),
        })
    }

    /// The kind of this name: of a type, say. Takes a lock; [`Kind::of`] has a cache for each core.
    pub(crate) fn intern(&self, name: &'static str) -> Kind {
        self.kinds.intern(name, true)
    }
}
