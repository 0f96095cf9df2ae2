//! Waiting and waking between the tasks of one core: Skynet's `wait` and `wakeup`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Lets tasks of a core wait until another one wakes them: a handler for what a forked task finds,
/// say. A clone is another handle to the same place.
///
/// A wake with nobody waiting is kept for the next who waits; one at most.
///
/// ```
/// use skyring::service::Notify;
/// # skyring::sim::Simulation::new(1).run(async {
/// let ready = Notify::new();
/// let waits = skyring::spawn({
///     let ready = ready.clone();
///     async move { ready.wait().await }
/// });
/// ready.wake_one();
/// waits.await.unwrap();
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Notify(Rc<State>);

#[derive(Default)]
struct State {
    /// In the order in which they began to wait.
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// A wake that nobody waited for.
    kept: Cell<bool>,
}

struct Place {
    waker: RefCell<Waker>,
    woken: Cell<bool>,
}

impl Notify {
    /// A place where nobody waits yet.
    pub fn new() -> Notify {
        Notify::default()
    }

    /// Waits until it is woken. Those who began first are woken first.
    pub fn wait(&self) -> Wait {
        Wait { notify: self.clone(), place: None }
    }

    /// Wakes the one who waits longest, or the next who will wait. Whether somebody waited.
    pub fn wake_one(&self) -> bool {
        let first = self.0.waiting.borrow_mut().pop_front();
        let Some(place) = first else {
            self.0.kept.set(true);
            return false;
        };
        place.wake();
        true
    }

    /// Wakes all who wait now. How many.
    pub fn wake_all(&self) -> usize {
        let all = self.0.waiting.take();
        all.iter().for_each(|place| place.wake());
        all.len()
    }
}

impl Place {
    fn wake(&self) {
        self.woken.set(true);
        let waker = self.waker.borrow().clone();
        waker.wake(); // outside of the borrow
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notify({} waiting)", self.0.waiting.borrow().len())
    }
}

/// The future of [`Notify::wait`]. Dropping it gives up the place; a wake that it had got already
/// goes to the next.
#[must_use = "a future does nothing unless awaited"]
pub struct Wait {
    notify: Notify,
    place: Option<Rc<Place>>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = &self.place {
            if place.woken.get() {
                self.place = None;
                return Poll::Ready(());
            }
            let before = place.waker.replace(cx.waker().clone());
            drop(before); // outside of the borrow
            return Poll::Pending;
        }
        if self.notify.0.kept.take() {
            return Poll::Ready(());
        }
        let waker = RefCell::new(cx.waker().clone());
        let place = Rc::new(Place { waker, woken: Cell::new(false) });
        self.notify.0.waiting.borrow_mut().push_back(place.clone());
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if place.woken.get() {
            self.notify.wake_one();
        } else {
            self.notify.0.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &place));
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wait")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll(wait: Pin<&mut Wait>) -> bool {
        wait.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_first_to_wait_is_the_first_to_be_woken() {
        let notify = Notify::new();
        let (mut a, mut b) = (pin!(notify.wait()), pin!(notify.wait()));
        assert!(!poll(a.as_mut()) && !poll(b.as_mut()));
        assert!(notify.wake_one());
        assert!(poll(a.as_mut()) && !poll(b.as_mut()));
        assert_eq!(notify.wake_all(), 1);
        assert!(poll(b.as_mut()));
    }

    #[test]
    fn a_wake_is_kept_once_and_not_lost_with_a_wait() {
        let notify = Notify::new();
        assert!(!notify.wake_one() && !notify.wake_one());
        assert!(poll(pin!(notify.wait())));
        let (mut a, mut b) = (Box::pin(notify.wait()), pin!(notify.wait()));
        assert!(!poll(a.as_mut()) && !poll(b.as_mut()));
        notify.wake_one();
        drop(a); // woken, and gone before it saw so
        assert!(poll(b.as_mut()), "the wake goes on to the next");
        let mut c = Box::pin(notify.wait());
        assert!(!poll(c.as_mut()));
        drop(c);
        assert!(!notify.wake_one(), "a wait that was given up is not woken");
    }
}
