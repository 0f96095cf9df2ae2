//! The engines of this process, by number: how an address finds its core from any thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::number::{ENGINES_MAX, Number};
use super::shared::Shared;
use crate::config::Settings;
use crate::error::Result;

/// By number, less one: none is 0.
static ROLL: Mutex<[Weak<Shared>; ENGINES_MAX]> = Mutex::new([const { Weak::new() }; ENGINES_MAX]);

/// Gives a new engine its number.
///
/// # Errors
/// When too many engines live.
pub(crate) fn enrol(settings: Settings) -> Result<Arc<Shared>> {
    let number = Number::take()?;
    let place = usize::from(number.engine()) - 1;
    let shared = Arc::new(Shared::new(number, settings));
    ROLL.lock().unwrap_or_else(PoisonError::into_inner)[place] = Arc::downgrade(&shared);
    Ok(shared)
}

/// The engine of this number, while it lives.
pub(crate) fn find(engine: u8) -> Option<Arc<Shared>> {
    let place = usize::from(engine).checked_sub(1)?;
    ROLL.lock().unwrap_or_else(PoisonError::into_inner)[place].upgrade()
}
