//! A mailbox: the messages of one service, handled one at a time on its own core.
//!
//! No lock, no atomic, no system call: a push is a queue of this core and a mark that the service's
//! task is ready.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use crate::memory::slots::Key;
use crate::reactor::Reactor;

/// Messages that a fresh mailbox has room for.
const ROOM_FIRST: usize = 2;
/// An empty mailbox keeps room for this many messages; what a burst needed beyond is given back.
const ROOM_KEPT: usize = 64;

/// The messages of one service.
pub(crate) struct Mailbox<M> {
    reactor: Rc<Reactor>,
    /// [`Key::NONE`] before it is bound.
    task: Cell<Key>,
    messages: RefCell<VecDeque<M>>,
    /// Messages that the service may still handle in this poll.
    budget: Cell<u32>,
    closed: Cell<bool>,
}

impl<M> Mailbox<M> {
    pub(crate) fn new(reactor: &Rc<Reactor>) -> Mailbox<M> {
        Mailbox {
            reactor: reactor.clone(),
            task: Cell::new(Key::NONE),
            messages: RefCell::new(VecDeque::new()),
            budget: Cell::new(reactor.settings.task_budget),
            closed: Cell::new(false),
        }
    }

    /// Names the task that receives.
    pub(crate) fn bind(&self, task: Key) {
        self.task.set(task);
    }

    /// How many messages wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.messages.borrow().len()
    }

    /// Puts a message in. Returns how many wait with it.
    ///
    /// # Errors
    /// The message, when the mailbox is full or its service has ended.
    #[inline(always)] // as who calls it
    pub(crate) fn push(&self, message: M) -> Result<u32, Undelivered<M>> {
        if self.closed.get() {
            return Err(Undelivered::Dead(message));
        }
        let mut messages = self.messages.borrow_mut();
        let before = messages.len();
        if before >= self.reactor.settings.mailbox_max as usize {
            return Err(Undelivered::Full(message));
        }
        if messages.capacity() == 0 {
            // Most mailboxes hold a message or two; the default would be four.
            messages.reserve_exact(ROOM_FIRST);
        }
        messages.push_back(message);
        drop(messages);
        // A task that has messages left is ready already, or busy with one.
        if before == 0 {
            self.schedule();
        }
        Ok(before as u32 + 1)
    }

    /// Has the task polled in this turn.
    #[inline]
    pub(crate) fn schedule(&self) {
        self.reactor.schedule(self.task.get());
    }

    /// Drops the task, in the middle of whatever it does, and takes nothing any more.
    pub(crate) fn kill(&self) {
        self.closed.set(true);
        self.reactor.kill(self.task.get());
    }

    /// The core.
    #[inline]
    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// Whether its service has ended.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether no message waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.borrow().is_empty()
    }

    /// The next message, if there is one.
    #[inline]
    pub(crate) fn pop(&self) -> Option<M> {
        self.messages.borrow_mut().pop_front()
    }

    /// Nothing is left: the next poll has its whole budget, and what a burst needed is given back.
    #[inline]
    pub(crate) fn rest(&self) {
        self.budget.set(self.reactor.settings.task_budget);
        self.give_back_room();
    }

    /// Spends one of the `SKYRING_TASK_BUDGET` events of a poll. Without any left the task goes on
    /// in the next poll, so that others have their turn.
    #[inline]
    pub(crate) fn try_spend(&self) -> bool {
        let budget = self.budget.get();
        if budget > 0 {
            self.budget.set(budget - 1);
            return true;
        }
        self.budget.set(self.reactor.settings.task_budget);
        self.schedule();
        false
    }

    fn give_back_room(&self) {
        let mut messages = self.messages.borrow_mut();
        if messages.capacity() > ROOM_KEPT {
            messages.shrink_to(ROOM_KEPT);
        }
    }

    /// Takes nothing any more.
    pub(crate) fn shut(&self) {
        self.closed.set(true);
    }

    /// Takes nothing any more. Returns what nobody will handle.
    pub(crate) fn close(&self) -> VecDeque<M> {
        self.closed.set(true);
        std::mem::take(&mut *self.messages.borrow_mut())
    }
}

/// Why a message was not delivered, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undelivered<M> {
    /// The mailbox is full: `SKYRING_MAILBOX_MAX` messages wait.
    Full(M),
    /// The receiver has ended.
    Dead(M),
    /// The way to the receiver's core is full: it has taken nothing for a while.
    Busy(M),
}

impl<M> Undelivered<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Undelivered::Full(message)
            | Undelivered::Dead(message)
            | Undelivered::Busy(message) => message,
        }
    }

    /// The same with another message.
    pub(crate) fn map<N>(self, other: impl FnOnce(M) -> N) -> Undelivered<N> {
        match self {
            Undelivered::Full(message) => Undelivered::Full(other(message)),
            Undelivered::Dead(message) => Undelivered::Dead(other(message)),
            Undelivered::Busy(message) => Undelivered::Busy(other(message)),
        }
    }
}

impl<M> fmt::Display for Undelivered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undelivered::Full(_) => "the mailbox is full (SKYRING_MAILBOX_MAX)",
            Undelivered::Dead(_) => "the receiver has ended",
            Undelivered::Busy(_) => "the receiver's core lags (SKYRING_FABRIC_MAX)",
        })
    }
}

/// Says why; the message need not be printable.
impl<M> fmt::Debug for Undelivered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undelivered::Full(_) => "Full(..)",
            Undelivered::Dead(_) => "Dead(..)",
            Undelivered::Busy(_) => "Busy(..)",
        })
    }
}

impl<M> std::error::Error for Undelivered<M> {}

/// What takes messages of a type in: a mailbox, whatever else it carries.
pub(crate) trait Deliver<M> {
    fn deliver(&self, message: M) -> Result<(), Undelivered<M>>;
}
