//! The core-local door to a service or an agent.

use std::fmt;
use std::rc::Weak;

use super::address::Address;
use super::call::Call;
use super::error::CallError;
use super::mailbox::{Deliver, Undelivered};
use super::reply::Reply;

/// The core-local door to a service: cheap to clone, takes any message, one that holds a
/// [`Frame`](crate::Frame) too. It may outlive its service; sending then gives the message back.
pub struct Local<M> {
    target: Weak<dyn Deliver<M>>,
    address: Address<M>,
}

impl<M> Local<M> {
    pub(super) fn new(target: Weak<dyn Deliver<M>>, address: Address<M>) -> Local<M> {
        Local { target, address }
    }

    /// Where other cores send the same service messages.
    pub fn address(&self) -> Address<M> {
        self.address
    }

    /// Sends a message; it is handled in this turn or the next.
    ///
    /// # Errors
    /// [`Undelivered`] with the message, when the mailbox is full or the receiver has ended.
    pub fn send(&self, message: M) -> Result<(), Undelivered<M>> {
        match self.target.upgrade() {
            Some(target) => target.deliver(message),
            None => Err(Undelivered::Dead(message)),
        }
    }

    /// As [`Address::call`](super::Address::call), for messages that cannot leave the core; their
    /// answer can.
    ///
    /// # Errors
    /// [`CallError`]. A service that calls itself this way is not told so: the call times out.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub fn call<T: Send + 'static>(
        &self,
        make: impl FnOnce(Reply<T>) -> M,
    ) -> Call<T, impl FnOnce(Reply<T>) -> Result<(), CallError>> {
        let target = self.clone();
        Call::new(None, move |reply| Ok(target.send(make(reply))?))
    }
}

impl<M> Clone for Local<M> {
    fn clone(&self) -> Local<M> {
        Local { target: self.target.clone(), address: self.address }
    }
}

impl<M> fmt::Debug for Local<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", if self.target.strong_count() > 0 { "alive" } else { "dead" })
    }
}
