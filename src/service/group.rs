//! Groups: one value for many services, on any cores.
//!
//! ```text
//!   broadcast ──▶ the group's home core ──▶ one envelope for each core with members
//!                 (where it was made)        └─▶ each member there: a shared handle, no copy
//! ```
//! All that is broadcast passes the home core, so all members get it in one order.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::Service;
use super::address::ServiceId;
use super::context::Context;
use super::mailbox::Undelivered;
use super::members::Member;
use super::post;
use super::table::Services;
use crate::memory::envelope::Letter;
use crate::reactor::{Reactor, guarded};

const SEQUENCE_BITS: u32 = 48;

/// Services that hear what is broadcast to them: the guests of a room, the followers of a match.
/// 64 bits, `Copy` and `Send` for every `T`; without members it costs nothing, and a member that
/// ends leaves by itself.
///
/// ```
/// use skyring::prelude::*;
/// use skyring::service::{self, Context, Group, Reply, Service, Shared};
///
/// struct Guest { group: Group<String>, heard: Vec<String> }
/// enum Message { Said(Shared<String>), Heard(Reply<Vec<String>>) }
///
/// impl Service for Guest {
///     type Message = Message;
///     async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
///         cx.join(self.group, Message::Said);
///         Ok(())
///     }
///     async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
///         match message {
///             Message::Said(text) => self.heard.push(text.to_string()),
///             Message::Heard(reply) => reply.send(self.heard.clone()),
///         }
///         Ok(())
///     }
/// }
/// # skyring::sim::Simulation::new(1).run(async {
/// let group = Group::new();
/// let guest = service::spawn(Guest { group, heard: Vec::new() })?;
/// guest.call(Message::Heard).await?; // it has joined
/// group.broadcast("hello".to_owned())?;
/// assert_eq!(guest.call(Message::Heard).await?, ["hello"]);
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
pub struct Group<T> {
    /// 8 bits of engine, 8 of core, 48 of sequence.
    name: u64,
    carries: PhantomData<fn(T)>,
}

/// A value that was broadcast, shared by all members: a handle whose clones touch nothing that
/// another core uses, while they stay on this one. Reads as the value itself; see [`Group`].
#[expect(clippy::redundant_allocation, reason = "the outer count is this core's own")]
pub struct Shared<T>(Arc<Arc<T>>);

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Group<T> {
    fn engine(self) -> u8 {
        (self.name >> (SEQUENCE_BITS + u8::BITS)) as u8
    }

    /// The core that gives what is broadcast to the others.
    pub fn home(self) -> usize {
        usize::from((self.name >> SEQUENCE_BITS) as u8)
    }
}

impl<T: Send + Sync + 'static> Group<T> {
    /// A group without members, at home on this core.
    ///
    /// # Panics
    /// Outside of a reactor.
    #[expect(
        clippy::new_without_default,
        reason = "it needs a reactor, and makes another each time"
    )]
    pub fn new() -> Group<T> {
        let reactor = Reactor::current();
        let made = &Services::of(&reactor).groups.made;
        made.set(made.get() + 1);
        let engine = u64::from(reactor.shared.engine) << (SEQUENCE_BITS + u8::BITS);
        let core = (reactor.index as u64) << SEQUENCE_BITS;
        Group { name: engine | core | made.get(), carries: PhantomData }
    }

    /// Gives `value` to all members. It is never copied. Members whose mailbox is full miss it,
    /// which is counted (`messages_undelivered`) and told to
    /// [`Service::on_undelivered`](super::Service::on_undelivered). Where another core lags so far that
    /// the way to it is full, all of its members miss it (`broadcasts_lost`).
    ///
    /// # Errors
    /// [`Undelivered`] with the value: the way to the group's home core is full, or that core has
    /// ended.
    pub fn broadcast(self, value: T) -> Result<(), Undelivered<Arc<T>>> {
        self.broadcast_shared(Arc::new(value))
    }

    /// As [`Group::broadcast`], for a value that is shared already.
    ///
    /// # Errors
    /// As [`Group::broadcast`].
    pub fn broadcast_shared(self, value: Arc<T>) -> Result<(), Undelivered<Arc<T>>> {
        let publish = Publish { group: self, value };
        post::message(self.engine(), self.home(), publish)
            .map_err(|undelivered| undelivered.map(|publish| publish.value))
    }

    /// Takes a member of this core out.
    fn leave(self, reactor: &Reactor, id: ServiceId) {
        let services = Services::of(reactor);
        let (member, last) = services.groups.remove::<Shared<T>>(self.name, id);
        if let Some(member) = &member
            && let Some(door) = services.door(id)
        {
            door.forget(member.at_end);
        }
        if last {
            self.tell_home(reactor, false);
        }
        // It holds what the user's code has given.
        guarded(&reactor.metrics, "a member panicked while it was dropped", || drop(member));
    }

    fn tell_home(self, reactor: &Reactor, has_members: bool) {
        let count = Count { group: self, core: reactor.index, has_members };
        let _ = post::control(self.engine(), self.home(), count);
    }
}

impl<S: Service> Context<S> {
    /// Enters this service among the members of a group; `wrap` makes a message of what is
    /// broadcast. Joining again replaces `wrap`. It leaves by [`Context::leave`], or when it ends.
    pub fn join<T: Send + Sync + 'static>(
        &self,
        group: Group<T>,
        wrap: impl Fn(Shared<T>) -> S::Message + 'static,
    ) {
        let port = self.port();
        let (reactor, id) = (port.reactor().clone(), port.id);
        let weak = Rc::downgrade(port);
        let give = move |value: Shared<T>| {
            let Some(port) = weak.upgrade() else { return };
            let message = wrap(value);
            if let Err(undelivered) = port.deliver(message) {
                port.lose(undelivered);
            }
        };
        let services = Services::of(&reactor);
        let core = reactor.clone();
        let Some(door) = services.door(id) else { return };
        let at_end = door.at_end(Box::new(move |id| group.leave(&core, id)));
        let member = Member { give: Rc::new(give), at_end };
        let (before, first) = services.groups.add(group.name, id, member);
        if let Some(before) = before {
            door.forget(before.at_end);
        }
        if first {
            group.tell_home(&reactor, true);
        }
    }

    /// Takes this service out of a group.
    pub fn leave<T: Send + Sync + 'static>(&self, group: Group<T>) {
        group.leave(self.port().reactor(), self.port().id);
    }
}

/// Tells a group's home core whether another one has members.
struct Count<T> {
    group: Group<T>,
    core: usize,
    has_members: bool,
}

impl<T: 'static> Letter<Rc<Reactor>> for Count<T> {
    fn open(self, reactor: &Rc<Reactor>) {
        let mut cores = Services::of(reactor).groups.cores.borrow_mut();
        let of_group = cores.entry(self.group.name).or_default();
        if self.has_members {
            of_group.insert(self.core);
        } else {
            of_group.remove(&self.core);
        }
        if of_group.is_empty() {
            cores.remove(&self.group.name);
        }
    }
}

/// A value on its way to the group's home core.
struct Publish<T> {
    group: Group<T>,
    value: Arc<T>,
}

impl<T: Send + Sync + 'static> Letter<Rc<Reactor>> for Publish<T> {
    fn open(self, reactor: &Rc<Reactor>) {
        let Publish { group, value } = self;
        let cores = Services::of(reactor).groups.cores.borrow().get(&group.name).cloned();
        for core in cores.into_iter().flatten() {
            let hand_out = HandOut { group, value: value.clone() };
            if post::message(group.engine(), core, hand_out).is_err() {
                let lost = &reactor.metrics.broadcasts_lost;
                lost.add(1);
                if lost.value().is_power_of_two() {
                    tracing::warn!(core, "broadcasts do not reach the members on a core that lags");
                }
            }
        }
    }
}

/// A value on its way to the members of a core.
struct HandOut<T> {
    group: Group<T>,
    value: Arc<T>,
}

impl<T: Send + Sync + 'static> Letter<Rc<Reactor>> for HandOut<T> {
    fn open(self, reactor: &Rc<Reactor>) {
        let members = Services::of(reactor).groups.members::<Shared<T>>(self.group.name);
        let value = Shared(Arc::new(self.value));
        for member in members.iter().flat_map(|members| members.values()) {
            guarded(&reactor.metrics, "what makes a member's message panicked", || {
                (member.give)(value.clone());
            });
        }
    }
}

// By hand: derives would ask the same of `T`.
impl<T> Clone for Group<T> {
    fn clone(&self) -> Group<T> {
        *self
    }
}

impl<T> Copy for Group<T> {}

impl<T> PartialEq for Group<T> {
    fn eq(&self, other: &Group<T>) -> bool {
        self.name == other.name
    }
}

impl<T> Eq for Group<T> {}

impl<T> Hash for Group<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<T> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:#x})", self.name)
    }
}
