//! The engine: all reactors, from start to stop.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crossbeam::channel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[cfg(feature = "lane")]
use super::annex::Hurry;
use super::fabric::FabricQueue;
use super::inbox::Inbox;
use super::roll;
use super::setup::{Step, divide};
use super::shared::{Core, Hook, Shared};
use super::stall::Watch;
use super::thread::core_main;
use super::{JoinError, Metrics, Reactor, spawn};
use crate::config::{Config, raise_descriptors};
use crate::driver::operation::SocketAddress;
use crate::error::{Error, Result};
use crate::guard::message;

/// A network engine that is about to start: its configuration, and what each core sets up.
///
/// ```no_run
/// # fn main() -> skyring::Result<()> {
/// use skyring::{Config, Engine};
/// let handle = Engine::new(Config::from_env()?)
///     .setup(|core| {
///         let index = core.index;
///         skyring::spawn(async move { println!("core {index} runs") });
///         Ok(())
///     })
///     .start()?;
/// handle.stop();
/// handle.join()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "an engine does nothing until `run` or `start`"]
pub struct Engine {
    config: Config,
    steps: Vec<Step>,
}

impl Engine {
    /// An engine with this configuration. Nothing is opened yet.
    pub fn new(config: Config) -> Engine {
        Engine { config, steps: Vec::new() }
    }

    /// Runs `hook` on each core before its first turn, in the order of the calls, core 0 first. It
    /// may open listeners and spawn tasks; what it cannot do is wait: see
    /// [`setup_async`](Self::setup_async).
    pub fn setup(mut self, hook: impl Fn(&Core) -> Result<()> + Send + Sync + 'static) -> Engine {
        self.steps.push(Step::Plain(Arc::new(hook)));
        self
    }

    /// As [`setup`](Self::setup), for a hook that waits: for a name to be bound, a service of another
    /// core, a database. It runs on one core after the other, core 0 first, when all cores turn; the
    /// hooks and gates behind it in the program wait for it, so that who connects finds what it has made.
    /// Its error ends the start; how long it may take is its own to bound ([`within`](fn@crate::within)).
    ///
    /// ```no_run
    /// # #[derive(Default)] struct Scores;
    /// # impl skyring::service::Service for Scores {
    /// #     type Message = ();
    /// #     async fn handle(&mut self, _: (), _: &skyring::service::Context<Self>) -> Result<()> { Ok(()) }
    /// # }
    /// # struct Player;
    /// # impl Agent for Player {
    /// #     async fn frame(&mut self, _: &Client, _: Frame) -> Result<()> { Ok(()) }
    /// # }
    /// use skyring::prelude::*;
    ///
    /// fn main() -> Result<()> {
    ///     Engine::new(Config::from_env()?)
    ///         .setup_async(async |_core| {
    ///             service::unique("scores", Scores::default).await?; // one in the engine
    ///             Ok(())
    ///         })
    ///         .gate("0.0.0.0:8888", Gate::line().agent(|_| Player)) // no player comes before it is there
    ///         .run()
    /// }
    /// ```
    pub fn setup_async<H>(mut self, hook: H) -> Engine
    where
        H: AsyncFn(Core) -> Result<()> + Send + Sync + 'static,
    {
        self.steps.push(Step::waiting(hook));
        self
    }

    /// The configuration and the hooks, for a simulation.
    pub(crate) fn into_parts(self) -> (Config, Vec<Step>) {
        (self.config, self.steps)
    }

    /// Starts one thread a core. When this returns, every listener is open and every hook has run.
    ///
    /// # Errors
    /// A bad configuration, a kernel without io_uring, or the first error of a hook; what had
    /// started is stopped again.
    ///
    /// # Panics
    /// On a core of an engine, which it would block, when a hook waits.
    pub fn start(self) -> Result<Handle> {
        let (handle, steps) = self.begin()?;
        match handle.set_up(&steps) {
            Ok(true) => Ok(handle),
            Ok(false) => Err(handle.failed_start()),
            Err(error) => Err(handle.fail(error)),
        }
    }

    /// Starts the cores; what hooks are left are those that wait, and what comes behind them.
    fn begin(self) -> Result<(Handle, Vec<Step>)> {
        let settings = self.config.resolve()?;
        raise_descriptors()
            .map_err(|source| Error::Kernel { action: "raise the descriptor limit", source })?;
        let shared = roll::enrol(settings)?;
        let cores = shared.settings.cores.len();
        let (gone, ends) = channel::bounded(cores); // room for all: nobody waits to tell
        let mut handle = Handle {
            shared: shared.clone(),
            inboxes: Vec::new(),
            threads: Vec::new(),
            ends,
            watch: None,
        };
        let (hooks, steps) = divide(self.steps);
        let hooks: Arc<[Hook]> = hooks.into();
        for index in 0..cores {
            let (ready, is_ready) = sync_channel(1);
            let (shared, hooks) = (shared.clone(), hooks.clone());
            let gone = Gone { index, ends: gone.clone() };
            let thread = thread::Builder::new()
                .name(format!("skyring-{index}"))
                .spawn(move || {
                    let _gone = gone; // dropped at the end, by a panic too
                    core_main(index, &shared, &hooks, &ready)
                })
                .map_err(|source| Error::Kernel { action: "start a reactor's thread", source })?;
            handle.threads.push(Some(thread));
            match is_ready.recv() {
                Ok(inbox) => handle.inboxes.push(inbox),
                // It ended instead; its error is in the thread's result.
                Err(_) => return Err(handle.failed_start()),
            }
        }
        handle.watch = Watch::start(&shared)?;
        Ok((handle, steps))
    }

    /// Runs until SIGINT or SIGTERM, then drains: listeners close, connections finish within
    /// `SKYRING_DRAIN`, and this returns. A second signal ends at once what is left.
    ///
    /// # Errors
    /// As [`Engine::start`], and a defect of the engine that ended a reactor.
    pub fn run(self) -> Result<()> {
        self.run_then(|_| {})
    }

    /// As [`Engine::run`]; `started` is called once with the running engine.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn run_then(self, started: impl FnOnce(&Handle)) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])
            .map_err(|source| Error::Kernel { action: "listen to signals", source })?;
        let (handle, steps) = self.begin()?;
        let stopper = handle.stopper();
        let closer = signals.handle();
        let listener = thread::spawn(move || {
            let mut patience = stopper.drain;
            for _ in &mut signals {
                stopper.stop_within(patience);
                patience = Duration::ZERO;
            }
        });
        let ended = match handle.set_up(&steps) {
            Ok(true) => {
                started(&handle);
                handle.join()
            }
            Ok(false) => handle.join(), // a signal came meanwhile
            Err(error) => Err(handle.fail(error)),
        };
        closer.close();
        let _ = listener.join();
        ended
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("hooks", &self.steps.len()).finish_non_exhaustive()
    }
}

/// A running engine. Dropping it stops the engine and waits for its end.
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    /// By core; gone once joined.
    threads: Vec<Option<thread::JoinHandle<Result<()>>>>,
    /// The cores that end, as they do.
    ends: channel::Receiver<usize>,
    /// Looks for turns that do not end; goes on while the engine stops.
    watch: Option<Watch>,
}

/// Tells that a core ends.
struct Gone {
    index: usize,
    ends: channel::Sender<usize>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.ends.try_send(self.index);
    }
}

/// Tells a running engine to stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    #[cfg(feature = "lane")]
    hurry: Hurry,
    inboxes: Vec<Arc<Inbox>>,
    drain: Duration,
}

impl Stopper {
    /// As [`Handle::stop`].
    pub fn stop(&self) {
        self.stop_within(self.drain);
    }

    /// Stops with another deadline than `SKYRING_DRAIN`; zero ends connections at once. A later
    /// call may shorten the time.
    pub fn stop_within(&self, patience: Duration) {
        #[cfg(feature = "lane")]
        self.hurry.to(patience);
        for inbox in &self.inboxes {
            inbox.send(move |reactor| reactor.drain(reactor.now() + patience));
        }
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").field("drain", &self.drain).finish_non_exhaustive()
    }
}

impl Handle {
    /// Where the engine listens, in the order in which the listeners were opened; a port 0 that was
    /// asked for is the port that was given.
    pub fn addresses(&self) -> Vec<SocketAddress> {
        self.shared.listening.addresses()
    }

    /// How many reactors run.
    pub fn cores(&self) -> usize {
        self.inboxes.len()
    }

    /// Connections now, over all cores.
    pub fn connections(&self) -> u32 {
        self.shared.quota.connections()
    }

    /// What the cores have counted, and how things stand on them, added up. Waits until each has
    /// answered, a turn of each; one that has ended adds nothing.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        self.metrics_by_core().iter().for_each(|metrics| sum.add(metrics));
        sum
    }

    /// As [`Handle::metrics`], for each core by itself, in their order. One that has ended has
    /// zeros.
    pub fn metrics_by_core(&self) -> Vec<Metrics> {
        let (sender, answers) = sync_channel(self.inboxes.len());
        for (core, inbox) in self.inboxes.iter().enumerate() {
            let sender = sender.clone();
            inbox.send(move |reactor| {
                let _ = sender.send((core, reactor.snapshot()));
            });
        }
        drop(sender);
        let mut cores = vec![Metrics::default(); self.inboxes.len()];
        answers.into_iter().for_each(|(core, metrics)| cores[core] = metrics);
        cores
    }

    /// Runs a future on a core of the engine and waits on this thread for what it returns: how the
    /// program around an engine calls its services.
    ///
    /// ```no_run
    /// # fn example(handle: &skyring::Handle) -> skyring::Result<()> {
    /// let drawn = handle.run_on(0, || async { skyring::random() })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JoinError::Panicked`] when it panicked, [`JoinError::Aborted`] when the engine stopped
    /// before it was done.
    ///
    /// # Panics
    /// When the engine has no such core, and on a core of an engine, which it would block.
    pub fn run_on<F>(
        &self,
        core: usize,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<F::Output, JoinError>
    where
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        assert!(core < self.cores(), "the engine has {} cores, not {core}", self.cores());
        assert!(Reactor::try_current().is_none(), "a core must not wait for another: spawn a task");
        let (sender, result) = sync_channel(1); // room for all: nobody waits to tell
        self.inboxes[core].send(move |_| {
            let task = spawn(async move { make().await });
            spawn(async move { sender.send(task.await) });
        });
        result.recv().unwrap_or(Err(JoinError::Aborted))
    }

    /// What waits on its way between the cores now, for each ordered pair of them, by sender and
    /// receiver. A queue that stays long names a core that lags. Waits for a turn of each core; one
    /// that has ended sends nothing.
    pub fn fabric(&self) -> Vec<FabricQueue> {
        let (sender, answers) = sync_channel(self.inboxes.len());
        for inbox in &self.inboxes {
            let sender = sender.clone();
            inbox.send(move |reactor| {
                let _ = sender.send(reactor.fabric.queues().collect::<Vec<_>>());
            });
        }
        drop(sender);
        let mut queues: Vec<FabricQueue> = answers.into_iter().flatten().collect();
        queues.sort_unstable_by_key(|queue| (queue.from, queue.to));
        queues
    }

    /// Begins to stop and returns at once: listeners close, connections finish what was begun,
    /// within `SKYRING_DRAIN`.
    pub fn stop(&self) {
        self.stopper().stop();
    }

    /// A way to stop the engine from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            #[cfg(feature = "lane")]
            hurry: Hurry::of(&self.shared.site),
            inboxes: self.inboxes.clone(),
            drain: self.shared.settings.drain,
        }
    }

    /// Waits until the engine has stopped. A core that ends by a defect meanwhile stops the others,
    /// as [`Handle::stop`] does.
    ///
    /// # Errors
    /// [`Error::Reactor`] when a reactor ended by a defect: the first that did.
    pub fn join(mut self) -> Result<()> {
        self.join_threads()
    }

    fn join_threads(&mut self) -> Result<()> {
        let mut result = Ok(());
        while self.running() > 0 {
            let core = self.ends.recv().expect("each core tells its end, and it stays there");
            // One whose thread could not be started has told, too.
            let Some(thread) = self.threads.get_mut(core).and_then(Option::take) else { continue };
            let ended = thread.join().unwrap_or_else(|panic| {
                Err(Error::Reactor { core, message: message(&*panic).to_owned() })
            });
            if let Err(error) = ended {
                // A core is gone and its clients with it: the others must not go on alone.
                self.stop();
                result = result.and(Err(error));
            }
        }
        self.watch = None;
        #[cfg(feature = "lane")]
        self.shared.site.close();
        self.shared.blocking.close();
        result
    }

    /// Threads that were not joined yet.
    fn running(&self) -> usize {
        self.threads.iter().flatten().count()
    }

    /// Runs what hooks are left, each on one core after the other. Whether all have run: not those of
    /// an engine that was stopped meanwhile.
    fn set_up(&self, steps: &[Step]) -> Result<bool> {
        for step in steps {
            for index in 0..self.cores() {
                let (step, core) = (step.clone(), Core { index, count: self.cores() });
                match self.run_on(index, move || step.run(core)) {
                    Ok(done) => done?,
                    Err(JoinError::Aborted) => return Ok(false),
                    Err(JoinError::Panicked) => {
                        let message = "a hook panicked; the log has its message".into();
                        return Err(Error::Reactor { core: index, message });
                    }
                }
            }
        }
        Ok(true)
    }

    fn failed_start(self) -> Error {
        self.fail("a reactor ended while it started".into())
    }

    /// Stops at once. A defect that ended a core says more than what came of it.
    fn fail(mut self, error: Error) -> Error {
        self.stopper().stop_within(Duration::ZERO);
        self.join_threads().err().unwrap_or(error)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.running() > 0 {
            self.stop();
            if let Err(error) = self.join_threads() {
                tracing::error!(%error, "the engine ended badly");
            }
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> =
            self.addresses().iter().map(SocketAddress::to_string).collect();
        f.debug_struct("Handle").field("addresses", &addresses).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_dies_stops_the_others_whichever_it_is() {
        for dying in 0..2 {
            let config = Config::new().cores(2).pin(false);
            let handle = Engine::new(config)
                .setup(|_| {
                    super::super::spawn(std::future::pending::<()>());
                    Ok(())
                })
                .start()
                .expect("the engine starts");
            let (sender, joined) = sync_channel(1);
            let inbox = handle.inboxes[dying].clone();
            let waiting = thread::spawn(move || sender.send(handle.join()));
            inbox.send(|_| panic!("a defect"));
            let joined =
                joined.recv_timeout(Duration::from_secs(30)).expect("the other core stops");
            let Err(Error::Reactor { core, message }) = joined else { panic!("it is told") };
            assert_eq!((core, message.as_str()), (dying, "a defect"));
            waiting.join().expect("ended").expect("received");
        }
    }
}
