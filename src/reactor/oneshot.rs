//! One value from another thread to a task: the answer of what was asked for off the reactors.
//!
//! ```text
//!   another thread   Giver ──give──► slot ──take── Taker   a task of a core
//!                      └ dropped: none will come      └ dropped: nobody waits any more
//! ```

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// The other end is gone.
    is_left: bool,
}

type Shared<T> = Arc<Mutex<Slot<T>>>;

/// Gives the value.
pub(crate) struct Giver<T>(Shared<T>);

/// Waits for it: `None` when none will come.
pub(crate) struct Taker<T>(Shared<T>);

/// Both ends of a value's way.
pub(crate) fn oneshot<T>() -> (Giver<T>, Taker<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, waker: None, is_left: false }));
    (Giver(slot.clone()), Taker(slot))
}

/// Nothing in here panics while it holds the lock.
fn with<T, R>(slot: &Mutex<Slot<T>>, change: impl FnOnce(&mut Slot<T>) -> R) -> R {
    change(&mut slot.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<T> Giver<T> {
    /// Gives it.
    ///
    /// # Errors
    /// The value, when nobody waits any more.
    pub(crate) fn give(self, value: T) -> Result<(), T> {
        with(&self.0, |slot| {
            if slot.is_left {
                return Err(value);
            }
            slot.value = Some(value);
            Ok(())
        })
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let waker = with(&self.0, |slot| {
            slot.is_left = true;
            slot.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for Taker<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        with(&self.0, |slot| match slot.value.take() {
            Some(value) => Poll::Ready(Some(value)),
            None if slot.is_left => Poll::Ready(None),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        let (value, waker) = with(&self.0, |slot| {
            slot.is_left = true;
            (slot.value.take(), slot.waker.take())
        });
        drop((value, waker)); // outside of the lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<T>(taker: &mut Taker<T>, count: &Arc<Count>) -> Poll<Option<T>> {
        Pin::new(taker).poll(&mut Context::from_waker(&count.clone().into()))
    }

    #[test]
    fn a_value_wakes_who_waits_and_comes_once() {
        let (giver, mut taker) = oneshot();
        let count = Arc::new(Count::default());
        assert_eq!(poll(&mut taker, &count), Poll::Pending);
        giver.give(7).expect("somebody waits");
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut taker, &count), Poll::Ready(Some(7)));
        assert_eq!(poll(&mut taker, &count), Poll::Ready(None));
    }

    #[test]
    fn an_end_that_goes_is_told_to_the_other() {
        let (giver, mut taker) = oneshot::<u32>();
        let count = Arc::new(Count::default());
        assert_eq!(poll(&mut taker, &count), Poll::Pending);
        drop(giver);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut taker, &count), Poll::Ready(None));
        let (giver, taker) = oneshot();
        drop(taker);
        assert_eq!(giver.give(8), Err(8));
    }
}
