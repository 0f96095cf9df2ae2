//! The end of a connection, in order or at once, and the timer that sees to it.

use std::rc::{Rc, Weak};
use std::time::Duration;

use rustix::io::Errno;

use super::{Connection, Life};
use crate::driver::operation::Shutdown;
use crate::reactor::{Alarm, Expire};

/// How long a closed connection waits for its peer's end, so that a close with unread input does
/// not turn into a reset that destroys the last output (RFC 1122, 4.2.2.13).
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// How often in `SKYRING_WRITE_TIMEOUT` a closing connection looks whether its peer still takes
/// something of the queue. After so many looks in a row that found nothing taken it is given up.
const FLUSH_LOOKS: u8 = 10;

/// How the flush of a closing connection gets on.
#[derive(Default)]
pub(super) struct Flushing {
    /// How far it was when it was last looked at.
    mark: (u64, u32),
    /// Looks in a row at which it stood still.
    stalls: u8,
}

impl Connection {
    /// Sends what is queued, then closes. Input is discarded from now on.
    pub(crate) fn close(self: &Rc<Self>) {
        if self.life.get() <= Life::Leaving {
            self.life.set(Life::Closing);
            self.finishing.set(true);
            self.mark_dirty();
            // A filter has its last word to send, if nobody else has.
            if !self.output.borrow().is_empty() || self.is_filtered() {
                let mark = self.flush_progress();
                self.flushing.set(Some(Box::new(Flushing { mark, stalls: 0 })));
                self.set_timer(self.flush_look());
            }
        }
    }

    /// What moves while the peer takes something: what was sent, and what the kernel still holds of
    /// that. A send that waits for room completes when all of it is with the kernel, and goes on
    /// only when a third of the kernel's buffer is free; until then a slow peer shows in the second
    /// figure alone. That one falls as the peer takes bytes and rises as the kernel takes more of
    /// ours. A rise counts, too: without the peer's doing it ends at the size of the buffer.
    pub(crate) fn flush_progress(&self) -> (u64, u32) {
        let unsent = self.reactor.driver(|driver| driver.unsent(self.socket));
        (self.bytes_sent.get(), unsent.unwrap_or(0))
    }

    fn flush_look(&self) -> Duration {
        self.reactor.settings.write_timeout / u32::from(FLUSH_LOOKS)
    }

    /// Looks after the flush of a closing connection. Whether its peer is to be given up.
    fn is_flush_stalled(self: &Rc<Self>) -> bool {
        let progress = self.flush_progress();
        let mut flushing = self.flushing.take().unwrap_or_default();
        let stood_still = flushing.mark == progress;
        flushing.mark = progress;
        flushing.stalls = if stood_still { flushing.stalls + 1 } else { 0 };
        let is_stalled = flushing.stalls >= FLUSH_LOOKS;
        self.flushing.set(Some(flushing));
        is_stalled
    }

    /// Closes at once; what is queued is dropped, and the peer sees a reset.
    pub(crate) fn abort_now(&self) {
        if self.life.get() < Life::Ending {
            self.fail_writes(Errno::CANCELED);
            let _ = self.reactor.driver(|driver| driver.set_abortive(self.socket));
            self.life.set(Life::Ending);
            // No shutdown: its FIN would make a cut stream look whole. The cancel ends a send that
            // waits for room, too.
            if self.operations.get() > 0 {
                self.reactor.cancel_all(self.socket);
            }
            self.advance();
        }
    }

    /// Looks whether the next step of the close is due.
    pub(super) fn advance(&self) {
        match self.life.get() {
            Life::Closing if self.write_ended.get() && self.read_ended.get() => self.end(),
            Life::Leaving if self.operations.get() == 0 => self.depart(),
            Life::Ending if self.operations.get() == 0 => self.finish(),
            _ => {}
        }
    }

    fn end(&self) {
        self.life.set(Life::Ending);
        if self.operations.get() > 0 {
            let _ = self.reactor.driver(|driver| driver.shutdown(self.socket, Shutdown::Both));
            self.reactor.cancel_all(self.socket);
        }
        self.advance();
    }

    /// No operation is left: the socket goes.
    fn finish(&self) {
        self.life.set(Life::Closed);
        if let Some(timer) = self.timer.take() {
            self.reactor.cancel_timer(timer);
        }
        self.reactor.metrics.closed.add(1);
        self.reactor.close(self.socket);
        drop(self.permit.take());
        let receiver = self.receiver.take();
        self.reactor.leave(self.key());
        if let Some(receiver) = receiver {
            receiver.closed();
        }
    }

    pub(super) fn watch_idle(self: &Rc<Self>) {
        let idle = self.reactor.settings.idle;
        if !idle.is_zero() {
            let left = (self.last_received.get() + idle).since(self.reactor.now());
            self.set_timer(left);
        }
    }

    pub(super) fn set_timer(self: &Rc<Self>, delay: Duration) {
        let this: Weak<Self> = Rc::downgrade(self);
        let timer = self.reactor.set_timer(delay, Alarm::Hook(this));
        if let Some(before) = self.timer.replace(Some(timer)) {
            self.reactor.cancel_timer(before);
        }
    }
}

impl Expire for Connection {
    fn expire(self: Rc<Self>) {
        self.timer.set(None);
        match self.life.get() {
            Life::Closing if !self.write_ended.get() => {
                if !self.is_flush_stalled() {
                    return self.set_timer(self.flush_look());
                }
                // The peer takes nothing: what waited is lost, and it shall know.
                self.fail_writes(Errno::TIMEDOUT);
                self.abort_now();
            }
            // Its end did not come in time.
            Life::Closing => self.end(),
            Life::Open => {
                let is_behind = self.receiver().is_some_and(|receiver| receiver.is_behind());
                if self.paused.get() || self.parked.get() || is_behind {
                    // It is our turn: what the peer has sent waits here, or in the kernel.
                    self.last_received.set(self.reactor.now());
                }
                let idle = self.reactor.settings.idle;
                let silent = self.reactor.now().since(self.last_received.get());
                if silent >= idle {
                    self.reactor.metrics.idled.add(1);
                    self.on_read_end(Err(Errno::TIMEDOUT.into()));
                    self.abort_now();
                } else {
                    self.watch_idle();
                }
            }
            Life::Leaving | Life::Ending | Life::Closed => {}
        }
    }
}
