//! One turn of a reactor, and the loop around it.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::kind::Kind;
use super::{Ended, Phase, Reactor, guarded, timer};
use crate::driver::operation::Wait;

/// Tasks that are polled in one turn before sockets are looked at again.
const POLLS_MAX: usize = 1024;
/// A reactor that stops looks this often whether everything has ended.
const STOPPING_WAIT: Duration = Duration::from_millis(1);
/// Looks at the ring between two clock reads while spinning.
const SPINS_A_CLOCK: u32 = 64;

impl Reactor {
    /// Turns until it is told to stop and everything has ended.
    pub(crate) fn run(self: &Rc<Reactor>) -> io::Result<Ended> {
        self.enter(|| {
            loop {
                self.turn()?;
                if let Some(ended) = self.descend() {
                    return Ok(ended);
                }
            }
        })
    }

    /// One turn. Waits in the kernel when there is nothing else to do.
    pub(crate) fn turn(self: &Rc<Reactor>) -> io::Result<()> {
        let wait = self.end_turn(self.wait());
        self.sleep(wait)?;
        self.begin_turn();
        self.running(Kind::COMPLETIONS, 0);
        self.dispatch();
        if !self.inbox.is_empty() {
            self.running(Kind::INBOX, 0);
            self.inbox.clone().drain(self);
        }
        self.running(Kind::FABRIC, 0);
        self.fabric.drain(self);
        self.running(Kind::TIMERS, 0);
        self.expire();
        self.tasks.run(POLLS_MAX, &self.metrics);
        self.running(Kind::OUTPUT, 0);
        self.count_panics(); // of what tasks dropped: nobody's below
        self.flush();
        self.fabric.flush(self);
        self.pool.provide();
        self.unpark();
        Ok(())
    }

    /// How long this turn may wait: not at all with work at hand, else until the next timer.
    fn wait(&self) -> Wait {
        if self.tasks.is_ready() || self.has_mail() {
            return Wait::Poll;
        }
        let timer = self.timers.borrow().next_deadline();
        let mut wait = timer.map_or(Wait::Forever, |tick| timer::until(tick, self.now()));
        if let Phase::Draining(deadline) = self.phase.get() {
            wait = shorter(wait, deadline.since(self.now()));
        }
        if let Phase::Stopping(_) = self.phase.get() {
            wait = shorter(wait, STOPPING_WAIT);
        }
        wait
    }

    /// Whether another thread has sent something.
    #[inline]
    fn has_mail(&self) -> bool {
        self.fabric.has_news() || !self.inbox.is_empty()
    }

    /// Enters the kernel, after a spin if one is set.
    fn sleep(&self, wait: Wait) -> io::Result<()> {
        let mut driver = self.driver.borrow_mut();
        if wait == Wait::Poll || self.settings.spin.is_zero() {
            return self.enter_kernel(&mut driver, wait);
        }
        // What was queued must leave before the spin.
        driver.enter(Wait::Poll)?;
        let until = driver.now()
            + match wait {
                Wait::For(time) => time.min(self.settings.spin),
                _ => self.settings.spin,
            };
        loop {
            for _ in 0..SPINS_A_CLOCK {
                if driver.has_news() || self.has_mail() {
                    return driver.enter(Wait::Poll);
                }
                std::hint::spin_loop();
            }
            if driver.now() >= until {
                break;
            }
        }
        self.enter_kernel(&mut driver, wait)
    }

    fn enter_kernel(&self, driver: &mut crate::driver::Driver, wait: Wait) -> io::Result<()> {
        if wait == Wait::Poll {
            return driver.enter(Wait::Poll);
        }
        let bell = self.inbox.bell();
        bell.will_sleep();
        // A message that came before the flag was up has not rung.
        let stays = !self.inbox.is_empty() || self.fabric.keeps_awake();
        let wait = if stays { Wait::Poll } else { wait };
        let entered = driver.enter(wait);
        bell.is_awake();
        entered
    }

    /// Tells each operation's owner how it went. What is a user's there (the owner of a payload that
    /// was sent, a waker of his own) may panic: that ends this resident, and nobody else's
    /// completion is lost.
    fn dispatch(&self) {
        let mut completions = std::mem::take(&mut *self.completions.borrow_mut());
        self.driver.borrow_mut().reap(&mut completions);
        self.metrics.completions.add(completions.len() as u64);
        for completion in completions.drain(..) {
            let key = completion.token.key;
            let target = self.residents.borrow().get(key).cloned();
            let target = target.expect("a resident stays until its last completion");
            let told = guarded(&self.metrics, "the handling of a completion panicked", || {
                target.complete(completion.event, completion.more);
            });
            if self.count_panics() || told.is_none() {
                // It may have left already, in order.
                let target = self.residents.borrow().get(key).cloned();
                target.into_iter().for_each(|target| self.abort(target));
            }
        }
        *self.completions.borrow_mut() = completions;
    }

    fn expire(&self) {
        let tick = timer::ticks(self.now());
        loop {
            let alarm = self.timers.borrow_mut().pop_expired(tick);
            let Some(alarm) = alarm else { return };
            // It may wake by a waker of the user's.
            guarded(&self.metrics, "a timer panicked", || alarm.sound(self));
        }
    }

    /// Gives the output of this turn to the kernel, one send a connection.
    fn flush(&self) {
        let mut flushes = std::mem::take(&mut *self.flushes.borrow_mut());
        for target in flushes.drain(..) {
            let flushed = guarded(&self.metrics, "a flush panicked", || target.clone().flush());
            if self.count_panics() || flushed.is_none() {
                self.abort(target);
            }
        }
        let late = self.flushes.replace(flushes);
        debug_assert!(late.is_empty(), "a flush queues no flush");
        for task in self.after_flush.borrow_mut().drain(..) {
            self.tasks.schedule(task);
        }
    }

    /// Re-arms starved receives, no more of them than blocks came home: all at once would only
    /// starve again. Waits until the pool is replenished.
    fn unpark(&self) {
        if self.parked.borrow().is_empty() || !self.pool.is_replenished() {
            return;
        }
        for _ in 0..self.pool.provided() {
            let Some(target) = self.parked.borrow_mut().pop_front() else { return };
            if let Some(target) = target.upgrade() {
                target.unpark();
            }
        }
    }
}

fn shorter(wait: Wait, than: Duration) -> Wait {
    match wait {
        Wait::Poll => Wait::Poll,
        Wait::For(time) => Wait::For(time.min(than)),
        Wait::Forever => Wait::For(than),
    }
}
