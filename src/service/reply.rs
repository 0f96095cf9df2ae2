//! The other end of a call: a handle that answers it, from wherever it was moved to.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use super::calls::{CallKey, SEQUENCE_BITS};
use super::error::CallError;
use super::post;
use super::table::Services;
use crate::memory::envelope::Letter;
use crate::reactor::{Reactor, guarded};

/// Answers one call. It may be kept, or sent on to another service, on another core too; whoever has
/// it answers. Dropping it tells the caller [`CallError::Dropped`].
///
/// ```
/// use skyring::prelude::*;
/// use skyring::service::{Context, Reply, Service};
///
/// struct Counter(u64);
/// enum Message { Add(u64), Get(Reply<u64>) }
///
/// impl Service for Counter {
///     type Message = Message;
///     async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
///         match message {
///             Message::Add(n) => self.0 += n,
///             Message::Get(reply) => reply.send(self.0),
///         }
///         Ok(())
///     }
/// }
/// ```
#[must_use = "dropping a reply fails the call; answer with `send`"]
pub struct Reply<T> {
    promise: Promise,
    answers: PhantomData<T>,
}

impl<T: Send + 'static> Reply<T> {
    pub(super) fn new(engine: u8, core: usize, key: CallKey) -> Reply<T> {
        Reply { promise: Promise::new(engine, core, key), answers: PhantomData }
    }

    /// Answers the call. An answer that comes too late is dropped, and counted by the caller's core
    /// (`late_answers`).
    #[inline]
    pub fn send(self, value: T) {
        self.promise.keep(value);
    }
}

impl<T> Reply<T> {
    /// Whether the caller still waits, as far as this core knows: exactly if the caller is on this
    /// core; on others it says yes. Ask before work that takes long.
    pub fn is_wanted(&self) -> bool {
        self.promise.is_wanted()
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply(to core {})", self.promise.core())
    }
}

/// The name of a call among all of the process: engine, core and sequence, and its place there.
struct Promise {
    /// 8 bits of engine, 8 of core, 48 of sequence. Zero: kept.
    name: u64,
    place: u32,
}

const CORE_SHIFT: u32 = SEQUENCE_BITS;
const ENGINE_SHIFT: u32 = CORE_SHIFT + u8::BITS;

impl Promise {
    fn new(engine: u8, core: usize, key: CallKey) -> Promise {
        let name = u64::from(engine) << ENGINE_SHIFT | (core as u64) << CORE_SHIFT | key.sequence;
        Promise { name, place: key.place }
    }

    fn engine(&self) -> u8 {
        (self.name >> ENGINE_SHIFT) as u8
    }

    fn core(&self) -> usize {
        usize::from((self.name >> CORE_SHIFT) as u8)
    }

    fn key(&self) -> CallKey {
        CallKey { place: self.place, sequence: self.name & ((1 << SEQUENCE_BITS) - 1) }
    }

    #[inline]
    fn keep<T: Send + 'static>(mut self, value: T) {
        let (engine, core, key) = (self.engine(), self.core(), self.key());
        self.name = 0;
        let _ = post::control(engine, core, Answer { key, value });
    }

    fn is_wanted(&self) -> bool {
        Reactor::with_current(|current| {
            let home =
                current.filter(|at| at.index == self.core() && at.shared.engine == self.engine());
            home.is_none_or(|reactor| Services::of(reactor).calls.is_wanted(self.key()))
        })
    }
}

impl Drop for Promise {
    #[inline]
    fn drop(&mut self) {
        if self.name != 0 {
            self.break_off();
        }
    }
}

impl Promise {
    #[cold]
    fn break_off(&self) {
        let _ = post::control(self.engine(), self.core(), Failure { key: self.key(), why: why() });
    }
}

/// An answer on its way home.
struct Answer<T> {
    key: CallKey,
    value: T,
}

impl<T: Send + 'static> Letter<Rc<Reactor>> for Answer<T> {
    #[inline]
    fn open(self, reactor: &Rc<Reactor>) {
        if let Err(late) = Services::of(reactor).calls.answer(reactor, self.key, self.value) {
            reactor.metrics.late_answers.add(1);
            drop_late(reactor, late);
        }
    }
}

#[cold]
fn drop_late<T>(reactor: &Reactor, late: T) {
    guarded(&reactor.metrics, "a late answer panicked while it was dropped", || drop(late));
}

/// The request was dropped.
struct Failure {
    key: CallKey,
    why: CallError,
}

/// Why a reply that is dropped here and now was not used.
fn why() -> CallError {
    Reactor::with_current(|current| {
        current.map_or(CallError::Dropped, |reactor| Services::of(reactor).reason())
    })
}

impl Letter<Rc<Reactor>> for Failure {
    fn open(self, reactor: &Rc<Reactor>) {
        Services::of(reactor).calls.fail(reactor, self.key, self.why);
    }
}
