//! Values whose type is forgotten, without an allocation: messages for the fabric's rings, and
//! replies for a table of calls; and values that are found again by a label of their type.
//!
//! ```text
//!   Envelope<C>, one cache line                  Shelf
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
use std::ptr;

use super::queue::Consumer;

/// A letter of at most this size needs no box, whatever its alignment.
const LETTER_BYTES: usize = 56;
/// A value of at most this size needs no box, whatever its alignment.
const VALUE_BYTES: usize = 40;

const _: () = assert!(size_of::<Envelope<()>>() == 64 && align_of::<Envelope<()>>() == 64);
const _: () = assert!(size_of::<Shelf>() == 48);

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

/// Opens the oldest letter of a ring where it lies. Whether there was one. A panic of it is the
/// caller's to catch; the letter is gone all the same.
#[inline]
pub(crate) fn open_next<C: ?Sized>(ring: &Consumer<Envelope<C>>, context: &C) -> bool {
    // SAFETY: `new` has set `run` for the type of the letter. It takes it out once, before it opens
    // it, and the envelope is not dropped: `pop_in_place` leaves that to this closure.
    unsafe { ring.pop_in_place(|envelope| (envelope.run)(&envelope.letter, Some(context))) }
}

impl<C: ?Sized> Drop for Envelope<C> {
    fn drop(&mut self) {
        // SAFETY: `new` has set `run` for the type of the letter, and the envelope is not opened,
        // so it is taken out once.
        unsafe { (self.run)(&self.letter, None) };
    }
}

/// # Safety
/// `space` holds an `L`, which is not read after.
unsafe fn run<C: ?Sized, L: Letter<C>>(space: &Space<LETTER_BYTES>, context: Option<&C>) {
    match context {
        // SAFETY: as the caller promises.
        Some(context) => unsafe { space.take::<L>() }.open(context),
        // SAFETY: as the caller promises.
        None => unsafe { space.discard::<L>() },
    }
}

/// A place for one value, whose type is asked for when it is taken out. The value is written where it
/// lies and read from there: it is moved no more than that. Stays on its core.
#[repr(C)]
pub(crate) struct Shelf {
    value: Space<VALUE_BYTES>,
    /// Of the value that is here, if there is one.
    kind: Option<&'static Kind>,
}

/// What is left of a value's type.
struct Kind {
    id: fn() -> TypeId,
    discard: unsafe fn(&Space<VALUE_BYTES>),
}

impl Kind {
    const fn of<T: 'static>() -> &'static Kind {
        const { &Kind { id: TypeId::of::<T>, discard: Space::discard::<T> } }
    }

    /// Whether it is that of a `T`.
    #[inline]
    fn is<T: 'static>(&'static self) -> bool {
        // At one address is one `id`, so that the call is spared.
        ptr::eq(self, Kind::of::<T>()) || (self.id)() == TypeId::of::<T>()
    }
}

impl Shelf {
    pub(crate) const EMPTY: Shelf = Shelf { value: Space::EMPTY, kind: None };

    /// Whether values of this type are kept without an allocation.
    #[cfg(test)]
    pub(crate) const fn fits<T>() -> bool {
        Space::<VALUE_BYTES>::fits::<T>()
    }

    /// Keeps a value; in a box if it does not fit.
    ///
    /// # Panics
    /// When there is one already.
    #[inline]
    pub(crate) fn put<T: 'static>(&mut self, value: T) {
        assert!(self.kind.is_none(), "a value that is here is taken first");
        self.value.put(value);
        self.kind = Some(Kind::of::<T>());
    }

    /// The value, if there is one of this type; else it stays.
    #[inline]
    pub(crate) fn take<T: 'static>(&mut self) -> Option<T> {
        self.kind.filter(|kind| kind.is::<T>())?;
        self.kind = None;
        // SAFETY: `put` was called with this type, which `kind` says; nothing but `put` sets it,
        // and it is `None` now, so the value is taken out once.
        Some(unsafe { self.value.take() })
    }
}

impl Default for Shelf {
    fn default() -> Shelf {
        Shelf::EMPTY
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        if let Some(kind) = self.kind.take() {
            // SAFETY: `put` has set `kind` for the type of the value, and it was not taken.
            unsafe { (kind.discard)(&self.value) };
        }
    }
}

/// A value beside a label of its type, so that it is found again behind a trait object without a call
/// of one of its methods: `dyn Any` asks the vtable.
pub(crate) struct Labelled<T: ?Sized> {
    /// Invariant: the type of `value` when it was made. Unsizing leaves both as they are.
    id: TypeId,
    value: T,
}

impl<T: 'static> Labelled<T> {
    pub(crate) fn new(value: T) -> Labelled<T> {
        Labelled { id: TypeId::of::<T>(), value }
    }
}

impl<T: ?Sized> Labelled<T> {
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// The value, if it is a `U`.
    #[inline]
    pub(crate) fn downcast_ref<U: 'static>(&self) -> Option<&U> {
        if self.id != TypeId::of::<U>() {
            return None;
        }
        // SAFETY: `new` made this as a `Labelled<U>`, which `id` says: nothing else sets it, and it
        // cannot be moved out of from behind a `T` that is unsized. So this is one, whatever `T` it is
        // seen as meanwhile, borrowed for as long as `self` is.
        let this = unsafe { &*ptr::from_ref(self).cast::<Labelled<U>>() };
        Some(&this.value)
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

    const EMPTY: Space<BYTES> =
        Space { bytes: [MaybeUninit::uninit(); BYTES], not_send: PhantomData };

    #[inline]
    fn new<T>(value: T) -> Space<BYTES> {
        let mut space = Space::EMPTY;
        space.put(value);
        space
    }

    #[inline]
    fn put<T>(&mut self, value: T) {
        if Self::fits::<T>() { self.hold(value) } else { self.hold(Box::new(value)) }
    }

    #[inline]
    fn hold<V>(&mut self, value: V) {
        assert!(Self::fits::<V>(), "a box is no larger than a pointer");
        // SAFETY: the bytes are ours, and as many as the value needs (asserted above).
        unsafe { self.bytes.as_mut_ptr().cast::<V>().write_unaligned(value) };
    }

    /// Moves the value out.
    ///
    /// # Safety
    /// `put::<T>` was the last to write to the space, and its value is not read after.
    #[inline]
    unsafe fn take<T>(&self) -> T {
        if Self::fits::<T>() {
            // SAFETY: `put` held a `T`; the caller reads it once.
            unsafe { self.read::<T>() }
        } else {
            // SAFETY: `put` held its box; the caller reads it once.
            *unsafe { self.read::<Box<T>>() }
        }
    }

    /// Drops the value; a large one where it lies.
    ///
    /// # Safety
    /// `put::<T>` was the last to write to the space, and its value is not read after.
    unsafe fn discard<T>(&self) {
        if Self::fits::<T>() {
            // SAFETY: `put` held a `T`; the caller reads it once.
            drop(unsafe { self.read::<T>() });
        } else {
            // SAFETY: `put` held its box; the caller reads it once.
            drop(unsafe { self.read::<Box<T>>() });
        }
    }

    /// # Safety
    /// `hold::<V>` was the last to write to the space, and its value is not read after.
    #[inline]
    unsafe fn read<V>(&self) -> V {
        // SAFETY: `hold` wrote a `V` here, and the caller takes over its ownership.
        unsafe { self.bytes.as_ptr().cast::<V>().read_unaligned() }
    }
}

#[cfg(test)]
mod tests;
