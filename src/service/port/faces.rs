//! What others see of a mailbox: the table of services, the clients, and who sends it messages.

use std::rc::Rc;

use super::{CLIENTS, CLOSED, Control, Port};
use crate::client::Hub;
use crate::client::session::Session;
use crate::service::address::ServiceId;
use crate::service::mailbox::{Deliver, Undelivered};
use crate::service::reason::Reason;
use crate::service::signal::Signal;
use crate::service::table::{AtEnd, Door};

impl<M: 'static> Door for Port<M> {
    fn signal(&self, signal: Signal) {
        match signal {
            Signal::Stop => self.push_control(Control::Exit(Reason::Stopped)),
            Signal::Watch(watcher) => _ = self.with_extra(|extra| extra.watchers.insert(watcher)),
            Signal::Watches(target) => _ = self.watch(target),
            Signal::Unwatch(watcher) => {
                _ = self.with_extra(|extra| extra.watchers.remove(&watcher))
            }
            Signal::Link(other) => _ = self.with_extra(|extra| extra.links.insert(other)),
            Signal::Unlink(other) => _ = self.with_extra(|extra| extra.links.remove(&other)),
            Signal::Gone(gone) => self.push_control(Control::Gone(gone)),
            Signal::Down(down) => {
                // Not watched any more: the news crossed the order to forget.
                if self.with_extra(|extra| extra.watched.contains(&down.service)) {
                    self.push_control(Control::Down(down));
                }
            }
            Signal::Broken { by, orderly } => {
                if self.with_extra(|extra| extra.links.remove(&by)) && !orderly {
                    self.push_control(Control::Exit(Reason::Linked(by)));
                }
            }
        }
    }

    fn hub(self: Rc<Self>) -> Rc<dyn Hub> {
        self
    }

    fn when_started(&self, told: Box<dyn FnOnce()>) {
        if self.started.get() {
            return told();
        }
        self.with_extra(|extra| extra.starting.push(told));
    }

    fn kill(&self) {
        self.mark(CLOSED);
        self.mailbox.kill();
    }

    fn watch(&self, target: ServiceId) -> bool {
        self.with_extra(|extra| extra.watched.insert(target))
    }

    fn adopt(&self) {
        self.supervised.set(true);
    }

    fn is_supervised(&self) -> bool {
        self.supervised.get()
    }

    fn at_end(&self, told: AtEnd) -> usize {
        self.with_extra(|extra| extra.at_end.insert(told))
    }

    fn forget(&self, at_end: usize) {
        let forgotten = self.with_extra(|extra| extra.at_end.try_remove(at_end));
        drop(forgotten); // outside of the borrow
    }
}

impl<M: 'static> Hub for Port<M> {
    fn number(&self) -> u64 {
        self.id.bits()
    }

    fn enter(&self, session: &Rc<Session>) -> bool {
        let lives = !self.mailbox.is_closed();
        if lives {
            self.with_clients(|clients| clients.enter(session));
        }
        lives
    }

    fn leave(&self, session: &Rc<Session>) {
        let left = self.with_clients(|clients| clients.leave(session));
        drop(left); // outside of the borrow
    }

    fn ready(&self, session: &Rc<Session>) {
        self.with_clients(|clients| clients.ready(session));
        self.mark(CLIENTS);
        self.mailbox.schedule();
    }

    #[inline]
    fn try_spend(&self) -> bool {
        self.mailbox.try_spend()
    }
}

impl<M: 'static> Deliver<M> for Port<M> {
    fn deliver(&self, message: M) -> Result<(), Undelivered<M>> {
        Port::deliver(self, message)
    }
}
