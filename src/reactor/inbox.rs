//! The door of a core for threads that are not its reactor: wake-ups and work, and the bell.

use std::rc::Rc;
use std::sync::Arc;

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
}

impl Inbox {
    pub(super) fn new(bell: Arc<Bell>) -> Inbox {
        Inbox { letters: SegQueue::new(), bell }
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn wake(&self, task: Key) {
        self.letters.push(Letter::Wake(task));
        self.bell.ring();
    }

    /// Has the core run `work` in its next turn. Dropped unrun if the core has ended.
    pub(crate) fn send(&self, work: impl FnOnce(&Rc<Reactor>) + Send + 'static) {
        self.letters.push(Letter::Work(Box::new(work)));
        self.bell.ring();
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
