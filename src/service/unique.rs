//! Unique services: the first who asks makes it, the others wait for it.

use std::any::TypeId;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::Service;
use super::address::Address;
use super::call::Call;
use super::error::CallError;
use super::life;
use super::names::{NameError, OWNER, checked, decide, grant, typed};
use super::post;
use super::registry::{Holder, Waiter};
use super::reply::Reply;
use super::table::Services;
use super::tell::kill;
use crate::memory::envelope::Letter;
use crate::reactor::Reactor;

/// The engine's only service of this name: the first who asks makes it, on his core; others who ask
/// meanwhile wait for it. After its end the next who asks makes it anew.
///
/// ```
/// # use skyring::prelude::*;
/// # use skyring::service::{self, Context, Service};
/// # struct Lobby;
/// # impl Service for Lobby {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// let lobby = service::unique("lobby", || Lobby).await?;
/// assert_eq!(service::unique("lobby", || Lobby).await?, lobby);
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// [`NameError`].
///
/// # Panics
/// When polled outside of a reactor, and when `make` does; the next who waits makes it then.
pub async fn unique<S: Service>(
    name: &str,
    make: impl FnOnce() -> S,
) -> Result<Address<S::Message>, NameError> {
    let name = checked(name)?;
    let claim = match claim(name.clone()).await.map_err(NameError::Unanswered)? {
        Claimed::By(holder) => return typed(holder),
        Claimed::Yours(claim) => claim,
    };
    let service = life::start(&Reactor::current(), make()).map_err(NameError::Spawn)?;
    let holder = Holder { id: service.id(), takes: TypeId::of::<S::Message>() };
    let granted = decide(move |reactor| {
        let granted = grant(reactor, &name, holder);
        drop(claim); // those who wait find the service now, or make one themselves
        granted
    })
    .await;
    if let Err(error) = granted {
        kill(service); // nobody knows it
        return Err(error);
    }
    Ok(service)
}

/// Asks core 0 for a name: who has it, or the right to make its service.
fn claim(name: Arc<str>) -> Call<Claimed, impl FnOnce(Reply<Claimed>) -> Result<(), CallError>> {
    let ask = move |reply| {
        let engine = Reactor::current().shared.engine;
        post::control(engine, OWNER, Ask { engine, name, reply }).map_err(|_| CallError::Dead)
    };
    Call::new(None, ask)
}

struct Ask {
    engine: u8,
    name: Arc<str>,
    reply: Reply<Claimed>,
}

impl Letter<Rc<Reactor>> for Ask {
    fn open(self, reactor: &Rc<Reactor>) {
        let names = &Services::of(reactor).names;
        if let Some(waiting) = names.claims.borrow_mut().get_mut(&self.name) {
            return waiting.push_back(Box::new(self));
        }
        let holder = names.shared.borrow().get(&self.name).copied();
        if holder.is_none() {
            names.claims.borrow_mut().insert(self.name.clone(), VecDeque::new());
        }
        Box::new(self).hear(holder);
    }
}

impl Waiter for Ask {
    fn waits(&self) -> bool {
        self.reply.is_wanted()
    }

    fn hear(self: Box<Self>, holder: Option<Holder>) {
        let Ask { engine, name, reply } = *self;
        reply.send(match holder {
            Some(holder) => Claimed::By(holder),
            None => Claimed::Yours(Claim { engine, name }),
        });
    }
}

/// What has become of a name that was asked for.
enum Claimed {
    By(Holder),
    /// Nobody has it, and nobody else makes its service.
    Yours(Claim),
}

/// The right to make the service of a name. Dropped with the service made or not: those who wait
/// find it, or the first of them has the right. On its way, too: an answer that comes too late
/// gives it back.
struct Claim {
    engine: u8,
    name: Arc<str>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let over = Over { name: self.name.clone() };
        let _ = post::control(self.engine, OWNER, over);
    }
}

/// Tells core 0 that a claim is over.
struct Over {
    name: Arc<str>,
}

impl Letter<Rc<Reactor>> for Over {
    fn open(self, reactor: &Rc<Reactor>) {
        let names = &Services::of(reactor).names;
        let holder = names.shared.borrow().get(&self.name).copied();
        let Some(waiting) = names.claims.borrow_mut().remove(&self.name) else { return };
        // One that is gone would drop its right within this very call, and so would the next.
        let mut waiting = waiting.into_iter().filter(|waiter| waiter.waits());
        if holder.is_some() {
            return waiting.for_each(|waiter| waiter.hear(holder));
        }
        let Some(next) = waiting.next() else { return };
        names.claims.borrow_mut().insert(self.name, waiting.collect());
        next.hear(None);
    }
}
