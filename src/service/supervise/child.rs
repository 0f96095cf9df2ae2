//! A child of a supervisor: what makes it, and when it is made anew.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::Error;
use crate::service::address::ServiceId;
use crate::service::error::SpawnError;
use crate::service::remote::spawn_ready;
use crate::service::tell::adopt;
use crate::service::{CallError, NameError, Service, bind};

/// When a child that has ended is started again. After Erlang's supervisors
/// (<https://www.erlang.org/doc/system/sup_princ.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended in order.
    Transient,
    /// Never.
    Temporary,
}

/// Why a child did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The service could not be started.
    Spawn(SpawnError),
    /// It ended while it started, or did not come to an end with that in 30 seconds.
    Started(CallError),
    /// It did not get its name.
    Name(NameError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Spawn(error) => error.fmt(f),
            StartError::Started(CallError::TimedOut) => {
                write!(f, "it had not started after {START_PATIENCE:?}")
            }
            StartError::Started(_) => f.write_str("it ended while it started"),
            StartError::Name(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StartError> for Error {
    fn from(error: StartError) -> Error {
        Error::Other(error.into())
    }
}

/// How long a child may take to start.
const START_PATIENCE: Duration = Duration::from_secs(30);

type Starting = Pin<Box<dyn Future<Output = Result<ServiceId, StartError>>>>;

/// Where a child is started, for whom, and under which name.
struct Place {
    core: usize,
    supervisor: ServiceId,
    name: Option<Box<str>>,
}

/// A service that a [`Supervisor`](super::Supervisor) starts, and starts again: what makes it, on
/// which core, and under which name.
///
/// ```
/// # use skyring::prelude::*;
/// # use skyring::service::{Child, Restart};
/// # struct Room { seats: usize }
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// let seats = 16;
/// let lobby = Child::new("lobby", move || Room { seats })
///     .restart(Restart::Transient)
///     .on(1)
///     .bound(); // others find it as "lobby"
/// ```
#[must_use = "a child does nothing until a supervisor has it"]
pub struct Child {
    pub(super) name: Box<str>,
    pub(super) restart: Restart,
    core: Option<usize>,
    make: Box<dyn FnMut(Place) -> Starting + Send>,
    bound: bool,
}

impl Child {
    /// A child that `make` makes, again for each restart, on the supervisor's core. `name` is what
    /// the log calls it, and must be the supervisor's only one.
    pub fn new<S, F>(name: impl Into<Box<str>>, make: F) -> Child
    where
        S: Service,
        F: Fn() -> S + Clone + Send + 'static,
    {
        let make = move |Place { core, supervisor, name }| -> Starting {
            let make = make.clone();
            Box::pin(async move {
                let adopted = move |reactor: &_, id| adopt(reactor, id, supervisor);
                let begun = spawn_ready(core, START_PATIENCE, make, adopted).await;
                // Without its name it is of no use, and ends.
                let newborn = begun.map_err(StartError::Started)?.map_err(StartError::Spawn)?;
                if let Some(name) = name {
                    bind(&name, newborn.address()).await.map_err(StartError::Name)?;
                }
                Ok(newborn.keep().id())
            })
        };
        Child {
            name: name.into(),
            restart: Restart::default(),
            core: None,
            make: Box::new(make),
            bound: false,
        }
    }

    /// When it is started again; [`Restart::Permanent`] unless set.
    pub fn restart(self, restart: Restart) -> Child {
        Child { restart, ..self }
    }

    /// Lives on this core instead of the supervisor's.
    pub fn on(self, core: usize) -> Child {
        Child { core: Some(core), ..self }
    }

    /// Gives it its name in the engine's registry, anew after each restart: others
    /// [find](crate::service::find) it there.
    pub fn bound(self) -> Child {
        Child { bound: true, ..self }
    }

    /// Starts it; `supervisor` watches it from its beginning.
    pub(super) fn start(&mut self, supervisor: ServiceId) -> Starting {
        let name = self.bound.then(|| self.name.clone());
        let core = self.core.unwrap_or(supervisor.core());
        (self.make)(Place { core, supervisor, name })
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({:?}, {:?})", self.name, self.restart)
    }
}
