//! What the reactors of one engine share, and what each of them sets up.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use crossbeam::utils::CachePadded;

#[cfg(feature = "lane")]
use super::annex::{Annex, Site};
use super::blocking::Blocking;
use super::inbox::Inbox;
use super::kind::{Kind, Kinds};
use super::listening::Listening;
use super::number::Number;
use super::progress::{Progress, Shown};
use super::rings::Rings;
use crate::config::Settings;
use crate::error::Result;
use crate::limit::quota::Quota;
use crate::limit::{Bans, Prefixes};
use crate::limit::{Limit, Rates};

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
    /// This engine's number among those that live in the process, from 1.
    pub(crate) engine: u8,
    pub(crate) number: Arc<Number>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) quota: Arc<Quota>,
    /// Who may not connect.
    pub(crate) bans: Bans,
    /// By address: how fast its clients may send.
    pub(crate) rates: Rates,
    /// By address: how fast it may begin handshakes of TLS.
    pub(crate) handshakes: Rates,
    pub(crate) blocking: Arc<Blocking>,
    pub(crate) listening: Listening,
    /// By core: where other threads reach it. Set when the core has been made.
    pub(crate) doors: Box<[OnceLock<Arc<Inbox>>]>,
    pub(super) rings: Rings,
    /// Cores that still have connections.
    pub(super) draining: AtomicUsize,
    /// By core: how many services live there.
    pub(crate) loads: Box<[CachePadded<AtomicUsize>]>,
    /// By core: what it publishes of its progress.
    pub(crate) progress: Box<[Shown]>,
    pub(super) kinds: Kinds,
    #[cfg(feature = "lane")]
    pub(super) site: Arc<Site>,
}

impl Shared {
    pub(crate) fn new(number: Arc<Number>, settings: Settings) -> Shared {
        let cores = settings.cores.len();
        Shared {
            engine: number.engine(),
            number,
            quota: Quota::new(
                settings.connections_max,
                settings.connections_per_ip_max,
                Prefixes::of(&settings),
            ),
            bans: Bans::new(settings.bans_max as usize),
            rates: Rates::new(Limit::per_ip(&settings), settings.rate_ips_max as usize),
            handshakes: Rates::new(
                Limit::per_second(settings.tls_rate_per_ip, settings.tls_rate_per_ip),
                settings.rate_ips_max as usize,
            ),
            blocking: Blocking::new(settings.blocking_threads),
            listening: Listening::default(),
            rings: Rings::new(cores, settings.fabric_slots as usize),
            draining: AtomicUsize::new(cores),
            loads: (0..cores).map(|_| CachePadded::default()).collect(),
            doors: (0..cores).map(|_| OnceLock::new()).collect(),
            progress: (0..cores).map(|_| Progress::new()).collect(),
            kinds: Kinds::default(),
            #[cfg(feature = "lane")]
            site: Arc::new(Site::new(settings.drain)),
            settings: Arc::new(settings),
        }
    }

    /// What the engine has beside its reactors, made when it is first asked for.
    #[cfg(feature = "lane")]
    pub(crate) fn annex<A: Annex>(&self) -> &A {
        self.site.get(|| A::new(&self.settings, &self.blocking))
    }

    /// How many cores the engine has.
    pub(crate) fn cores(&self) -> usize {
        self.doors.len()
    }

    /// The kind of this name: of a type, say. Takes a lock; [`Kind::of`] has a cache for each core.
    pub(crate) fn intern(&self, name: &'static str) -> Kind {
        self.kinds.intern(name, true)
    }
}
