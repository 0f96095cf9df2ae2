//! The life of a service: one task that takes its events one at a time, and an end that is told.

use std::any::type_name;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::Service;
use super::address::Address;
use super::context::Context;
use super::error::SpawnError;
use super::port::{Event, Port, Traits};
use super::reason::Reason;
use super::table::Services;
use super::tell::tell;
use crate::error::Result;
use crate::guard::{discard, message};
use crate::reactor::kind::Kind;
use crate::reactor::{Reactor, guarded};

/// What a mailbox must know of its service's type.
struct Of<S>(S);

impl<S: Service> Of<S> {
    const TRAITS: Traits<S::Message> =
        Traits { name: short_name::<S>, undelivered: S::on_undelivered };
}

/// `Room<Chess>` for `game::rooms::Room<game::Chess>`.
fn short_name<S>() -> &'static str {
    let name = type_name::<S>();
    let end = name.find('<').unwrap_or(name.len());
    let start = name[..end].rfind("::").map_or(0, |at| at + 2);
    &name[start..]
}

impl<S: Service> Context<S> {
    /// Starts another service on this core. It lives on its own: see [`Context::link`] and
    /// [`Context::watch`].
    ///
    /// # Errors
    /// [`SpawnError::Full`].
    pub fn spawn<T: Service>(&self, service: T) -> Result<Address<T::Message>, SpawnError> {
        start(self.port().reactor(), service)
    }
}

/// Starts a service on this core: in a set-up hook, a task, an agent. Within a service
/// [`Context::spawn`] does the same.
///
/// # Errors
/// [`SpawnError::Full`].
///
/// # Panics
/// Outside of a reactor.
pub fn spawn<S: Service>(service: S) -> Result<Address<S::Message>, SpawnError> {
    start(&Reactor::current(), service)
}

/// Starts a service on this core.
pub(super) fn start<S: Service>(
    reactor: &Rc<Reactor>,
    service: S,
) -> Result<Address<S::Message>, SpawnError> {
    let services = Services::of(reactor);
    let entered = services.enter(reactor, |id| Port::new(reactor, id, &Of::<S>::TRAITS));
    let Some(port) = entered else { return Err(SpawnError::Full) };
    let address = Address::new(port.id);
    let life =
        Life { service: Some(service), cx: Context::new(port.clone()), reason: Cell::new(None) };
    let kind = Kind::of(reactor, type_name::<S>());
    let task = reactor.spawn_boxed(kind, port.id.bits(), Box::pin(live(life)));
    port.bind(task);
    Ok(address)
}

/// A service's state and the reason of its end. However its task goes (an end, a panic, a kill, the
/// stop of the engine), dropping this tells it.
struct Life<S: Service> {
    service: Option<S>,
    cx: Context<S>,
    reason: Cell<Option<Reason>>,
}

impl<S: Service> Drop for Life<S> {
    fn drop(&mut self) {
        // Kept: the panic of a state that is dropped while its task unwinds would end the program.
        let service = self.service.take();
        let port = self.cx.port();
        let metrics = &port.reactor().metrics;
        guarded(metrics, "a service panicked while it was dropped", || drop(service));
        let reason = self.reason.take().unwrap_or_else(|| {
            if std::thread::panicking() {
                Reason::Panicked("while it was dropped".into())
            } else {
                Reason::Killed
            }
        });
        match &reason {
            Reason::Stopped => tracing::debug!(service = port.name(), id = %port.id, "stopped"),
            reason => {
                tracing::warn!(service = port.name(), id = %port.id, %reason, "a service has ended");
            }
        }
        port.close(&reason).into_iter().for_each(|(to, signal)| tell(to, signal));
    }
}

#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep its argument twice")]
fn live<S: Service>(mut life: Life<S>) -> impl Future<Output = ()> {
    async move {
        let reason = {
            let cx = &life.cx;
            let service = life.service.as_mut().expect("taken when dropped");
            let mut event = None;
            loop {
                let handled = match event.take() {
                    None => handle(cx, service.started(cx)).await,
                    Some(Event::Message(message)) => handle(cx, service.handle(message, cx)).await,
                    Some(Event::Down(down)) => handle(cx, service.down(down, cx)).await,
                    Some(Event::Exit(reason)) => {
                        let parting = async {
                            service.stopped(&reason, cx).await;
                            Ok(())
                        };
                        break handle(cx, parting).await.err().unwrap_or(reason);
                    }
                };
                if let Err(reason) = handled {
                    break reason;
                }
                event = Some(match cx.is_stopping() {
                    true => Event::Exit(Reason::Stopped),
                    false => cx.port().next().await,
                });
            }
        };
        life.reason.set(Some(reason));
    }
}

/// Runs one handler. An error and a panic are the end of its service, and of nothing else.
async fn handle<S: Service>(
    cx: &Context<S>,
    handler: impl Future<Output = Result<()>>,
) -> Result<(), Reason> {
    let port = cx.port();
    let services = Services::of(port.reactor());
    let mut handler = pin!(handler);
    poll_fn(|task| {
        let before = services.set_current(Some(port.id));
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(task)));
        services.set_current(before);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            Ok(Poll::Ready(Err(error))) => {
                Poll::Ready(Err(Reason::Failed(error.to_string().into())))
            }
            Err(panic) => {
                port.reactor().metrics.panics.add(1);
                let reason = Reason::Panicked(message(&*panic).into());
                discard(panic);
                Poll::Ready(Err(reason))
            }
        }
    })
    .await
}
