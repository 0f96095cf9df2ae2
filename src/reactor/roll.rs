//! The engines of this process, by number: how an address finds its core from any thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::shared::Shared;
use crate::config::Settings;
use crate::error::{Error, Result};

/// Engines that may live at once in one process; their number has eight bits in an address.
pub(crate) const ENGINES_MAX: usize = u8::MAX as usize;

struct Roll {
    /// By number, less one: none is 0.
    engines: [Weak<Shared>; ENGINES_MAX],
    next: usize,
}

static ROLL: Mutex<Roll> =
    Mutex::new(Roll { engines: [const { Weak::new() }; ENGINES_MAX], next: 0 });

/// Gives a new engine its number: one that no living engine has, and that the engines before had
/// as long ago as can be.
///
/// # Errors
/// When [`ENGINES_MAX`] engines live.
pub(crate) fn enrol(settings: Settings) -> Result<Arc<Shared>> {
    let mut roll = ROLL.lock().unwrap_or_else(PoisonError::into_inner);
    let free = (0..ENGINES_MAX)
        .map(|step| (roll.next + step) % ENGINES_MAX)
        .find(|&place| roll.engines[place].strong_count() == 0);
    let Some(place) = free else {
        let text = format!("{ENGINES_MAX} engines live in this process; stop one before");
        return Err(Error::from(text));
    };
    let shared = Arc::new(Shared::new(place as u8 + 1, settings));
    roll.engines[place] = Arc::downgrade(&shared);
    roll.next = (place + 1) % ENGINES_MAX;
    Ok(shared)
}

/// The engine of this number, while it lives.
pub(crate) fn find(engine: u8) -> Option<Arc<Shared>> {
    let place = usize::from(engine).checked_sub(1)?;
    let roll = ROLL.lock().unwrap_or_else(PoisonError::into_inner);
    roll.engines[place].upgrade()
}
