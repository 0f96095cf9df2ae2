//! What a service can do besides handling: start others, wait, watch.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use super::Service;
use super::address::{Address, ServiceId};
use super::local::Local;
use super::mailbox::Deliver;
use super::port::{Control, Port};
use super::reason::Reason;
use super::signal::Signal;
use super::table::Door;
use super::tell::tell;
use super::timer::{self, Timer};
use crate::clock::Now;
use crate::guard::{discard, message};
use crate::reactor::kind::Kind;

/// A service as its own handlers see it: its names, its timers and forks, whom it watches, and the
/// end. Each handler is lent it; what must outlive the handler takes [`Context::address`] or
/// [`Context::local`] along.
pub struct Context<S: Service> {
    port: Rc<Port<S::Message>>,
}

impl<S: Service> Context<S> {
    pub(super) fn new(port: Rc<Port<S::Message>>) -> Context<S> {
        Context { port }
    }

    /// The same service by its messages alone.
    #[cfg(feature = "websocket")]
    pub(crate) fn for_messages<T: Service<Message = S::Message>>(&self) -> Context<T> {
        Context { port: self.port.clone() }
    }

    #[inline]
    pub(super) fn port(&self) -> &Rc<Port<S::Message>> {
        &self.port
    }

    #[inline]
    pub(super) fn is_stopping(&self) -> bool {
        self.port.is_stopping()
    }

    /// The time at the beginning of this turn.
    pub(super) fn now(&self) -> Now {
        self.port.reactor().now()
    }

    /// This service's name without the type of its messages.
    pub fn id(&self) -> ServiceId {
        self.port.id
    }

    /// Where others, on any core, send this service messages.
    pub fn address(&self) -> Address<S::Message> {
        Address::new(self.port.id)
    }

    /// The core-local door to this service, which takes messages that are not `Send`, too.
    pub fn local(&self) -> Local<S::Message> {
        let port: Weak<dyn Deliver<S::Message>> = Rc::downgrade(&self.port) as _;
        Local::new(port, self.address())
    }

    /// How many clients belong to this service.
    pub fn clients(&self) -> usize {
        self.port.clients()
    }

    /// Messages that wait, those of timers and forked tasks not counted.
    pub fn waiting(&self) -> usize {
        self.port.len()
    }

    /// Ends this service after the handler that runs now. [`Service::stopped`] is its last call.
    pub fn stop(&self) {
        self.port.stop();
    }

    /// Has [`Service::down`] called once `service` ends, however it does; at once if it has ended
    /// already. Watching one twice is watching it once.
    pub fn watch(&self, service: impl Into<ServiceId>) {
        let service = service.into();
        if self.port.watch(service) {
            tell(service, Signal::Watch(self.port.id));
        }
    }

    /// Ends a watch.
    pub fn unwatch(&self, service: impl Into<ServiceId>) {
        let service = service.into();
        if self.port.unwatch(service) {
            tell(service, Signal::Unwatch(self.port.id));
        }
    }

    /// Ties the ends of two services: when either fails, panics or is killed, the other ends too,
    /// with [`Reason::Linked`](super::Reason::Linked). An orderly end breaks the link quietly. A
    /// link to a service that has ended already counts as failed.
    pub fn link(&self, other: impl Into<ServiceId>) {
        let other = other.into();
        if self.port.link(other) {
            tell(other, Signal::Link(self.port.id));
        }
    }

    /// Ends a link.
    pub fn unlink(&self, other: impl Into<ServiceId>) {
        let other = other.into();
        if self.port.unlink(other) {
            tell(other, Signal::Unlink(self.port.id));
        }
    }

    /// Sends this service a message after `delay` (to the millisecond, never less). It takes the
    /// control lane: a full mailbox does not lose it. The timer goes with the service.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use skyring::prelude::*;
    ///
    /// struct Bomb;
    ///
    /// impl Service for Bomb {
    ///     type Message = &'static str;
    ///
    ///     async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
    ///         cx.after(Duration::from_secs(10), "boom");
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, _boom: &'static str, cx: &Context<Self>) -> Result<()> {
    ///         Ok(cx.stop())
    ///     }
    /// }
    /// # skyring::sim::Simulation::new(1).run(async {
    /// let bomb = service::spawn(Bomb)?;
    /// service::ended(bomb)?.await;
    /// # Ok::<(), Error>(())
    /// # }).unwrap().unwrap();
    /// ```
    pub fn after(&self, delay: Duration, message: S::Message) -> Timer {
        timer::after(&self.port, delay, message)
    }

    /// Sends this service a message that `make` makes, once a `period`, until it is cancelled or
    /// the service ends. The first comes after one period. A service that lags gets one message for
    /// all periods that it missed; `make` runs when that is handled.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use skyring::prelude::*;
    ///
    /// struct World(u64);
    /// enum Message { Tick(u64), Updates(Reply<u64>) }
    ///
    /// impl Service for World {
    ///     type Message = Message;
    ///
    ///     async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
    ///         let mut number = 0;
    ///         cx.every(Duration::from_millis(50), move || {
    ///             number += 1;
    ///             Message::Tick(number)
    ///         });
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
    ///         match message {
    ///             Message::Tick(number) => self.0 = number,
    ///             Message::Updates(reply) => reply.send(self.0),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # skyring::sim::Simulation::new(1).run(async {
    /// let world = service::spawn(World(0))?;
    /// sleep(Duration::from_millis(1020)).await;
    /// assert_eq!(world.call(Message::Updates).await?, 20);
    /// # Ok::<(), Error>(())
    /// # }).unwrap().unwrap();
    /// ```
    ///
    /// # Panics
    /// When the period is zero.
    pub fn every(&self, period: Duration, make: impl FnMut() -> S::Message + 'static) -> Timer {
        timer::every(&self.port, period, make)
    }

    /// Runs a future beside the handlers; the message that it returns comes back
    /// to the service; `None` for nothing. It may call and
    /// wait as long as it likes while the service handles others. It ends with the service, and its
    /// panic is the service's.
    ///
    /// A forked task cannot borrow the service: give it what it needs, and have the message bring
    /// what it found. Nothing bounds how many a service forks, and their messages pass by the
    /// mailbox's bound: a service that forks for others keeps a limit of its own.
    ///
    /// ```
    /// use skyring::prelude::*;
    ///
    /// struct Motd { text: Option<String> }
    /// enum Message { Read(Option<String>), Text(Reply<Option<String>>) }
    ///
    /// impl Service for Motd {
    ///     type Message = Message;
    ///
    ///     async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
    ///         cx.fork(async {
    ///             let read = skyring::blocking(|| std::fs::read_to_string("/etc/hostname")).await;
    ///             Message::Read(read.ok().and_then(Result::ok))
    ///         });
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
    ///         match message {
    ///             Message::Read(text) => self.text = text,
    ///             Message::Text(reply) => reply.send(self.text.clone()),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn fork<O>(&self, future: impl Future<Output = O> + 'static)
    where
        O: Into<Option<S::Message>>,
    {
        let port = &self.port;
        let place = port.with_extra(|extra| extra.forks.vacant_key());
        let fork = Fork { port: Rc::downgrade(port), place, outcome: None };
        let kind = Kind::of(port.reactor(), S::kind());
        let task = Box::pin(async move {
            let mut future = pin!(future);
            let outcome = poll_fn(|task| {
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task)));
                match polled {
                    Ok(polled) => polled.map(|output| Ok(output.into())),
                    Err(panic) => {
                        let reason = Reason::Panicked(message(&*panic).into());
                        discard(panic);
                        Poll::Ready(Err(reason))
                    }
                }
            });
            fork.end(outcome.await);
        });
        let task = port.reactor().spawn_boxed(kind, task);
        port.with_extra(|extra| extra.forks.insert(task));
    }
}

/// A forked task: gives its service what it has come to, when it ends.
struct Fork<M: 'static> {
    port: Weak<Port<M>>,
    place: usize,
    outcome: Option<Result<Option<M>, Reason>>,
}

impl<M> Fork<M> {
    fn end(mut self, outcome: Result<Option<M>, Reason>) {
        self.outcome = Some(outcome);
    }
}

impl<M> Drop for Fork<M> {
    fn drop(&mut self) {
        let Some(port) = self.port.upgrade().filter(|port| !port.is_closed()) else { return };
        port.with_extra(|extra| extra.forks.try_remove(self.place));
        match self.outcome.take() {
            Some(Ok(Some(message))) => port.push_control(Control::Message(message)),
            Some(Err(reason)) => {
                port.reactor().metrics.panics.add(1);
                port.push_control(Control::Exit(reason));
            }
            Some(Ok(None)) | None => {}
        }
    }
}

impl<S: Service> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} {:#})", self.port.name(), self.port.id)
    }
}
