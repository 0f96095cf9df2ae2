//! Supervision: services that start others, and start them again when they fail. After Erlang/OTP
//! (<https://www.erlang.org/doc/system/sup_princ.html>).
//!
//! ```
//! use std::time::Duration;
//!
//! use skyring::prelude::*;
//! use skyring::service::{self, Child, Context, Restart, Service, Supervisor};
//!
//! struct Store;
//! # impl Service for Store {
//! #     type Message = ();
//! #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
//! # }
//! struct Cache;
//! # impl Service for Cache {
//! #     type Message = ();
//! #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
//! # }
//!
//! # skyring::sim::Simulation::new(1).run(async {
//! // The cache is of no use without the store that it fills from.
//! let tree = Supervisor::rest_for_one()
//!     .intensity(5, Duration::from_secs(10))
//!     .child(Child::new("store", || Store).bound())
//!     .child(Child::new("cache", || Cache).restart(Restart::Transient));
//! let tree = service::spawn(tree)?;
//! # tree.call(service::Supervise::Children).await?;
//! # assert!(service::find::<()>("store").is_some());
//! # Ok::<(), Error>(())
//! # }).unwrap().unwrap();
//! ```

mod child;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

pub use self::child::{Child, Restart, StartError};

use super::Service;
use super::address::ServiceId;
use super::context::Context;
use super::ended::ended;
use super::reason::{Down, Reason};
use super::reply::Reply;
use super::tell::{kill, stop};
use crate::clock::Now;
use crate::error::{Error, Result};
use crate::reactor::within;

/// How long a child that is told to stop may take before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Restarts, and the time they are counted in, unless [`Supervisor::intensity`] says otherwise.
const INTENSITY: (usize, Duration) = (3, Duration::from_secs(5));

/// Whom the end of a child concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

/// A service that starts its children in order, and starts them again when they end, by its
/// strategy and theirs. A child counts as started when it exists: its own
/// [`started`](Service::started) may still run when the next is made. When the supervisor stops, it
/// stops them in the opposite order, each with five seconds.
/// When restarts come too often it stops them and fails itself, so that its own supervisor hears
/// of it.
#[derive(Debug)]
#[must_use = "a supervisor does nothing until it is spawned"]
pub struct Supervisor {
    strategy: Strategy,
    restarts_max: usize,
    within: Duration,
    children: Vec<Running>,
    /// When restarts were, of late.
    restarts: VecDeque<Now>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    id: Option<ServiceId>,
}

/// What a supervisor is asked.
///
/// ```
/// # use skyring::prelude::*;
/// # use skyring::service::{Child, Supervise, Supervisor};
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// let rooms = service::spawn(Supervisor::one_for_one())?;
/// let chess = Child::new("chess", || Room);
/// let id = rooms.call(|reply| Supervise::Add(chess, reply)).await??;
/// assert_eq!(rooms.call(Supervise::Children).await?, [("chess".into(), Some(id))]);
/// assert!(rooms.call(|reply| Supervise::Remove("chess".into(), reply)).await?);
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Supervise {
    /// Starts another child, after the others. Answers where it lives, or why not.
    Add(Child, Reply<Result<ServiceId, AddError>>),
    /// Stops a child for good. Answers whether there was one of that name.
    Remove(Box<str>, Reply<bool>),
    /// Answers name and address of each child; `None` for one that has ended and stays so.
    Children(Reply<Vec<(Box<str>, Option<ServiceId>)>>),
}

/// Why a child was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// The supervisor has a child of that name.
    Taken,
    /// It did not start.
    Start(StartError),
}

impl std::fmt::Display for AddError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AddError::Taken => f.write_str("the supervisor has a child of that name"),
            AddError::Start(error) => write!(f, "the child did not start: {error}"),
        }
    }
}

impl std::error::Error for AddError {}

impl From<AddError> for Error {
    fn from(error: AddError) -> Error {
        Error::Other(error.into())
    }
}

impl Supervisor {
    fn new(strategy: Strategy) -> Supervisor {
        let (restarts_max, within) = INTENSITY;
        let (children, restarts) = (Vec::new(), VecDeque::new());
        Supervisor { strategy, restarts_max, within, children, restarts }
    }

    /// A child that ends is started again, alone: for children that do not need each other.
    pub fn one_for_one() -> Supervisor {
        Supervisor::new(Strategy::OneForOne)
    }

    /// When a child ends, all others are stopped and all are started again: for children that are
    /// of no use without each other.
    pub fn one_for_all() -> Supervisor {
        Supervisor::new(Strategy::OneForAll)
    }

    /// When a child ends, those that were started after it are stopped, and started again after
    /// it: for children that need those before them.
    pub fn rest_for_one() -> Supervisor {
        Supervisor::new(Strategy::RestForOne)
    }

    /// Gives up when there are more than `restarts` within `time`. Unless set: 3 in 5 seconds.
    pub fn intensity(mut self, restarts: usize, time: Duration) -> Supervisor {
        (self.restarts_max, self.within) = (restarts, time);
        self
    }

    /// Adds a child, to be started after those before it.
    ///
    /// # Panics
    /// When there is a child of that name.
    pub fn child(mut self, child: Child) -> Supervisor {
        assert!(self.place(&child.name).is_none(), "two children are called {:?}", child.name);
        self.children.push(Running { child, id: None });
        self
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.children.iter().position(|running| *running.child.name == *name)
    }

    async fn start(&mut self, at: usize, cx: &Context<Self>) -> Result<ServiceId, StartError> {
        let running = &mut self.children[at];
        let id = running.child.start(cx.id()).await?;
        running.id = Some(id);
        Ok(id)
    }

    /// Stops these children, the last first.
    async fn stop_range(&mut self, range: Range<usize>, cx: &Context<Self>) {
        for running in self.children[range].iter_mut().rev() {
            let Some(id) = running.id.take() else { continue };
            cx.unwatch(id);
            let Ok(end) = ended(id) else {
                kill(id); // nobody can wait for it
                continue;
            };
            stop(id);
            if within(STOP_PATIENCE, end).await.is_err() {
                tracing::warn!(child = %running.child.name, %id, "killed: it did not stop");
                kill(id);
            }
        }
    }

    /// Stops and starts these children. A start that fails is a restart more.
    async fn restart_range(&mut self, range: Range<usize>, cx: &Context<Self>) -> Result<()> {
        loop {
            self.count_restart(cx)?;
            self.stop_range(range.clone(), cx).await;
            let started = self.start_range(range.clone(), true, cx).await;
            let Err(error) = started else { return Ok(()) };
            tracing::warn!(supervisor = %cx.id(), %error, "a restart failed");
        }
    }

    async fn start_range(
        &mut self,
        range: Range<usize>,
        again: bool,
        cx: &Context<Self>,
    ) -> Result<(), StartError> {
        for at in range {
            let running = &self.children[at];
            // Nothing starts again what is temporary, nor what lives.
            let once = running.child.restart == Restart::Temporary && again;
            if running.id.is_none() && !once {
                self.start(at, cx).await?;
            }
        }
        Ok(())
    }

    /// Notes a restart.
    ///
    /// # Errors
    /// There were too many.
    fn count_restart(&mut self, cx: &Context<Self>) -> Result<()> {
        let now = cx.now();
        self.restarts.retain(|&at| now.since(at) < self.within);
        self.restarts.push_back(now);
        if self.restarts.len() <= self.restarts_max {
            return Ok(());
        }
        let (most, time) = (self.restarts_max, self.within);
        Err(Error::from(format!("more than {most} restarts within {time:?}")))
    }

    /// A child has ended: what its strategy and its own kind ask for.
    async fn replace(&mut self, at: usize, down: &Down, cx: &Context<Self>) -> Result<()> {
        let running = &mut self.children[at];
        running.id = None;
        let again = match running.child.restart {
            Restart::Permanent => true,
            Restart::Transient => !down.reason.is_orderly(),
            Restart::Temporary => false,
        };
        let (child, reason) = (&running.child.name, &down.reason);
        if !again {
            tracing::info!(%child, %reason, "a child has ended, and stays so");
            return Ok(());
        }
        tracing::warn!(%child, %reason, "a child has ended, and is started again");
        let all = self.children.len();
        let range = match self.strategy {
            Strategy::OneForOne => at..at + 1,
            Strategy::RestForOne => at..all,
            Strategy::OneForAll => 0..all,
        };
        let restarted = self.restart_range(range, cx).await;
        if restarted.is_err() {
            self.stop_range(0..all, cx).await;
        }
        restarted
    }
}

/// One that is killed can wait for nobody, but leaves no children behind that nobody sees to.
impl Drop for Supervisor {
    fn drop(&mut self) {
        self.children.iter().rev().filter_map(|running| running.id).for_each(stop);
    }
}

impl Service for Supervisor {
    type Message = Supervise;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        let all = self.children.len();
        let started = self.start_range(0..all, false, cx).await;
        if let Err(error) = started {
            self.stop_range(0..all, cx).await;
            return Err(Error::from(format!("a child did not start: {error}")));
        }
        Ok(())
    }

    async fn handle(&mut self, message: Supervise, cx: &Context<Self>) -> Result<()> {
        match message {
            Supervise::Add(child, reply) => {
                if self.place(&child.name).is_some() {
                    reply.send(Err(AddError::Taken));
                    return Ok(());
                }
                self.children.push(Running { child, id: None });
                let started = self.start(self.children.len() - 1, cx).await;
                if started.is_err() {
                    self.children.pop();
                }
                reply.send(started.map_err(AddError::Start));
            }
            Supervise::Remove(name, reply) => {
                let place = self.place(&name);
                if let Some(at) = place {
                    self.stop_range(at..at + 1, cx).await;
                    self.children.remove(at);
                }
                reply.send(place.is_some());
            }
            Supervise::Children(reply) => {
                let children = self.children.iter();
                reply.send(children.map(|at| (at.child.name.clone(), at.id)).collect());
            }
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        match self.children.iter().position(|running| running.id == Some(down.service)) {
            Some(at) => self.replace(at, &down, cx).await,
            None => Ok(()),
        }
    }

    async fn stopped(&mut self, _: &Reason, cx: &Context<Self>) {
        self.stop_range(0..self.children.len(), cx).await;
    }
}
