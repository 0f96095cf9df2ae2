//! A reactor's thread: its core, its ring, its hooks, its turns, its report.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::inbox::Inbox;
use super::shared::{Core, Hook, Shared};
use super::{Ended, Reactor};
use crate::config::{Host, Settings};
use crate::driver::uring::{Ring, RingOptions};
use crate::driver::{Driver, errno, probe};
use crate::error::{Error, Result};
use crate::guard::message;
use crate::memory::pool::Pool;

/// The life of a reactor's thread.
pub(super) fn core_main(
    index: usize,
    shared: &Arc<Shared>,
    hooks: &[Hook],
    ready: &SyncSender<Arc<Inbox>>,
) -> Result<()> {
    pin(index, &shared.settings)?;
    let settings = &shared.settings;
    let pool = Pool::new(settings.pool_blocks, settings.pool_block_bytes, settings.pool_lent_max);
    let options =
        RingOptions { entries: settings.ring_entries, completions: settings.completion_entries() };
    let ring = Ring::new(options, pool.clone()).map_err(|source| unavailable(&source, settings))?;
    let reactor = Reactor::new(index, shared.clone(), Driver::Uring(Box::new(ring)), pool);
    let _closing = Closing(reactor.clone());
    let set_up = catch_unwind(AssertUnwindSafe(|| set_up(&reactor, hooks)));
    let set_up = set_up.unwrap_or_else(|panic| {
        Err(Error::Reactor { core: index, message: message(&*panic).to_owned() })
    });
    if set_up.is_ok() {
        let _ = ready.send(reactor.inbox().clone());
    } else {
        reactor.drain(reactor.now());
    }
    let ended = reactor
        .run()
        .map_err(|error| Error::Reactor { core: index, message: error.to_string() })?;
    set_up?;
    report(index, ended);
    Ok(())
}

/// Closes the doors of a core that ends, by a panic too.
struct Closing(Rc<Reactor>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.enter(|| self.0.close_doors());
        self.0.progress.waits(); // for nothing
    }
}

/// Runs the hooks of a core.
pub(crate) fn set_up(reactor: &Rc<Reactor>, hooks: &[Hook]) -> Result<()> {
    let core = Core { index: reactor.index, count: reactor.shared.settings.cores.len() };
    reactor.enter(|| {
        let set_up = hooks.iter().try_for_each(|hook| hook(&core));
        reactor.fabric.flush(reactor); // the first turn may wait before it does so
        set_up
    })
}

/// Binds this thread to its core, or to all of the engine's.
fn pin(index: usize, settings: &Settings) -> Result<()> {
    let mut set = CpuSet::new();
    let cores = &settings.cores;
    let mine = if settings.pin { &cores[index..=index] } else { &cores[..] };
    mine.iter().for_each(|&core| set.set(core));
    sched_setaffinity(None, &set).map_err(|error| Error::Kernel {
        action: "pin a reactor to its core (SKYRING_CORES, SKYRING_PIN)",
        source: error.into(),
    })
}

/// Why there is no ring, with the remedy.
fn unavailable(source: &io::Error, settings: &Settings) -> Error {
    match probe::Probe::run() {
        Err(unavailable) => Error::Unavailable(unavailable.into()),
        // io_uring works, but not at this size.
        Ok(_) => {
            let memlock = Host::inspect().memlock;
            Error::Unavailable(errno::ring_failure(source, settings, memlock).into())
        }
    }
}

/// A reactor that ends with something in its hands has a defect: loud in tests, logged elsewhere.
fn report(core: usize, ended: Ended) {
    if ended.blocks_detached > 0 {
        tracing::info!(core, blocks = ended.blocks_detached, "blocks live on in `Bytes`");
    }
    if !ended.is_clean() {
        tracing::error!(core, ?ended, "a reactor did not end cleanly");
        debug_assert!(ended.is_clean(), "reactor {core} did not end cleanly: {ended:?}");
    }
}
