//! The door of a core for threads that are not its reactor: wake-ups and work, and the bell.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::queue::SegQueue;

use super::rings::Envelope;
use super::{Reactor, guarded};
use crate::driver::bell::Bell;
use crate::guard::caught;
use crate::memory::envelope::Letter;
use crate::memory::slots::Key;

enum Item {
    /// A waker of this core's task was used elsewhere. One a task at most.
    Wake(Key),
    /// Of the engine itself: its panic is a defect.
    Work(Envelope),
    /// May run what a user wrote.
    Letter(Envelope),
}

/// Work that another thread hands to a core.
struct Work<F>(F);

impl<F: FnOnce(&Rc<Reactor>) + 'static> Letter<Rc<Reactor>> for Work<F> {
    fn open(self, reactor: &Rc<Reactor>) {
        self.0(reactor);
    }
}

/// What other threads have for a core.
pub(crate) struct Inbox {
    items: SegQueue<Item>,
    bell: Arc<Bell>,
    /// The core has ended: nobody reads any more.
    closed: AtomicBool,
}

impl Inbox {
    pub(super) fn new(bell: Arc<Bell>) -> Inbox {
        Inbox { items: SegQueue::new(), bell, closed: AtomicBool::new(false) }
    }

    #[inline]
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn wake(&self, task: Key) {
        self.post(Item::Wake(task));
    }

    /// Has the core run `work` in its next turn. Dropped unrun if the core has ended.
    pub(crate) fn send(&self, work: impl FnOnce(&Rc<Reactor>) + Send + 'static) {
        self.post(Item::Work(Envelope::new(Work(work))));
    }

    /// As [`Inbox::send`], for a letter.
    pub(crate) fn inject(&self, letter: impl Letter<Rc<Reactor>> + Send) {
        self.post(Item::Letter(Envelope::new(letter)));
    }

    /// How much waits for the core.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the core has ended.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn post(&self, item: Item) {
        self.items.push(item);
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            return self.empty();
        }
        self.bell.ring();
    }

    /// The core has ended: drops what nobody will read, now and later. Whoever waits for an answer
    /// sees its sender go. The fences see to it that one of the two sides finds each letter.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.empty();
    }

    fn empty(&self) {
        while let Some(item) = self.items.pop() {
            // A sender that finds the core closed drops what others have sent.
            caught("a message panicked while it was dropped", || drop(item));
        }
    }

    /// Handles what was there at the beginning; what comes meanwhile waits for the next turn.
    pub(super) fn drain(&self, reactor: &Rc<Reactor>) {
        for _ in 0..self.items.len() {
            match self.items.pop() {
                Some(Item::Wake(task)) => reactor.schedule_posted(task),
                Some(Item::Work(work)) => work.open(reactor),
                Some(Item::Letter(letter)) => {
                    guarded(&reactor.metrics, "a letter panicked", || letter.open(reactor));
                }
                None => return,
            }
        }
    }
}
