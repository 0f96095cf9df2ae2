//! Values whose type is forgotten, without an allocation: messages for the fabric's rings, and
//! replies for a table of calls.
//!
//! ```text
//!   Envelope<C>, one cache line                  Erased
//!   ┌───────────────────────────┬──────┐         ┌────────────────────┬──────┐
//!   │ 56 bytes: a letter        │ run  │         │ 40 bytes: a value  │ kind │
//!   └───────────────────────────┴──────┘         └────────────────────┴──────┘
//!                                  └ opens or drops a letter of its type
//! ```
//! What is too large lies in a box, and the box in its place. A box that crosses cores is freed far
//! from its home, which costs several times the crossing: letters that fit are worth some thought.
#![allow(unsafe_code)] // Bytes of a type that only a function pointer knows; see docs/UNSAFE.md.

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

/// A letter of at most this size needs no box, whatever its alignment.
const LETTER_BYTES: usize = 56;
/// A value of at most this size needs no box, whatever its alignment.
const VALUE_BYTES: usize = 40;

const _: () = assert!(size_of::<Envelope<()>>() == 64 && align_of::<Envelope<()>>() == 64);
const _: () = assert!(size_of::<Erased>() == 48);

/// What an envelope holds: a message that knows what to do where it arrives.
pub(crate) trait Letter<C: ?Sized>: 'static {
    /// Runs once, on the core that the envelope was sent to.
    fn open(self, context: &C);
}

/// A letter on its way to a core that opens it with a `C`.
#[repr(C, align(64))]
pub(crate) struct Envelope<C: ?Sized + 'static> {
    letter: Space<LETTER_BYTES>,
    run: Run<C>,
}

/// Takes the letter out of its space, once: opens it, or without a context drops it.
type Run<C> = unsafe fn(&Space<LETTER_BYTES>, Option<&C>);

// SAFETY: `new` admits only letters that are Send, and nothing else gets in; the function pointer
// is one of this program. A boxed letter is owned, so it goes along.
unsafe impl<C: ?Sized> Send for Envelope<C> {}

impl<C: ?Sized> Envelope<C> {
    /// Whether letters of this type travel without an allocation.
    pub(crate) const fn fits<L>() -> bool {
        Space::<LETTER_BYTES>::fits::<L>()
    }

    /// Seals a letter; in a box if it does not fit.
    #[inline]
    pub(crate) fn new<L: Letter<C> + Send>(letter: L) -> Envelope<C> {
        Envelope { letter: Space::new(letter), run: run::<C, L> }
    }

    /// Opens the letter. A panic of it is the caller's to catch; the letter is gone all the same.
    #[inline]
    pub(crate) fn open(self, context: &C) {
        let envelope = ManuallyDrop::new(self);
        // SAFETY: `new` has set `run` for the type of the letter, and `drop` will not run, so it
        // is taken out once.
        unsafe { (envelope.run)(&envelope.letter, Some(context)) };
    }
}

impl<C: ?Sized> Drop for Envelope<C> {
    fn drop(&mut self) {
        // SAFETY: `new` has set `run` for the type of the letter, and the envelope is not opened,
        // so it is taken out once.
        unsafe { (self.run)(&self.letter, None) };
    }
}

/// # Safety
/// `space` holds an `L`, and is not used after.
unsafe fn run<C: ?Sized, L: Letter<C>>(space: &Space<LETTER_BYTES>, context: Option<&C>) {
    match context {
        // SAFETY: as the caller promises.
        Some(context) => unsafe { space.take::<L>() }.open(context),
        // SAFETY: as the caller promises.
        None => unsafe { space.discard::<L>() },
    }
}

/// A value whose type is asked for when it is taken out. Stays on its core.
#[repr(C)]
pub(crate) struct Erased {
    value: Space<VALUE_BYTES>,
    kind: &'static Kind,
}

/// What is left of a value's type.
struct Kind {
    id: fn() -> TypeId,
    discard: unsafe fn(&Space<VALUE_BYTES>),
}

impl Erased {
    /// Whether values of this type are kept without an allocation.
    #[cfg(test)]
    pub(crate) const fn fits<T>() -> bool {
        Space::<VALUE_BYTES>::fits::<T>()
    }

    /// Keeps a value; in a box if it does not fit.
    #[inline]
    pub(crate) fn new<T: 'static>(value: T) -> Erased {
        let kind = const { &Kind { id: TypeId::of::<T>, discard: Space::discard::<T> } };
        Erased { value: Space::new(value), kind }
    }

    /// The value.
    ///
    /// # Errors
    /// It is not a `T`: it comes back as it was.
    #[inline]
    pub(crate) fn take<T: 'static>(self) -> Result<T, Erased> {
        if (self.kind.id)() != TypeId::of::<T>() {
            return Err(self);
        }
        let erased = ManuallyDrop::new(self);
        // SAFETY: the type is the one that `new` was called with, and `drop` will not run, so the
        // value is taken out once.
        Ok(unsafe { erased.value.take() })
    }
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: `new` has set `kind` for the type of the value, and it was not taken.
        unsafe { (self.kind.discard)(&self.value) };
    }
}

/// Bytes that hold a value of one type, or its box. They are written once and read once, never
/// borrowed in place, so their alignment is of no account. The value does not say whether it is
/// Send, so the space is not.
struct Space<const BYTES: usize> {
    bytes: [MaybeUninit<u8>; BYTES],
    not_send: PhantomData<*const ()>,
}

impl<const BYTES: usize> Space<BYTES> {
    const fn fits<T>() -> bool {
        size_of::<T>() <= BYTES
    }

    #[inline]
    fn new<T>(value: T) -> Space<BYTES> {
        if Self::fits::<T>() { Space::holding(value) } else { Space::holding(Box::new(value)) }
    }

    #[inline]
    fn holding<V>(value: V) -> Space<BYTES> {
        assert!(Self::fits::<V>(), "a box is no larger than a pointer");
        let mut space = Space { bytes: [MaybeUninit::uninit(); BYTES], not_send: PhantomData };
        // SAFETY: the bytes are ours, and as many as the value needs (asserted above).
        unsafe { space.bytes.as_mut_ptr().cast::<V>().write_unaligned(value) };
        space
    }

    /// Moves the value out.
    ///
    /// # Safety
    /// The space was made by `new::<T>`, and is not used after.
    #[inline]
    unsafe fn take<T>(&self) -> T {
        if Self::fits::<T>() {
            // SAFETY: `new` held a `T`; the caller reads it once.
            unsafe { self.read::<T>() }
        } else {
            // SAFETY: `new` held its box; the caller reads it once.
            *unsafe { self.read::<Box<T>>() }
        }
    }

    /// Drops the value; a large one where it lies.
    ///
    /// # Safety
    /// The space was made by `new::<T>`, and is not used after.
    unsafe fn discard<T>(&self) {
        if Self::fits::<T>() {
            // SAFETY: `new` held a `T`; the caller reads it once.
            drop(unsafe { self.read::<T>() });
        } else {
            // SAFETY: `new` held its box; the caller reads it once.
            drop(unsafe { self.read::<Box<T>>() });
        }
    }

    /// # Safety
    /// The space was made by `holding::<V>`, and is not used after.
    #[inline]
    unsafe fn read<V>(&self) -> V {
        // SAFETY: `holding` wrote a `V` here, and the caller takes over its ownership.
        unsafe { self.bytes.as_ptr().cast::<V>().read_unaligned() }
    }
}

#[cfg(test)]
mod tests;
