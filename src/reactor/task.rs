//! Tasks: futures that run on this core, in turn, each until it waits.
//!
//! A future is taken out of the table while it is polled or dropped, so that a user's code may
//! spawn, wake and kill whatever it likes meanwhile. A panic ends its task, and only that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{Context, Poll, RawWakerVTable, Wake, Waker};

use super::Reactor;
use super::inbox::Inbox;
use super::kind::Kind;
use super::metrics::Counts;
use super::progress::Shown;
use crate::guard::caught;
use crate::memory::slots::{Key, Slots};

pub(crate) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Handles that wait for the next poll; more than these are freed.
const SPARES_MAX: usize = 256;

/// The tasks of one core.
pub(crate) struct Tasks {
    queue: RefCell<Queue>,
    /// Handles of tasks whose wakers nobody holds. A task borrows one for a poll, and keeps it only
    /// if somebody took a clone: what waits for its mailbox alone costs none.
    #[expect(clippy::vec_box, reason = "the boxes move between here and the table")]
    spares: RefCell<Vec<Box<Handle>>>,
    /// The last task that was polled, and by which waker it knows itself.
    polled: Cell<Polled>,
    inbox: Arc<Inbox>,
    progress: Shown,
}

#[derive(Clone, Copy)]
struct Polled {
    task: Key,
    data: *const (),
    vtable: *const RawWakerVTable,
}

impl Polled {
    const NONE: Polled = Polled { task: Key::NONE, data: ptr::null(), vtable: ptr::null() };

    #[inline]
    fn is_by(&self, waker: &Waker) -> bool {
        ptr::eq(self.data, waker.data()) && ptr::eq(self.vtable, waker.vtable())
    }
}

/// Whom to wake when something has come. A task that waits itself is known by its key, which costs
/// neither a count nor a handle; whatever else a waker may be (of a user's own, or of what runs
/// several futures in one task) is kept.
pub(crate) enum Waiter {
    Task(Key),
    Other(Waker),
}

impl Waiter {
    /// Whether it is the one that `waker` wakes; `false` when unsure.
    #[inline]
    pub(crate) fn will_wake(&self, reactor: &Reactor, waker: &Waker) -> bool {
        match self {
            Waiter::Task(task) => reactor.tasks.find(waker) == Some(*task),
            Waiter::Other(other) => other.will_wake(waker),
        }
    }

    /// Wakes it. `reactor` is the one that made it.
    #[inline]
    pub(crate) fn wake(self, reactor: &Reactor) {
        match self {
            Waiter::Task(task) => reactor.schedule(task),
            Waiter::Other(waker) => waker.wake(),
        }
    }
}

impl Reactor {
    /// Whom `waker` wakes.
    #[inline]
    pub(crate) fn waiter(&self, waker: &Waker) -> Waiter {
        self.tasks.find(waker).map_or_else(|| Waiter::Other(waker.clone()), Waiter::Task)
    }
}

/// The tasks, and those that are ready, in order.
struct Queue {
    table: Slots<Task>,
    ready: VecDeque<Key>,
}

struct Task {
    /// Gone while it is polled.
    future: Option<Boxed>,
    handle: Option<Box<Handle>>,
    /// The task stands in the ready queue.
    scheduled: bool,
    /// Its name, published while it is polled or dropped.
    kind: Kind,
}

/// A waker, and the flag behind it.
struct Handle {
    flag: Arc<Flag>,
    waker: Waker,
}

/// What wakers of a task share.
struct Flag {
    /// Changed only while nobody else holds the flag.
    key: AtomicU64,
    /// A wake from another thread is on its way through the inbox. It must not be the mark that
    /// the task is scheduled: that one says that it need not be put in the queue again.
    posted: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Handle {
    fn new(key: Key, inbox: &Arc<Inbox>) -> Box<Handle> {
        let flag = Arc::new(Flag {
            key: AtomicU64::new(key.to_u64()),
            posted: AtomicBool::new(false),
            inbox: inbox.clone(),
        });
        Box::new(Handle { waker: Waker::from(flag.clone()), flag })
    }

    /// Whether no waker of it is left elsewhere, and no wake is on its way.
    fn is_unused(&self) -> bool {
        // The count of this handle's own two. The fence pairs with the release by which the last
        // foreign waker was dropped, so that a wake it posted before is seen.
        if Arc::strong_count(&self.flag) > 2 {
            return false;
        }
        fence(Ordering::Acquire);
        !self.flag.posted.load(Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let key = Key::from_u64(self.key.load(Ordering::Relaxed));
        let near = Reactor::with_current(|current| {
            let reactor = current.filter(|at| Arc::ptr_eq(&at.inbox, &self.inbox));
            reactor.map(|reactor| reactor.schedule(key)).is_some()
        });
        if !near && !self.posted.swap(true, Ordering::AcqRel) {
            self.inbox.wake(key);
        }
    }
}

impl Queue {
    #[inline]
    fn schedule(&mut self, key: Key) {
        if let Some(task) = self.table.get_mut(key)
            && !std::mem::replace(&mut task.scheduled, true)
        {
            self.ready.push_back(key);
        }
    }

    /// Takes out the future that is polled next, and the handle that its task keeps, and says that
    /// it runs.
    #[inline]
    fn take_next(&mut self, progress: &Shown) -> Option<(Key, Boxed, Option<Box<Handle>>)> {
        while let Some(key) = self.ready.pop_front() {
            let Some(task) = self.table.get_mut(key) else { continue };
            // Before the poll: a wake during it must count.
            task.scheduled = false;
            progress.runs(task.kind, 0);
            if let Some(future) = task.future.take() {
                return Some((key, future, task.handle.take()));
            }
        }
        None
    }
}

impl Tasks {
    pub(super) fn new(inbox: Arc<Inbox>, progress: Shown) -> Tasks {
        // Tasks are as many as a user spawns; connections, which peers open, are bounded.
        let queue = Queue { table: Slots::new(usize::MAX), ready: VecDeque::new() };
        let polled = Cell::new(Polled::NONE);
        let (queue, spares) = (RefCell::new(queue), RefCell::new(Vec::new()));
        Tasks { queue, spares, polled, inbox, progress }
    }

    /// The task that is polled now, if this is the waker it was given.
    #[inline]
    fn find(&self, waker: &Waker) -> Option<Key> {
        let polled = self.polled.get();
        polled.is_by(waker).then_some(polled.task)
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.queue.borrow().ready.is_empty()
    }

    pub(super) fn spawn(&self, kind: Kind, future: Boxed) -> Key {
        let task = Task { future: Some(future), handle: None, scheduled: true, kind };
        let mut queue = self.queue.borrow_mut();
        let key = queue.table.insert(task);
        let key = key.unwrap_or_else(|_| unreachable!("the table has no bound of its own"));
        queue.ready.push_back(key);
        key
    }

    #[inline]
    pub(super) fn schedule(&self, key: Key) {
        self.queue.borrow_mut().schedule(key);
    }

    /// A wake has come through the inbox; the next one needs a letter of its own.
    pub(super) fn schedule_posted(&self, key: Key) {
        let mut queue = self.queue.borrow_mut();
        if let Some(handle) = queue.table.get(key).and_then(|task| task.handle.as_ref()) {
            // Acquire: the poll sees what was written before the wake.
            handle.flag.posted.swap(false, Ordering::AcqRel);
        }
        queue.schedule(key);
    }

    /// Polls ready tasks, at most `polls_max`; those that wake meanwhile too.
    pub(super) fn run(&self, polls_max: usize, metrics: &Counts) {
        // Most tasks give the handle back that they were lent, and the next one gets it.
        let mut spare = None;
        for _ in 0..polls_max {
            let next = self.queue.borrow_mut().take_next(&self.progress);
            let Some((key, future, kept)) = next else { break };
            metrics.polls.add(1);
            let handle = kept.unwrap_or_else(|| self.lend(key, spare.take()));
            let (data, vtable) = (handle.waker.data(), &raw const *handle.waker.vtable());
            self.polled.set(Polled { task: key, data, vtable });
            let handle = match poll(future, &handle.waker, metrics) {
                Step::Pending(future) => self.put_back(key, future, handle, metrics),
                Step::Ended => {
                    let task = self.queue.borrow_mut().table.remove(key);
                    drop(task);
                    handle.is_unused().then_some(handle)
                }
            };
            if let Some(unused) = handle
                && let Some(second) = spare.replace(unused)
            {
                self.spare(second);
            }
        }
        spare.into_iter().for_each(|handle| self.spare(handle));
    }

    /// A handle for the task: `spare`, or another that nobody uses.
    #[inline]
    fn lend(&self, key: Key, spare: Option<Box<Handle>>) -> Box<Handle> {
        let Some(handle) = spare.or_else(|| self.spares.borrow_mut().pop()) else {
            return Handle::new(key, &self.inbox);
        };
        handle.flag.key.store(key.to_u64(), Ordering::Relaxed);
        handle
    }

    /// Keeps a handle that nobody uses for another turn.
    fn spare(&self, handle: Box<Handle>) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(handle);
        }
    }

    /// Puts a waiting future back, or drops it if its task was killed while it ran. Returns the
    /// handle if nobody uses it.
    #[inline]
    fn put_back(
        &self,
        key: Key,
        future: Boxed,
        handle: Box<Handle>,
        metrics: &Counts,
    ) -> Option<Box<Handle>> {
        let unused = handle.is_unused();
        let mut queue = self.queue.borrow_mut();
        let Some(task) = queue.table.get_mut(key) else {
            drop(queue);
            drop_quietly(future, metrics);
            return None;
        };
        task.future = Some(future);
        if unused {
            return Some(handle);
        }
        task.handle = Some(handle);
        None
    }

    pub(super) fn kill(&self, key: Key, metrics: &Counts) {
        let Some(task) = self.queue.borrow_mut().table.remove(key) else { return };
        let Some(future) = task.future else { return };
        self.progress.during(task.kind, 0, || drop_quietly(future, metrics));
    }

    /// Drops all tasks.
    pub(super) fn clear(&self, metrics: &Counts) {
        let keys: Vec<Key> = self.queue.borrow().table.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.kill(key, metrics));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().table.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.borrow().table.len()
    }
}

enum Step {
    Pending(Boxed),
    /// It is done or has panicked, and is dropped.
    Ended,
}

fn poll(mut future: Boxed, waker: &Waker, metrics: &Counts) -> Step {
    let polled = guarded(metrics, "a task panicked", || {
        future.as_mut().poll(&mut Context::from_waker(waker))
    });
    if let Some(Poll::Pending) = polled {
        return Step::Pending(future);
    }
    drop_quietly(future, metrics);
    Step::Ended
}

/// Drops what a user wrote.
fn drop_quietly(future: Boxed, metrics: &Counts) {
    guarded(metrics, "a task panicked while it was dropped", || drop(future));
}

/// Runs what a user wrote. A panic is counted and reported as `what`, and goes no further.
#[inline]
pub(crate) fn guarded<R>(metrics: &Counts, what: &str, body: impl FnOnce() -> R) -> Option<R> {
    let result = caught(what, body);
    if result.is_none() {
        metrics.panics.add(1);
    }
    result
}
