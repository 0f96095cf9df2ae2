//! A server in a simulated kernel: virtual time, bad weather, everything from one seed.
//!
//! All cores of all engines run on the calling thread. Time moves only when everybody waits, so a
//! minute of timeouts takes a millisecond, and a run that failed fails again with the same seed.
//!
//! ```
//! use skyring::net::TcpStream;
//! use skyring::sim::{Faults, Simulation};
//! use skyring::{Config, Frame, LengthPrefix, servers};
//!
//! let mut sim = Simulation::new(7).weather(Faults::bad_weather());
//! let config = Config::new().cores(2);
//! sim.start(servers::echo::engine(config, "127.0.0.1:80", LengthPrefix::U16.into()))?;
//! let reply: skyring::Result<Frame> = sim.run(async {
//!     let stream = TcpStream::connect("127.0.0.1:80").await?;
//!     stream.write(b"\0\x05hello")?;
//!     Ok(stream.read_exact(7).await?)
//! })?;
//! assert_eq!(&reply?[..], b"\0\x05hello");
//! sim.stop()?; // everything drained, every descriptor closed, every block home
//! # Ok::<(), skyring::Error>(())
//! ```
//!
//! What a server gives to other threads is done here by its own core: a call of
//! [`blocking`](fn@crate::blocking), and what rests on it (files that are served, long answers that are
//! compressed, the certificates that this machine trusts, names that are resolved), takes up to 3 ms
//! of virtual time, as the seed says. Files, trust and names are this machine's own, so a run
//! repeats as long as they do. There is no lane: its calls err at once.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use crate::driver::sim::{Counts, Faults};

use crate::config::Config;
use crate::driver::Driver;
use crate::driver::sim::{Kernel, World};
use crate::error::{Error, Result};
use crate::memory::pool::Pool;
use crate::reactor::engine::Engine;
use crate::reactor::roll;
use crate::reactor::setup::divide;
use crate::reactor::shared::{Core, Shared};
use crate::reactor::thread::set_up;
use crate::reactor::{Ended, Metrics, Reactor, spawn};

/// Rounds in which the time may stand still: more is a task that never waits.
const ROUNDS_A_MOMENT: u32 = 1_000_000;

/// Engines and clients in one simulated kernel.
pub struct Simulation {
    world: World,
    cores: Vec<Node>,
    /// Which of the cores runs the clients.
    client: Option<usize>,
}

struct Node {
    reactor: Rc<Reactor>,
    /// Its number in the world.
    number: usize,
    ended: Option<Ended>,
}

impl Node {
    fn turn(&mut self) {
        let reactor = &self.reactor;
        self.ended = reactor.enter(|| {
            reactor.turn().expect("a simulated enter does not fail");
            let ended = reactor.descend();
            if ended.is_some() {
                reactor.close_doors();
            }
            ended
        });
    }
}

/// Everybody waits for somebody, and no time is due: the simulated program hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The seed of the run.
    pub seed: u64,
    /// The virtual time at which nothing was left to happen.
    pub after: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stuck { seed, after } = self;
        write!(
            f,
            "stuck after {after:?} of virtual time, seed {seed}: every task waits for another"
        )
    }
}

impl std::error::Error for Stuck {}

impl From<Stuck> for Error {
    fn from(stuck: Stuck) -> Error {
        Error::Other(stuck.into())
    }
}

impl Simulation {
    /// A world in fair weather, in which everything follows from `seed`.
    pub fn new(seed: u64) -> Simulation {
        Simulation { world: World::new(seed, Faults::default()), cores: Vec::new(), client: None }
    }

    /// Sets what goes wrong from now on.
    pub fn weather(self, faults: Faults) -> Simulation {
        self.world.set_faults(faults);
        self
    }

    /// Starts an engine: runs its hooks and opens its gates on simulated cores, as many as its
    /// configuration says.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start(&mut self, engine: Engine) -> Result<()> {
        let (config, steps) = engine.into_parts();
        let (hooks, steps) = divide(steps);
        let shared = roll::enrol(config.resolve()?)?;
        let (first, count) = (self.cores.len(), shared.settings.cores.len());
        for index in 0..count {
            let reactor = self.add_core(index, &shared);
            set_up(&reactor, &hooks)?;
        }
        for step in steps {
            for index in 0..count {
                let (step, core) = (step.clone(), Core { index, count });
                self.run_at(first + index, async move { step.run(core).await })??;
            }
        }
        Ok(())
    }

    fn add_core(&mut self, index: usize, shared: &Arc<Shared>) -> Rc<Reactor> {
        let settings = &shared.settings;
        let pool =
            Pool::new(settings.pool_blocks, settings.pool_block_bytes, settings.pool_lent_max);
        let kernel = Kernel::new(&self.world, pool.clone());
        let number = kernel.core();
        let reactor = Reactor::new(index, shared.clone(), Driver::Sim(Box::new(kernel)), pool);
        self.cores.push(Node { reactor: reactor.clone(), number, ended: None });
        reactor
    }

    /// Runs a client to its end, on a core of its own, while everybody else goes on.
    ///
    /// # Errors
    /// [`Stuck`] when the client waits and nothing can happen any more.
    ///
    /// # Panics
    /// When the client panics.
    pub fn run<F>(&mut self, future: F) -> Result<F::Output, Stuck>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let client = self.client();
        self.run_at(client, future)
    }

    /// As [`Simulation::run`], on core `core` of the engines that were started: they are counted
    /// through from 0 in the order of their start. For what only a core of the engine can do:
    /// calling its services, say.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    ///
    /// # Panics
    /// When there is no such core, and when the future panics.
    pub fn run_on<F>(&mut self, core: usize, future: F) -> Result<F::Output, Stuck>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut engines = (0..self.cores.len()).filter(|&at| Some(at) != self.client);
        let at = engines.nth(core);
        self.run_at(at.expect("an engine with so many cores was started"), future)
    }

    fn run_at<F>(&mut self, index: usize, future: F) -> Result<F::Output, Stuck>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let result = Rc::new(RefCell::new(None));
        let filled = result.clone();
        let task = self.cores[index].reactor.enter(|| {
            spawn(async move {
                let output = future.await;
                *filled.borrow_mut() = Some(output);
            })
        });
        self.world.rouse(self.cores[index].number);
        self.advance_until(|_| task.is_finished())?;
        let output = result.borrow_mut().take();
        Ok(output.expect("the future panicked; its message is above"))
    }

    fn client(&mut self) -> usize {
        if let Some(index) = self.client {
            return index;
        }
        let settings = Config::new().cores(1).resolve().expect("the defaults are valid");
        let shared = roll::enrol(settings).expect("there is room for another engine");
        self.add_core(0, &shared);
        *self.client.insert(self.cores.len() - 1)
    }

    /// Rounds until `done`.
    fn advance_until(&mut self, done: impl Fn(&Simulation) -> bool) -> Result<(), Stuck> {
        let mut rounds = 0;
        let mut moment = self.now();
        while !done(self) {
            if !self.round() {
                return Err(Stuck { seed: self.seed(), after: self.now() });
            }
            rounds = if self.now() == moment { rounds + 1 } else { 0 };
            moment = self.now();
            assert!(rounds < ROUNDS_A_MOMENT, "a core never waits, seed {}", self.seed());
        }
        Ok(())
    }

    /// One turn of every core that is awake; when all sleep, the time moves instead. Whether there
    /// was anything to do.
    fn round(&mut self) -> bool {
        let mut turned = false;
        for node in &mut self.cores {
            if node.ended.is_none() && !self.world.is_asleep(node.number) {
                turned = true;
                node.turn();
            }
        }
        self.world.end_round(turned)
    }

    /// Stops all engines and checks that nothing is left: no operation, no descriptor, no block
    /// but those in living `Bytes`.
    ///
    /// # Errors
    /// What was left, with the seed.
    pub fn stop(mut self) -> Result<()> {
        for node in &self.cores {
            let reactor = &node.reactor;
            reactor.enter(|| reactor.drain(reactor.now() + reactor.settings.drain));
            self.world.rouse(node.number);
        }
        self.advance_until(|sim| sim.cores.iter().all(|node| node.ended.is_some()))?;
        let seed = self.seed();
        for Node { reactor, ended, .. } in &self.cores {
            if let Some(left) = ended.filter(|ended| !ended.is_clean()) {
                let core = reactor.index;
                return Err(format!("seed {seed}: core {core} ended with {left:?}").into());
            }
        }
        self.client = None;
        self.cores.clear();
        match self.world.open_descriptors() {
            0 => Ok(()),
            left => Err(format!("seed {seed}: {left} descriptors are still open").into()),
        }
    }

    /// The seed of this run; print it when a test fails.
    pub fn seed(&self) -> u64 {
        self.world.seed()
    }

    /// The virtual time since the beginning.
    pub fn now(&self) -> Duration {
        self.world.now().since_start()
    }

    /// What went wrong so far, by kind.
    pub fn counts(&self) -> Counts {
        self.world.counts()
    }

    /// A digest of everything that happened: the same for the same seed and program.
    pub fn fingerprint(&self) -> u64 {
        self.world.fingerprint()
    }

    /// What the cores of all engines and clients have counted.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        self.cores.iter().for_each(|node| sum.add(&node.reactor.snapshot()));
        sum
    }
}
