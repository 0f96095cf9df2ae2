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
/// Looks for news between two clock reads while spinning; a letter or a poll counts as one. `now` is
/// older than it is in a turn by no more than these.
const LOOKS_A_CLOCK: u32 = 64;

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
        self.take_mail();
        self.running(Kind::TIMERS, 0);
        self.expire();
        self.tasks.run(POLLS_MAX, &self.metrics);
        self.running(Kind::OUTPUT, 0);
        self.count_panics(); // of what tasks dropped: nobody's below
        self.flush();
        self.fabric.flush(self);
        self.pool.provide();
        self.unpark();
        self.look();
        Ok(())
    }

    /// The part of a turn that mail from other cores needs, for a spin: it makes no system call but
    /// for a bell, and reads no clock. Returns how much it has done, in letters or polls.
    fn pass(self: &Rc<Reactor>) -> u32 {
        let polls = self.metrics.polls.value();
        self.metrics.passes.add(1);
        self.progress.turns(); // for the watch: what runs here may not end either
        let taken = self.take_mail();
        self.tasks.run(POLLS_MAX, &self.metrics);
        self.count_panics();
        self.fabric.flush(self);
        self.progress.waits();
        let polls = (self.metrics.polls.value() - polls) as usize;
        taken.max(polls).max(1) as u32
    }

    /// Whether a pass was all that was to be done.
    fn is_calm(&self) -> bool {
        !self.tasks.is_ready()
            && self.flushes.borrow().is_empty()
            && self.after_flush.borrow().is_empty()
            && self.parked.borrow().is_empty()
            && self.phase.get() == Phase::Running
            && !self.driver.borrow_mut().has_queued()
    }

    /// Handles what other threads have sent. Returns how many letters other cores had sent.
    fn take_mail(self: &Rc<Reactor>) -> usize {
        if !self.inbox.is_empty() {
            self.running(Kind::INBOX, 0);
            self.inbox.drain(self);
        }
        self.running(Kind::FABRIC, 0);
        self.fabric.drain(self)
    }

    /// How long this turn may wait: not at all with work at hand, else until the next timer.
    fn wait(&self) -> Wait {
        if self.tasks.is_ready() || self.has_mail() {
            return Wait::Poll;
        }
        let timer = self.timers.borrow().next_deadline();
        let mut wait = timer.map_or(Wait::Forever, |tick| timer::until(tick, self.now()));
        if let Some(look) = self.until_look() {
            wait = shorter(wait, look);
        }
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
    fn sleep(self: &Rc<Reactor>, wait: Wait) -> io::Result<()> {
        if wait == Wait::Poll || self.settings.spin.is_zero() {
            return self.enter_kernel(wait);
        }
        // What was queued must leave before the spin.
        self.driver.borrow_mut().enter(Wait::Poll)?;
        let wait = if self.spin(wait) { Wait::Poll } else { wait };
        self.enter_kernel(wait)
    }

    /// Looks for news without a system call, and handles mail in passes. Whether there is something
    /// for a whole turn; that comes after [`LOOKS_A_CLOCK`] in any case in which there was mail, so
    /// that the time is never older than these few messages, or looks.
    fn spin(self: &Rc<Reactor>, wait: Wait) -> bool {
        let time = match wait {
            Wait::For(time) => time.min(self.settings.spin),
            _ => self.settings.spin,
        };
        let until = self.now() + time;
        loop {
            let mut looks = LOOKS_A_CLOCK;
            let mut passed = false;
            while looks > 0 {
                if self.has_mail() {
                    passed = true;
                    looks = looks.saturating_sub(self.pass());
                    if !self.is_calm() {
                        return true;
                    }
                } else {
                    looks -= 1;
                    std::hint::spin_loop();
                }
                if self.driver.borrow_mut().has_news() {
                    return true;
                }
            }
            if passed {
                return true;
            }
            // The next pass is to know how long nothing came.
            self.now.set(self.driver.borrow().now());
            if self.now() >= until {
                return false;
            }
        }
    }

    fn enter_kernel(&self, wait: Wait) -> io::Result<()> {
        let mut driver = self.driver.borrow_mut();
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
