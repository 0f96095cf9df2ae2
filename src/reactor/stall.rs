//! The watch: a thread of the engine that looks whether each core's turns end. A handler in an
//! endless loop, or one that blocks, freezes its core; the core itself cannot tell.
//!
//! It reads no clock. It looks once in a period; a turn that is the same at four looks has lasted
//! for three periods at least. So a process that was stopped, or a machine that was suspended, is no
//! stall: the watch has slept through it, too.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{self, RecvTimeoutError};

use super::progress::{Progress, Stamp};
use super::shared::Shared;
use crate::error::{Error, Result};

/// Looks in the time after which a turn is reported.
const LOOKS: u32 = 4;
/// It looks no more often than that.
const PERIOD_MIN: Duration = Duration::from_millis(50);

/// The thread of the watch; it ends, promptly, when this is dropped.
pub(super) struct Watch {
    thread: Option<thread::JoinHandle<()>>,
    /// Its end ends the thread.
    open: Option<channel::Sender<()>>,
}

impl Watch {
    /// Watches the cores of an engine; `None` when `SKYRING_STALL` is off.
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Option<Watch>> {
        let limit = shared.settings.stall;
        if limit.is_zero() {
            return Ok(None);
        }
        let (open, closed) = channel::bounded(0);
        let shared = shared.clone();
        let thread = thread::Builder::new()
            .name("skyring-watch".into())
            .spawn(move || watch(&shared, limit, &closed))
            .map_err(|source| Error::Kernel { action: "start the watch's thread", source })?;
        Ok(Some(Watch { thread: Some(thread), open: Some(open) }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.open.take();
        if let Some(thread) = self.thread.take() {
            // The log is the program's; what it panics with there ends nothing else.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, limit: Duration, closed: &channel::Receiver<()>) {
    let period = (limit / LOOKS).max(PERIOD_MIN);
    let mut sights: Vec<Sight> =
        shared.progress.iter().map(|core| Sight::new(core.stamp(), limit)).collect();
    while let Err(RecvTimeoutError::Timeout) = closed.recv_timeout(period) {
        for (core, sight) in sights.iter_mut().enumerate() {
            let progress = &shared.progress[core];
            match sight.look(progress.stamp(), period) {
                None => {}
                Some(News::Lasts { held, is_first }) => {
                    if is_first {
                        progress.count_stall();
                    }
                    sight.runs = runs(shared, progress);
                    tell(core, &sight.runs, held);
                }
                Some(News::Ended { held }) => tracing::warn!(
                    core,
                    runs = sight.runs,
                    lasted = ?held,
                    "the turn that did not end has ended; every client of the core has waited for it"
                ),
            }
        }
    }
}

/// What runs on a core, and who: the number is printed as the full name of a service.
fn runs(shared: &Shared, progress: &Progress) -> String {
    let (kind, id) = progress.running();
    let name = shared.kinds.name(kind);
    match id {
        0 => name,
        service => format!("{name} :{service:016x}"),
    }
}

fn tell(core: usize, runs: &str, held: Duration) {
    tracing::error!(
        core,
        runs,
        lasts = ?held,
        "a turn does not end, and every client of the core waits: what runs may be in an endless \
         loop, or it blocks; move blocking calls to skyring::blocking and cut long work by awaits \
         (SKYRING_STALL sets the limit)"
    );
}

/// What the watch has seen of one core.
struct Sight {
    stamp: Stamp,
    /// The turn has lasted for so long at least.
    held: Duration,
    limit: Duration,
    /// When to report it next; zero: it was not reported yet.
    next: Duration,
    /// What was reported.
    runs: String,
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    Lasts { held: Duration, is_first: bool },
    Ended { held: Duration },
}

impl Sight {
    fn new(stamp: Stamp, limit: Duration) -> Sight {
        let runs = String::new();
        Sight { stamp, held: Duration::ZERO, limit, next: Duration::ZERO, runs }
    }

    /// A look, a period or more after the one before. A turn is news at the limit, at twice the
    /// time of that, and so on, and when it has ended.
    fn look(&mut self, stamp: Stamp, period: Duration) -> Option<News> {
        if stamp != self.stamp || stamp.is_waiting() {
            let was_reported = !self.next.is_zero();
            let held = std::mem::take(&mut self.held);
            self.stamp = stamp;
            self.next = Duration::ZERO;
            return was_reported.then_some(News::Ended { held });
        }
        self.held += period;
        if self.held < self.next.max(self.limit) {
            return None;
        }
        let is_first = self.next.is_zero();
        self.next = self.held * 2;
        Some(News::Lasts { held: self.held, is_first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    fn looks(sight: &mut Sight, progress: &Progress, count: u32) -> Vec<News> {
        (0..count).filter_map(|_| sight.look(progress.stamp(), PERIOD)).collect()
    }

    fn lasts(seconds: u64, is_first: bool) -> News {
        News::Lasts { held: Duration::from_secs(seconds), is_first }
    }

    #[test]
    fn a_turn_is_told_at_the_limit_at_twice_of_it_and_when_it_ended() {
        let progress = Progress::new();
        progress.turns();
        let mut sight = Sight::new(progress.stamp(), 4 * PERIOD);
        assert_eq!(looks(&mut sight, &progress, 3), []);
        assert_eq!(looks(&mut sight, &progress, 1), [lasts(4, true)]);
        let later = looks(&mut sight, &progress, 30);
        assert_eq!(later, [lasts(8, false), lasts(16, false), lasts(32, false)]);
        progress.turns();
        let ended = News::Ended { held: Duration::from_secs(34) };
        assert_eq!(looks(&mut sight, &progress, 4), [ended]);
        // The next turn is a stall of its own.
        assert_eq!(looks(&mut sight, &progress, 1), [lasts(4, true)]);
        progress.waits();
        assert_eq!(looks(&mut sight, &progress, 100), [News::Ended { held: 4 * PERIOD }]);
    }

    #[test]
    fn a_core_that_waits_or_goes_on_is_never_told() {
        let progress = Progress::new();
        let mut sight = Sight::new(progress.stamp(), 2 * PERIOD);
        assert_eq!(looks(&mut sight, &progress, 1000), []);
        for _ in 0..1000 {
            progress.turns();
            assert_eq!(looks(&mut sight, &progress, 2), []);
        }
        for _ in 0..1000 {
            // It has waited between two looks that both find it busy.
            progress.turns();
            assert_eq!(looks(&mut sight, &progress, 2), []);
            progress.waits();
        }
    }

    #[test]
    fn a_limit_below_the_period_is_one_look() {
        let progress = Progress::new();
        progress.turns();
        let mut sight = Sight::new(progress.stamp(), PERIOD / 100);
        assert_eq!(looks(&mut sight, &progress, 1), [lasts(1, true)]);
    }
}
