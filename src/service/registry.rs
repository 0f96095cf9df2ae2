//! The names that a core knows. Every core has a copy of those of the whole engine, so a lookup
//! touches nothing shared; core 0 decides who gets a name, and tells the others.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::address::ServiceId;

/// Names that an engine, or a core for its local ones, can hold.
pub(super) const NAMES_MAX: usize = 65_536;
/// Bytes of a name.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// Who has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) id: ServiceId,
    /// The type of its messages.
    pub(super) takes: TypeId,
}

/// Hears who has the name that it asked for.
pub(super) trait Waiter {
    /// Whether it still waits, as far as this core knows.
    fn waits(&self) -> bool;
    /// `None`: it may make the service itself.
    fn hear(self: Box<Self>, holder: Option<Holder>);
}

/// Those who wait for a name, the first first.
pub(super) type Waiting = VecDeque<Box<dyn Waiter>>;

/// The names of one core.
#[derive(Default)]
pub(super) struct Registry {
    /// Of this core alone.
    pub(super) local: RefCell<HashMap<Arc<str>, Holder>>,
    /// Of the engine: on core 0 what counts, elsewhere a copy.
    pub(super) shared: RefCell<HashMap<Arc<str>, Holder>>,
    /// On core 0: names whose service is being made, and who else has asked for it.
    pub(super) claims: RefCell<HashMap<Arc<str>, Waiting>>,
}

/// Gives `holder` the name in one of the tables. Whether it had it not.
///
/// # Errors
/// Who has it already, or `None` when the table is full.
pub(super) fn enter(
    names: &RefCell<HashMap<Arc<str>, Holder>>,
    name: &Arc<str>,
    holder: Holder,
) -> Result<bool, Option<ServiceId>> {
    let mut names = names.borrow_mut();
    match names.get(name) {
        Some(other) if other.id != holder.id => Err(Some(other.id)),
        Some(_) => Ok(false),
        None if names.len() >= NAMES_MAX => Err(None),
        None => {
            names.insert(name.clone(), holder);
            Ok(true)
        }
    }
}

/// Takes the name from `id`, if it has it. Whether it had.
pub(super) fn remove(
    names: &RefCell<HashMap<Arc<str>, Holder>>,
    name: &str,
    id: ServiceId,
) -> bool {
    let mut names = names.borrow_mut();
    let had = names.get(name).is_some_and(|holder| holder.id == id);
    if had {
        names.remove(name);
    }
    had
}
