//! Numbers of engines. An address begins with one, and must never come to mean another service; so a
//! number is given again only when its engine is gone, and with later generations.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::memory::slots::GENERATION_BITS;

/// Engines that may live at once in one process; their number has eight bits in an address.
pub(super) const ENGINES_MAX: usize = u8::MAX as usize;
/// The last generation of a slot.
const GENERATION_LAST: u32 = (1 << GENERATION_BITS) - 1;

/// An engine's number, from 1, and the generations that its tables of services begin with. Given back
/// when the engine and all of its tables are gone.
pub(crate) struct Number {
    engine: u8,
    first: u32,
    last: AtomicU32,
}

struct Numbers {
    /// By number, less one: whether an engine has it, and the first generation that was not used.
    places: [(bool, u32); ENGINES_MAX],
    next: usize,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { places: [(false, 1); ENGINES_MAX], next: 0 });

impl Number {
    /// A number that no living engine has, and that the engines before had as long ago as can be.
    ///
    /// # Errors
    /// When [`ENGINES_MAX`] engines live.
    pub(crate) fn take() -> Result<Arc<Number>> {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |&(taken, first): &(bool, u32)| !taken && first <= GENERATION_LAST;
        let free = (0..ENGINES_MAX)
            .map(|step| (numbers.next + step) % ENGINES_MAX)
            .find(|&place| is_free(&numbers.places[place]));
        let Some(place) = free else {
            let text = format!("{ENGINES_MAX} engines live in this process; stop one before");
            return Err(Error::from(text));
        };
        numbers.next = (place + 1) % ENGINES_MAX;
        let (taken, first) = &mut numbers.places[place];
        *taken = true;
        let (engine, first) = (place as u8 + 1, *first);
        Ok(Arc::new(Number { engine, first, last: AtomicU32::new(first) }))
    }

    #[inline]
    pub(crate) fn engine(&self) -> u8 {
        self.engine
    }

    /// The generation that the slots of this engine's services begin with.
    pub(crate) fn first_generation(&self) -> u32 {
        self.first
    }

    /// A table is gone, whose slots have come so far.
    pub(crate) fn used(&self, generation: u32) {
        self.last.fetch_max(generation, Ordering::Relaxed);
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let last = *self.last.get_mut();
        numbers.places[usize::from(self.engine) - 1] = (false, last.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_again_with_later_generations() {
        let first = Number::take().expect("there is one");
        let (engine, generation) = (first.engine(), first.first_generation());
        first.used(generation + 7);
        drop(first);
        for _ in 0..2 * ENGINES_MAX {
            let again = Number::take().expect("there is one");
            if again.engine() == engine {
                // Other tests may have had it meanwhile.
                return assert!(again.first_generation() > generation + 7);
            }
        }
        panic!("the number does not come again");
    }
}
