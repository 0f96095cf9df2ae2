//! The life of a service: one task that takes its events one at a time, and an end that is told.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use super::Service;
use super::address::Address;
use super::context::Context;
use super::error::SpawnError;
use super::port::{News, Port, Traits};
use super::reason::Reason;
use super::table::Services;
use super::tell::tell;
use crate::client::session::News as ClientNews;
use crate::client::{Client, Frames};
use crate::error::{Error, Result};
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
fn short_name<S: Service>() -> &'static str {
    let name = S::kind();
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
    let life = Life { service: Some(service), cx: Context::new(port.clone()) };
    let kind = Kind::of(reactor, S::kind());
    let task = reactor.spawn_boxed(kind, Box::pin(live(life)));
    port.bind(task);
    Ok(address)
}

/// A service's state. However its task goes (an end, a panic, a kill, the stop of the engine),
/// dropping this tells it.
struct Life<S: Service> {
    /// Gone when the end was told.
    service: Option<S>,
    cx: Context<S>,
}

impl<S: Service> Life<S> {
    /// Drops the state and tells the end. Nothing happens when it was told already.
    fn end(&mut self, reason: Option<Reason>) {
        let Some(service) = self.service.take() else { return };
        let port = self.cx.port();
        port.shut();
        let metrics = &port.reactor().metrics;
        // Kept: the panic of a state that is dropped while its task unwinds would end the program.
        guarded(metrics, "a service panicked while it was dropped", || drop(service));
        let reason = reason.unwrap_or_else(|| {
            if std::thread::panicking() {
                Reason::Panicked("while it was dropped".into())
            } else {
                Reason::Killed
            }
        });
        let (service, id) = (port.name(), port.id);
        // What is left when the engine stops is dropped, which nobody need hear of one by one.
        let quiet = reason == Reason::Stopped || port.reactor().is_stopping();
        if quiet {
            tracing::debug!(service, %id, %reason, "a service has ended");
        } else {
            tracing::warn!(service, %id, %reason, "a service has ended");
        }
        port.close(&reason).into_iter().for_each(|(to, signal)| tell(to, signal));
    }
}

impl<S: Service> Drop for Life<S> {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// The task of a service.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep its argument twice")]
fn live<S: Service>(mut life: Life<S>) -> impl Future<Output = ()> {
    async move {
        let reason = {
            let service = life.service.as_mut().expect("taken at the end");
            let mut serving = pin!(serve(service, &life.cx));
            let port = life.cx.port();
            // A panic of a handler is the end of its service, and of nothing else. One guard and one
            // note of who runs hold for all that a poll handles.
            poll_fn(move |task| {
                port.reactor().runs_for(port.id.bits());
                let polled = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(task)));
                polled.unwrap_or_else(|panic| Poll::Ready(panicked(port.reactor(), panic)))
            })
            .await
        };
        life.end(Some(reason));
    }
}

/// Handles one event after the other, until one is the end.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep its arguments twice")]
fn serve<S: Service>(service: &mut S, cx: &Context<S>) -> impl Future<Output = Reason> {
    async move {
        if let Err(error) = service.started(cx).await {
            return failed(error);
        }
        cx.port().mark_started();
        loop {
            // Each thing is moved on before anything waits, so that the task holds it once: in its
            // handler. What is rare is boxed, and takes no room before.
            loop {
                let next = poll_fn(|task| cx.port().poll_next(S::OWNS, || service.poll_own(task)));
                let Some(message) = cx.port().take_message(next.await) else { break };
                if let Err(error) = service.handle(message, cx).await {
                    return failed(error);
                }
            }
            if S::OWNS && cx.port().take_own() {
                if let Err(error) = service.own(cx).await {
                    return failed(error);
                }
                continue;
            }
            let Some(client) = cx.port().pop_batch() else {
                match hear(service, cx).await {
                    Ok(()) => continue,
                    Err(reason) => return reason,
                }
            };
            if let Err(error) = service.frames(&client, Frames::of(&client), cx).await {
                return failed(error);
            }
            client.session().settle();
        }
    }
}

/// Handles what is rare: what the control lane brings beside messages, and what clients bring beside
/// frames.
///
/// # Errors
/// The end, and why.
#[cold]
fn hear<'a, S: Service>(
    service: &'a mut S,
    cx: &'a Context<S>,
) -> Pin<Box<dyn Future<Output = Result<(), Reason>> + 'a>> {
    Box::pin(async move {
        if cx.is_stopping() {
            service.stopped(&Reason::Stopped, cx).await;
            return Err(Reason::Stopped);
        }
        if let Some(client) = cx.port().pop_client() {
            return hear_client(service, &client, cx).await.map_err(failed);
        }
        let Some(news) = cx.port().pop_news() else { return Ok(()) };
        match news {
            News::Down(down) => service.down(*down, cx).await.map_err(failed),
            News::Gone(gone) => {
                let (id, why) = *gone;
                service.gone(id, why, cx).await.map_err(failed)
            }
            News::Exit(reason) => {
                if !matches!(reason, Reason::Panicked(_)) {
                    service.stopped(&reason, cx).await;
                }
                Err(reason)
            }
        }
    })
}

/// Handles what a client brings beside frames.
async fn hear_client<S: Service>(service: &mut S, client: &Client, cx: &Context<S>) -> Result<()> {
    match client.session().next() {
        None => {}
        Some(ClientNews::Connected) => service.connected(client, cx).await?,
        Some(ClientNews::Backlog(backlog)) => service.backlog(client, backlog, cx).await?,
        Some(ClientNews::Disconnected(why)) => {
            tracing::debug!(client = %client.id(), %why, "disconnected");
            let copy = why.copy();
            let handled = service.disconnected(client, why, cx).await;
            client.session().close(copy);
            return handled;
        }
    }
    client.session().settle();
    Ok(())
}

#[cold]
fn panicked(reactor: &Reactor, panic: Box<dyn Any + Send>) -> Reason {
    reactor.metrics.panics.add(1);
    let reason = Reason::Panicked(message(&*panic).into());
    discard(panic);
    reason
}

#[cold]
fn failed(error: Error) -> Reason {
    Reason::Failed(error.to_string().into())
}
