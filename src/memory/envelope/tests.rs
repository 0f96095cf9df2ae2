//! Letters and values of every size, opened, taken, dropped, and panicking.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::memory::queue::ring;

/// Compiles for what is not `Send` only: else two impls would fit.
trait NotSend<A> {
    const CHECKED: () = ();
}
impl<T> NotSend<()> for T {}
impl<T: Send> NotSend<u8> for T {}
const _: () = <Shelf as NotSend<_>>::CHECKED;

const fn is_send<T: Send>() {}
const _: () = is_send::<Envelope<Rc<()>>>(); // the context stays, the letter goes

/// Where letters report to.
#[derive(Default)]
struct Desk {
    sum: Cell<usize>,
}

/// Counts its drops, and fills an envelope to `8 + BYTES` bytes.
struct Note<const BYTES: usize> {
    drops: Arc<AtomicU32>,
    fill: [u8; BYTES],
    panics: Panics,
}

#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Panics {
    Never,
    WhenOpened,
    WhenDropped,
}

impl<const BYTES: usize> Letter<Desk> for Note<BYTES> {
    fn open(self, desk: &Desk) {
        assert!(self.panics != Panics::WhenOpened, "as asked");
        desk.sum
            .set(desk.sum.get() + self.fill.iter().map(|&byte| usize::from(byte)).sum::<usize>());
    }
}

impl<const BYTES: usize> Drop for Note<BYTES> {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
        assert!(self.panics != Panics::WhenDropped, "as asked");
    }
}

/// Drives a note of `8 + BYTES + 1` bytes, rounded up to 8, through all that can happen to it.
fn check_note<const BYTES: usize>() {
    let drops = Arc::new(AtomicU32::new(0));
    let note = |panics| Envelope::new(Note { drops: drops.clone(), fill: [3; BYTES], panics });
    let desk = Desk::default();
    note(Panics::Never).open(&desk);
    assert_eq!((desk.sum.get(), drops.swap(0, Ordering::Relaxed)), (3 * BYTES, 1), "{BYTES}");
    drop(note(Panics::Never));
    assert_eq!((desk.sum.get(), drops.swap(0, Ordering::Relaxed)), (3 * BYTES, 1), "{BYTES}");
    for panics in [Panics::WhenOpened, Panics::WhenDropped] {
        let opened = catch_unwind(AssertUnwindSafe(|| note(panics).open(&desk)));
        assert_eq!((opened.is_err(), drops.swap(0, Ordering::Relaxed)), (true, 1), "{BYTES}");
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(note(panics))));
        assert_eq!(dropped.is_err(), panics == Panics::WhenDropped);
        assert_eq!(drops.swap(0, Ordering::Relaxed), 1, "{BYTES}");
    }
    assert_eq!(Arc::strong_count(&drops), 1, "none was leaked");
}

#[test]
fn a_letter_is_opened_or_dropped_once_whatever_its_size() {
    assert!(Envelope::<Desk>::fits::<Note<47>>() && !Envelope::<Desk>::fits::<Note<48>>());
    check_note::<0>();
    check_note::<47>();
    check_note::<48>();
    check_note::<4096>();
}

/// Bytes of any alignment, with a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Aligned<A, const BYTES: usize>([A; 0], [u8; BYTES]);

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(16))]
struct A16;

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(128))]
struct A128;

fn pattern<A, const BYTES: usize>() -> Aligned<A, BYTES> {
    Aligned([], std::array::from_fn(|n| n as u8))
}

impl<A: 'static, const BYTES: usize> Letter<RefCell<Vec<u8>>> for Aligned<A, BYTES> {
    fn open(self, read: &RefCell<Vec<u8>>) {
        assert_eq!((&raw const self).addr() % align_of::<A>(), 0);
        read.borrow_mut().extend(self.1);
    }
}

fn check_bytes<A: Copy + Send + PartialEq + std::fmt::Debug + 'static, const BYTES: usize>(
    fits: (bool, bool),
) {
    assert_eq!(Envelope::<()>::fits::<Aligned<A, BYTES>>(), fits.0);
    assert_eq!(Shelf::fits::<Aligned<A, BYTES>>(), fits.1);
    let read = RefCell::new(Vec::new());
    Envelope::new(pattern::<A, BYTES>()).open(&read);
    let sent = pattern::<A, BYTES>();
    assert_eq!(*read.borrow(), sent.1);
    let taken = shelf_with(sent).take::<Aligned<A, BYTES>>();
    assert_eq!(taken, Some(sent));
}

#[test]
fn what_fits_travels_in_place_and_the_rest_in_a_box() {
    check_bytes::<u8, 0>((true, true));
    check_bytes::<u8, 1>((true, true));
    check_bytes::<u8, 40>((true, true));
    check_bytes::<u8, 41>((true, false));
    check_bytes::<u8, 56>((true, false));
    check_bytes::<u8, 57>((false, false));
    check_bytes::<u64, 40>((true, true));
    check_bytes::<u64, 48>((true, false));
    check_bytes::<u64, 56>((true, false));
    check_bytes::<u64, 64>((false, false));
    check_bytes::<A16, 32>((true, true));
    check_bytes::<A16, 48>((true, false));
    check_bytes::<A16, 64>((false, false));
    check_bytes::<A128, 0>((true, true));
    check_bytes::<A128, 128>((false, false));
}

#[test]
fn a_context_may_be_a_trait_object() {
    trait Count {
        fn count(&self);
    }
    impl Count for Cell<u32> {
        fn count(&self) {
            self.set(self.get() + 1);
        }
    }
    struct Tick;
    impl Letter<dyn Count> for Tick {
        fn open(self, context: &dyn Count) {
            context.count();
        }
    }
    let count = Cell::new(0);
    Envelope::<dyn Count>::new(Tick).open(&count);
    assert_eq!(count.get(), 1);
}

#[test]
fn letters_cross_threads_through_a_ring() {
    let (producer, consumer) = ring::<Envelope<Desk>>(64);
    let drops = Arc::new(AtomicU32::new(0));
    let counter = drops.clone();
    let sender = thread::spawn(move || {
        for n in 0..2_000 {
            let drops = counter.clone();
            let mut envelope = if n % 2 == 0 {
                Envelope::new(Note { drops, fill: [1; 8], panics: Panics::Never })
            } else {
                Envelope::new(Note { drops, fill: [1; 200], panics: Panics::Never })
            };
            while let Err(back) = producer.push(envelope) {
                envelope = back;
                thread::yield_now();
            }
        }
    });
    let desk = Desk::default();
    for _ in 0..1_990 {
        let envelope = loop {
            match consumer.pop() {
                Some(envelope) => break envelope,
                None => thread::yield_now(),
            }
        };
        envelope.open(&desk);
    }
    sender.join().expect("no panic");
    drop(consumer); // with ten letters in it
    assert_eq!((desk.sum.get(), drops.load(Ordering::Relaxed)), (995 * 208, 2_000));
}

fn shelf_with<T: 'static>(value: T) -> Shelf {
    let mut shelf = Shelf::EMPTY;
    shelf.put(value);
    shelf
}

#[test]
fn a_value_is_taken_by_its_own_type_only() {
    let mut shelf = Shelf::EMPTY;
    assert_eq!(shelf.take::<u64>(), None);
    shelf.put(7_u64);
    assert_eq!(shelf.take::<i64>(), None);
    assert_eq!(shelf.take::<Box<u64>>(), None);
    assert_eq!(shelf.take::<u64>(), Some(7));
    assert_eq!(shelf.take::<u64>(), None, "it is taken once");
    shelf.put([9_u64; 6]);
    assert_eq!(shelf.take::<Box<[u64; 6]>>(), None, "the box is not the value");
    assert_eq!(shelf.take::<[u64; 6]>(), Some([9; 6]));
    assert_eq!(shelf_with(()).take::<()>(), Some(()));
}

#[test]
fn a_value_is_dropped_once_taken_or_not() {
    fn check<const BYTES: usize>(fits: bool) {
        type Value<const BYTES: usize> = (Rc<()>, [u8; BYTES]);
        assert_eq!(Shelf::fits::<Value<BYTES>>(), fits);
        let kept = Rc::new(());
        let mut shelf = shelf_with((kept.clone(), [1_u8; BYTES]));
        assert_eq!(Rc::strong_count(&kept), 2);
        assert!(shelf.take::<Rc<()>>().is_none(), "it is not that");
        assert_eq!(Rc::strong_count(&kept), 2);
        drop(shelf);
        assert_eq!(Rc::strong_count(&kept), 1);
        let mut shelf = shelf_with((kept.clone(), [1_u8; BYTES]));
        let taken = shelf.take::<Value<BYTES>>();
        drop(shelf);
        assert_eq!((taken.is_some(), Rc::strong_count(&kept)), (true, 2));
        drop(taken);
        assert_eq!(Rc::strong_count(&kept), 1);
    }
    check::<32>(true);
    check::<33>(false);
    check::<1000>(false);
}

#[test]
fn a_second_value_is_refused_and_the_first_stays() {
    let kept = Rc::new(());
    let mut shelf = shelf_with(kept.clone());
    let refused = catch_unwind(AssertUnwindSafe(|| shelf.put(kept.clone())));
    assert!(refused.is_err());
    assert_eq!(Rc::strong_count(&kept), 2);
    assert!(shelf.take::<Rc<()>>().is_some());
    assert_eq!(Rc::strong_count(&kept), 1);
}

#[test]
fn a_value_that_panics_when_dropped_is_gone_all_the_same() {
    fn check<const BYTES: usize>() {
        let drops = Arc::new(AtomicU32::new(0));
        let note = Note { drops: drops.clone(), fill: [0; BYTES], panics: Panics::WhenDropped };
        let shelf = shelf_with(note);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(shelf))).is_err());
        assert_eq!((drops.load(Ordering::Relaxed), Arc::strong_count(&drops)), (1, 1));
    }
    check::<8>();
    check::<800>();
}

#[test]
fn a_labelled_value_is_found_by_its_own_type_only() {
    trait Named {
        fn name(&self) -> &str;
    }
    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Room(String);
    impl Named for Room {
        fn name(&self) -> &str {
            &self.0
        }
    }
    let room: Box<Labelled<dyn Named>> = Box::new(Labelled::new(Room("chess".into())));
    assert_eq!(room.value().name(), "chess");
    assert_eq!(room.downcast_ref(), Some(&Room("chess".into())));
    assert!(room.downcast_ref::<String>().is_none());
    assert!(room.downcast_ref::<Labelled<Room>>().is_none());
    let plain = Labelled::new(7_u8);
    assert_eq!((plain.downcast_ref(), plain.downcast_ref::<i8>()), (Some(&7_u8), None));
}
