//! The door of a core for threads that are not its reactor: wake-ups and work, and the bell.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::queue::SegQueue;

use super::Reactor;
use crate::driver::bell::Bell;
use crate::memory::slots::Key;

/// Work that another thread hands to a core.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Reactor>) + Send>;

enum Letter {
    /// A waker of this core's task was used elsewhere. One a task at most.
    Wake(Key),
    Work(Work),
}

/// What other threads have for a core.
pub(crate) struct Inbox {
    letters: SegQueue<Letter>,
    bell: Arc<Bell>,
    /// The core has ended: nobody reads any more.
    closed: AtomicBool,
}

impl Inbox {
    pub(super) fn new(bell: Arc<Bell>) -> Inbox {
        Inbox { letters: SegQueue::new(), bell, closed: AtomicBool::new(false) }
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn wake(&self, task: Key) {
        self.post(Letter::Wake(task));
    }

    /// Has the core run `work` in its next turn. Dropped unrun if the core has ended.
    pub(crate) fn send(&self, work: impl FnOnce(&Rc<Reactor>) + Send + 'static) {
        self.post(Letter::Work(Box::new(work)));
    }

    fn post(&self, letter: Letter) {
        self.letters.push(letter);
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
        while self.letters.pop().is_some() {}
    }

    /// Handles what was there at the beginning; what comes meanwhile waits for the next turn.
    pub(super) fn drain(&self, reactor: &Rc<Reactor>) {
        for _ in 0..self.letters.len() {
            match self.letters.pop() {
                Some(Letter::Wake(task)) => reactor.schedule_posted(task),
                Some(Letter::Work(work)) => work(reactor),
                None => return,
            }
        }
    }
}
