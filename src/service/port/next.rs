//! What a service hears next: its messages, and what comes before them.
//!
//! ```text
//!   poll_next ─▶ closed? budget? ─▶ aside: the end, the control lane, clients (in turn with messages)
//!                                 ─▶ its own, in turn with messages ─▶ a message
//! ```

use std::task::Poll;

use super::{CLIENTS, CLOSED, CONTROL, Control, News, Port, STOPPING};
use crate::client::Client;

/// What [`Port::poll_next`] has found.
#[derive(Clone, Copy)]
pub(in crate::service) enum Next {
    /// A message in the mailbox.
    Message,
    /// A message on the control lane.
    Control,
    /// Something else: ask [`Port::take_own`], then [`Port::pop_batch`], [`Port::pop_client`] and
    /// [`Port::pop_news`].
    Other,
}

impl<M: 'static> Port<M> {
    /// It ends after the handler that runs now.
    pub(in crate::service) fn stop(&self) {
        self.mark(STOPPING);
    }

    /// Whether it has asked for its end, and lives.
    #[inline]
    pub(in crate::service) fn is_stopping(&self) -> bool {
        self.lanes.get() & (STOPPING | CLOSED) == STOPPING
    }

    /// What comes next; only the service's own task asks.
    ///
    /// `owns`: `own` looks for what the service waits for beside; it and messages come in turn. When
    /// it has found something that is said by [`Port::take_own`].
    #[inline]
    pub(in crate::service) fn poll_next(
        &self,
        owns: bool,
        mut own: impl FnMut() -> bool,
    ) -> Poll<Next> {
        let aside = self.lanes.get();
        // One that was killed by its own handler goes no further.
        if aside & CLOSED != 0 || !self.mailbox.try_spend() {
            return Poll::Pending;
        }
        if aside != 0
            && let Some(next) = self.look_aside()
        {
            return Poll::Ready(next);
        }
        if !owns {
            return self.poll_mailbox();
        }
        if self.own_is_next.replace(true) {
            return self.poll_own(&mut own).map_or_else(|| self.poll_mailbox(), Poll::Ready);
        }
        match self.mailbox.is_empty().then(|| self.poll_own(&mut own)).flatten() {
            Some(own) => Poll::Ready(own),
            None => self.poll_mailbox(),
        }
    }

    #[inline]
    fn poll_mailbox(&self) -> Poll<Next> {
        if self.mailbox.is_empty() {
            self.rest();
            return Poll::Pending;
        }
        Poll::Ready(Next::Message)
    }

    fn poll_own(&self, own: &mut impl FnMut() -> bool) -> Option<Next> {
        let found = own();
        self.own_found.set(found);
        // After what is its own comes a message.
        if found {
            self.own_is_next.set(false);
        }
        found.then_some(Next::Other)
    }

    /// The message that [`Port::poll_next`] has found.
    #[inline]
    pub(in crate::service) fn take_message(&self, next: Next) -> Option<M> {
        match next {
            Next::Message => {
                self.reactor().metrics.messages.add(1);
                self.mailbox.pop()
            }
            Next::Control => self.take_control(),
            Next::Other => None,
        }
    }

    /// Whether [`Port::poll_next`] has found something of the service's own.
    #[inline]
    pub(in crate::service) fn take_own(&self) -> bool {
        self.own_found.replace(false)
    }

    /// What comes before the next message: the control lane first, then clients and messages in
    /// turn, so that neither starves the other.
    #[inline(never)]
    fn look_aside(&self) -> Option<Next> {
        let lanes = self.lanes.get();
        if lanes & STOPPING != 0 {
            return Some(Next::Other);
        }
        if lanes & CONTROL != 0
            && let Some(next) = self.look_at_control()
        {
            return Some(next);
        }
        let is_theirs = !self.client_was_last.replace(false) || self.mailbox.is_empty();
        if self.lanes.get() & CLIENTS != 0 && is_theirs {
            self.client_was_last.set(true);
            return Some(Next::Other);
        }
        None
    }

    /// The client whose turn it is, if what it has are frames. The task of a service keeps a place
    /// for that one, and not for what is rare.
    pub(in crate::service) fn pop_batch(&self) -> Option<Client> {
        let client = self.pop_client()?;
        if client.session().has_batch() {
            return Some(client);
        }
        self.with_clients(|clients| clients.put_back(client.session().clone()));
        self.mark(CLIENTS);
        self.client_was_last.set(true);
        None
    }

    /// The client whose turn it is.
    pub(in crate::service) fn pop_client(&self) -> Option<Client> {
        // One that is stopping, or has news beside, sees to that first.
        if self.is_stopping() || !self.client_was_last.get() {
            return None;
        }
        loop {
            let next = self.with_clients(|clients| {
                let next = clients.pop();
                if !clients.is_ready() {
                    self.unmark(CLIENTS);
                }
                next
            })?;
            // It was handed on while it waited.
            if next.is_of(self.id.bits()) {
                return Some(Client::new(next));
            }
        }
    }

    /// What the control lane has: a message, made already, or news. What came to nothing is skipped.
    fn look_at_control(&self) -> Option<Next> {
        loop {
            let Some(event) = self.with_extra(|extra| extra.control.pop_front()) else {
                self.unmark(CONTROL);
                return None;
            };
            let event = match event {
                Control::Tick(tick) => match tick.make() {
                    Some(message) => Control::Message(message),
                    None => continue,
                },
                // The watch was ended while the news waited.
                Control::Down(down) if !self.unwatch(down.service) => continue,
                event => event,
            };
            let is_message = matches!(event, Control::Message(_));
            self.with_extra(|extra| extra.control.push_front(event));
            if is_message {
                return Some(Next::Control);
            }
            self.client_was_last.set(false);
            return Some(Next::Other);
        }
    }

    /// The message that [`Port::look_at_control`] has found.
    #[cold]
    fn take_control(&self) -> Option<M> {
        match self.with_extra(|extra| extra.control.pop_front())? {
            Control::Message(message) => Some(message),
            news => {
                self.with_extra(|extra| extra.control.push_front(news));
                None
            }
        }
    }

    /// The news that [`Port::poll_next`] has found.
    pub(in crate::service) fn pop_news(&self) -> Option<News> {
        match self.with_extra(|extra| extra.control.pop_front())? {
            Control::Down(down) => Some(News::Down(down)),
            Control::Gone(gone) => Some(News::Gone(gone)),
            Control::Exit(reason) => Some(News::Exit(reason)),
            other => {
                self.with_extra(|extra| extra.control.push_front(other));
                None
            }
        }
    }
}
