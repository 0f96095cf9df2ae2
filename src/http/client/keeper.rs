//! The task that looks after kept connections: those that their servers end go at once, those that
//! nobody uses in time, all of them when the engine stops.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::pool::Pool;
use crate::reactor::{Reactor, Sleep, sleep, spawn, stopping};

/// Starts the keeper of a client, once. It is what kept connections wake.
pub(super) fn start(pool: &Rc<Pool>) {
    if pool.needs_keeper() {
        drop(spawn(run(Rc::downgrade(pool))));
    }
}

async fn run(pool: Weak<Pool>) {
    let mut stops = pin!(stopping());
    let mut timer = pin!(None);
    poll_fn(|cx| {
        let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
        if stops.as_mut().poll(cx).is_ready() {
            pool.close();
            return Poll::Ready(());
        }
        pool.set_keeper(cx.waker());
        look(&pool, timer.as_mut(), cx);
        Poll::Pending
    })
    .await;
}

/// Looks at all of them, again when the next is too old.
fn look(pool: &Rc<Pool>, mut timer: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) {
    loop {
        let now = Reactor::current().now();
        let next = pool.sweep(now, cx);
        timer.set(next.map(|next| sleep(next.since(now))));
        pool.watches.set(next.is_some());
        // It is polled so that it is set; one that is due already means another look.
        let is_due = timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
        if !is_due {
            return;
        }
    }
}
