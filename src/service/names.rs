//! Names: for services that others find without having been given their address.
//!
//! ```text
//!   any core: bind ──▶ core 0 decides ──▶ every core: a copy       find: a lookup in the own copy
//!                         ▲
//!   home core: the service ends ──┘ the name is free again
//! ```

use std::any::TypeId;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::address::{Address, ServiceId};
use super::call::Call;
use super::error::{CallError, SpawnError};
use super::post;
use super::registry::{self, Holder, NAME_BYTES_MAX, NAMES_MAX};
use super::remote::{Task, on};
use super::table::Services;
use crate::error::Error;
use crate::memory::envelope::Letter;
use crate::reactor::Reactor;

/// The core that decides who gets a name.
pub(super) const OWNER: usize = 0;

/// Why a name was not given, or not found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// A name has 1 to 255 bytes.
    Length(usize),
    /// Another service has it.
    Taken(ServiceId),
    /// Somebody makes the [`unique`](super::unique()) service of that name right now.
    BeingMade,
    /// The engine, or the core for local names, holds 65,536 names already.
    Full,
    /// The service of that name takes other messages.
    OtherMessages(ServiceId),
    /// There is no such service on this core.
    Dead,
    /// The service could not be started.
    Spawn(SpawnError),
    /// Core 0, which decides, did not answer.
    Unanswered(CallError),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Length(len) => {
                write!(f, "a name has 1 to {NAME_BYTES_MAX} bytes, this one has {len}")
            }
            NameError::Taken(id) => write!(f, "service {id} has that name"),
            NameError::BeingMade => f.write_str("the service of that name is being made"),
            NameError::Full => write!(f, "there are {NAMES_MAX} names already"),
            NameError::OtherMessages(id) => {
                write!(f, "service {id} has that name, and takes other messages")
            }
            NameError::Dead => f.write_str("there is no such service on this core"),
            NameError::Spawn(error) => error.fmt(f),
            NameError::Unanswered(error) => write!(f, "core {OWNER} did not answer: {error}"),
        }
    }
}

impl std::error::Error for NameError {}

impl From<NameError> for Error {
    fn from(error: NameError) -> Error {
        Error::Other(error.into())
    }
}

pub(super) fn checked(name: &str) -> Result<Arc<str>, NameError> {
    match name.len() {
        1..=NAME_BYTES_MAX => Ok(name.into()),
        len => Err(NameError::Length(len)),
    }
}

fn refused(by: Option<ServiceId>) -> NameError {
    by.map_or(NameError::Full, NameError::Taken)
}

pub(super) fn typed<M: 'static>(holder: Holder) -> Result<Address<M>, NameError> {
    if holder.takes == TypeId::of::<M>() {
        Ok(Address::new(holder.id))
    } else {
        Err(NameError::OtherMessages(holder.id))
    }
}

/// Gives a service a name, by which [`find`] finds it on every core of the engine. It has the name
/// until it ends. When this returns, this core knows it; the others do a moment later.
///
/// ```
/// # use skyring::prelude::*;
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// let room = service::spawn(Room)?;
/// service::bind("lobby", room).await?;
/// assert_eq!(service::find("lobby"), Some(room));
/// assert_eq!(service::find::<String>("lobby"), None); // it takes other messages
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// [`NameError`].
///
/// # Panics
/// When polled outside of a reactor.
pub async fn bind<M: 'static>(name: &str, service: Address<M>) -> Result<(), NameError> {
    let name = checked(name)?;
    let holder = Holder { id: service.id(), takes: TypeId::of::<M>() };
    let decision = move |reactor: &Rc<Reactor>| {
        if Services::of(reactor).names.claims.borrow().contains_key(&name) {
            return Err(NameError::BeingMade);
        }
        grant(reactor, &name, holder)
    };
    match decide(decision.clone()).await {
        Err(NameError::Taken(other)) => decide_behind(other, decision).await,
        decided => decided,
    }
}

/// Has core 0 decide behind all that it is told by the core of `other`, who has the name: its end
/// may be known here and on its way there still.
async fn decide_behind(
    other: ServiceId,
    decision: impl FnOnce(&Rc<Reactor>) -> Result<(), NameError> + Send + 'static,
) -> Result<(), NameError> {
    let ask = move |reply| {
        let engine = Reactor::current().shared.engine;
        if other.engine() != engine || other.core() == OWNER {
            return Err(CallError::Dead); // there is no such way
        }
        let task = Task { work: move || decision(&Reactor::current()), reply };
        post::control(engine, other.core(), Detour(task)).map_err(|_| CallError::Dead)
    };
    Call::new(None, ask).await.unwrap_or(Err(NameError::Taken(other)))
}

/// A letter to core 0 that goes by another core.
struct Detour<L>(L);

impl<L: Letter<Rc<Reactor>> + Send> Letter<Rc<Reactor>> for Detour<L> {
    fn open(self, reactor: &Rc<Reactor>) {
        // Whoever waits for an answer hears so if it cannot be told.
        let _ = post::control(reactor.shared.engine, OWNER, self.0);
    }
}

/// Has core 0 decide.
pub(super) async fn decide<T: Send + 'static>(
    decision: impl FnOnce(&Rc<Reactor>) -> Result<T, NameError> + Send + 'static,
) -> Result<T, NameError> {
    let decided = on(OWNER, move || decision(&Reactor::current())).await;
    decided.unwrap_or_else(|error| Err(NameError::Unanswered(error)))
}

/// On core 0: enters a name, tells the other cores, and has the service's core say when it ends.
pub(super) fn grant(
    reactor: &Rc<Reactor>,
    name: &Arc<str>,
    holder: Holder,
) -> Result<(), NameError> {
    let names = &Services::of(reactor).names.shared;
    if !registry::enter(names, name, holder).map_err(refused)? {
        return Ok(()); // its own already
    }
    for core in (0..reactor.shared.cores()).filter(|&core| core != OWNER) {
        let _ = post::control(reactor.shared.engine, core, Copy { name: name.clone(), holder });
    }
    let until = Until { name: name.clone(), id: holder.id, engine: reactor.shared.engine };
    if let Err(until) = post::control(holder.id.engine(), holder.id.core(), until) {
        revoke(reactor, &until.name, until.id);
    }
    Ok(())
}

/// On core 0: the service of a name has ended.
fn revoke(reactor: &Rc<Reactor>, name: &Arc<str>, id: ServiceId) {
    if !registry::remove(&Services::of(reactor).names.shared, name, id) {
        return;
    }
    for core in (0..reactor.shared.cores()).filter(|&core| core != OWNER) {
        let _ = post::control(reactor.shared.engine, core, Erase { name: name.clone(), id });
    }
}

/// Tells a core that a name was given.
struct Copy {
    name: Arc<str>,
    holder: Holder,
}

impl Letter<Rc<Reactor>> for Copy {
    fn open(self, reactor: &Rc<Reactor>) {
        Services::of(reactor).names.shared.borrow_mut().insert(self.name, self.holder);
    }
}

/// Tells a core that a name is free again.
struct Erase {
    name: Arc<str>,
    id: ServiceId,
}

impl Letter<Rc<Reactor>> for Erase {
    fn open(self, reactor: &Rc<Reactor>) {
        registry::remove(&Services::of(reactor).names.shared, &self.name, self.id);
    }
}

/// Asks the service's core to tell core 0 when it ends.
struct Until {
    name: Arc<str>,
    id: ServiceId,
    /// Whose name it is; the service may be another engine's.
    engine: u8,
}

impl Letter<Rc<Reactor>> for Until {
    fn open(self, reactor: &Rc<Reactor>) {
        let Until { name, id, engine } = self;
        let free = move || _ = post::control(engine, OWNER, Free { name, id });
        match Services::of(reactor).door(id) {
            Some(door) => _ = door.at_end(Box::new(move |_| free())),
            None => free(),
        }
    }
}

/// Tells core 0 that the service of a name has ended.
struct Free {
    name: Arc<str>,
    id: ServiceId,
}

impl Letter<Rc<Reactor>> for Free {
    fn open(self, reactor: &Rc<Reactor>) {
        revoke(reactor, &self.name, self.id);
    }
}

/// The service of this name, in this core's copy of the engine's names: no lock, no waiting.
///
/// `None` when nobody has the name, or who has it takes other messages than `M`. A service that has
/// ended may be found for a moment more; sending to it errs.
///
/// # Panics
/// Outside of a reactor.
pub fn find<M: 'static>(name: &str) -> Option<Address<M>> {
    let reactor = Reactor::current();
    let holder = Services::of(&reactor).names.shared.borrow().get(name).copied();
    holder.and_then(|holder| typed(holder).ok())
}

/// Gives a service of this core a name that only this core knows. It has the name until it ends. For
/// a service that each core has one of:
///
/// ```
/// # use skyring::prelude::*;
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// let mut sim = skyring::sim::Simulation::new(1);
/// sim.start(Engine::new(Config::new().cores(2)).setup(|_core| {
///     let room = service::spawn(Room)?;
///     Ok(service::bind_local("lobby", room)?)
/// }))?;
/// for core in 0..2 {
///     let found = sim.run_on(core, async { service::find_local::<()>("lobby") })?;
///     assert_eq!(found.map(|room| room.id().core()), Some(core));
/// }
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`NameError`].
///
/// # Panics
/// Outside of a reactor.
pub fn bind_local<M: 'static>(name: &str, service: Address<M>) -> Result<(), NameError> {
    let name = checked(name)?;
    let reactor = Reactor::current();
    let services = Services::of(&reactor);
    let id = service.id();
    let here = id.core() == reactor.index && id.engine() == reactor.shared.engine;
    let Some(door) = services.door(id).filter(|_| here) else { return Err(NameError::Dead) };
    let holder = Holder { id, takes: TypeId::of::<M>() };
    if !registry::enter(&services.names.local, &name, holder).map_err(refused)? {
        return Ok(()); // its own already
    }
    let core = reactor.clone();
    door.at_end(Box::new(move |_| {
        registry::remove(&Services::of(&core).names.local, &name, id);
    }));
    Ok(())
}

/// As [`find`], for the names of [`bind_local`].
///
/// # Panics
/// Outside of a reactor.
pub fn find_local<M: 'static>(name: &str) -> Option<Address<M>> {
    let reactor = Reactor::current();
    let holder = Services::of(&reactor).names.local.borrow().get(name).copied();
    holder.and_then(|holder| typed(holder).ok())
}
