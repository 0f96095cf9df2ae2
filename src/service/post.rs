//! The way of a message: to a mailbox of this core, over the fabric to another one, or in through
//! the door of a core from a thread that is none.

use std::any::Any;
use std::rc::Rc;

use super::address::{Address, ServiceId};
use super::error::CallError;
use super::mailbox::Undelivered;
use super::port::{Control, Port, say_lost};
use super::table::Services;
use crate::memory::envelope::Letter;
use crate::reactor::fabric::Lane;
use crate::reactor::{Reactor, guarded, roll};

/// Where a core is, seen from this thread.
enum Way<'a> {
    /// It is the one that runs.
    Here(&'a Rc<Reactor>),
    /// Another one of the same engine.
    Beside(&'a Rc<Reactor>),
    /// This thread is none of its engine's.
    Afar,
}

#[inline]
fn way(current: Option<&Rc<Reactor>>, engine: u8, core: usize) -> Way<'_> {
    match current {
        Some(reactor) if reactor.shared.engine == engine => {
            if reactor.index == core {
                Way::Here(reactor)
            } else {
                Way::Beside(reactor)
            }
        }
        _ => Way::Afar,
    }
}

impl<M: Send + 'static> Address<M> {
    /// Sends a message. It is handled in this turn or the next if the service is on this core.
    /// Messages of one sender arrive in order. Works on any thread of the process; a core of the
    /// same engine is reached without a lock.
    ///
    /// # Errors
    /// [`Undelivered`] with the message: the mailbox is full, the service has ended, or the way to
    /// its core is full. For a service on another core only the last is known here; if its mailbox
    /// turns out to be full, or gone, the message is lost there, counted
    /// (`messages_undelivered`), and given to
    /// [`Service::on_undelivered`](super::Service::on_undelivered) if the service lives. Who must
    /// know calls, or watches.
    #[inline]
    pub fn send(self, message: M) -> Result<(), Undelivered<M>> {
        let to = self.id();
        // A count of the reactor is cheaper than a closure that the message is moved through.
        let current = Reactor::try_current();
        match way(current.as_ref(), to.engine(), to.core()) {
            Way::Here(reactor) => deliver(reactor, to, message),
            Way::Beside(reactor) => cross(reactor, to, message),
            Way::Afar => inject(to.engine(), to.core(), Parcel { to, message })
                .map_err(|undelivered| undelivered.map(|parcel| parcel.message)),
        }
    }
}

impl<M: Send + 'static> Address<M> {
    /// Sends a message that must arrive: a mailbox that is full takes it on its control lane, and a
    /// way that is full lets it pass. The caller bounds them. `false` when the service, or its core,
    /// is known to have ended.
    pub(crate) fn insist(self, message: M) -> bool {
        let to = self.id();
        if let Way::Here(reactor) = way(Reactor::try_current().as_ref(), to.engine(), to.core()) {
            return insist_here(reactor, to, message).is_ok();
        }
        let letter = Insisted(Parcel { to, message });
        match self::message(to.engine(), to.core(), letter) {
            Ok(()) => true,
            Err(Undelivered::Dead(_)) => false,
            Err(letter) => control(to.engine(), to.core(), letter.into_message()).is_ok(),
        }
    }
}

/// Puts a message in the mailbox of a service of this core.
#[inline(always)] // it is the way of each message, and moves it once more as a call
fn deliver<M: 'static>(reactor: &Reactor, to: ServiceId, message: M) -> Result<(), Undelivered<M>> {
    match Services::of(reactor).find::<Port<M>>(to) {
        Some(port) => port.deliver(message),
        None => Err(Undelivered::Dead(message)),
    }
}

/// Over the fabric. Apart, so that the way to a service of this core is short.
#[inline(never)]
fn cross<M: Send + 'static>(
    reactor: &Reactor,
    to: ServiceId,
    message: M,
) -> Result<(), Undelivered<M>> {
    match reactor.fabric.has_room(to.core()) {
        Some(true) => {
            reactor.fabric.send(to.core(), Lane::Message, Parcel { to, message });
            Ok(())
        }
        Some(false) => {
            reactor.metrics.fabric_busy.add(1);
            Err(Undelivered::Busy(message))
        }
        None => Err(Undelivered::Dead(message)),
    }
}

/// In through the door of the core, from a thread that is not of its engine.
#[cold]
fn inject<L: Letter<Rc<Reactor>> + Send>(
    engine: u8,
    core: usize,
    letter: L,
) -> Result<(), Undelivered<L>> {
    let Some(shared) = roll::find(engine) else { return Err(Undelivered::Dead(letter)) };
    match shared.doors.get(core).and_then(|door| door.get()) {
        None => Err(Undelivered::Dead(letter)),
        Some(door) if door.is_closed() => Err(Undelivered::Dead(letter)),
        Some(door) if door.len() >= shared.settings.fabric_max as usize => {
            Err(Undelivered::Busy(letter))
        }
        Some(door) => {
            door.inject(letter);
            Ok(())
        }
    }
}

/// A message on its way to another core.
struct Parcel<M> {
    to: ServiceId,
    message: M,
}

impl<M: Send + 'static> Letter<Rc<Reactor>> for Parcel<M> {
    #[inline]
    fn open(self, reactor: &Rc<Reactor>) {
        if let Err(undelivered) = deliver(reactor, self.to, self.message) {
            lose(reactor, self.to, undelivered);
        }
    }
}

/// A message that a full mailbox does not refuse.
struct Insisted<M>(Parcel<M>);

impl<M: Send + 'static> Letter<Rc<Reactor>> for Insisted<M> {
    fn open(self, reactor: &Rc<Reactor>) {
        let Parcel { to, message } = self.0;
        if let Err(undelivered) = insist_here(reactor, to, message) {
            lose(reactor, to, undelivered);
        }
    }
}

/// Puts a message in a mailbox of this core, or on its control lane if it is full.
fn insist_here<M: 'static>(
    reactor: &Reactor,
    to: ServiceId,
    message: M,
) -> Result<(), Undelivered<M>> {
    let message = match deliver(reactor, to, message) {
        Err(Undelivered::Full(message)) => message,
        other => return other,
    };
    let door: Option<Rc<dyn Any>> = Services::of(reactor).door(to).map(|door| door as _);
    match door.and_then(|door| door.downcast::<Port<M>>().ok()) {
        Some(port) => {
            port.push_control(Control::Message(message));
            Ok(())
        }
        None => Err(Undelivered::Dead(message)),
    }
}

/// Nobody can be given the message back: its service hears of it if it lives.
#[cold]
fn lose<M: 'static>(reactor: &Reactor, to: ServiceId, undelivered: Undelivered<M>) {
    let door: Option<Rc<dyn Any>> = Services::of(reactor).door(to).map(|door| door as _);
    if let Some(port) = door.and_then(|door| door.downcast::<Port<M>>().ok()) {
        return port.lose(undelivered);
    }
    say_lost(reactor, to, &undelivered);
    Services::of(reactor).give_up(CallError::reason(&undelivered), || {
        guarded(&reactor.metrics, "a lost message panicked", || drop(undelivered));
    });
}

/// Opens a letter on a core, over the lane of messages: full is an answer.
///
/// # Errors
/// The letter: the way is full, or that core has ended.
#[inline]
pub(super) fn message<L: Letter<Rc<Reactor>> + Send>(
    engine: u8,
    core: usize,
    letter: L,
) -> Result<(), Undelivered<L>> {
    let current = Reactor::try_current();
    match way(current.as_ref(), engine, core) {
        Way::Here(reactor) => letter.open(reactor),
        Way::Beside(reactor) => match reactor.fabric.has_room(core) {
            Some(true) => reactor.fabric.send(core, Lane::Message, letter),
            Some(false) => {
                reactor.metrics.fabric_busy.add(1);
                return Err(Undelivered::Busy(letter));
            }
            None => return Err(Undelivered::Dead(letter)),
        },
        Way::Afar => return inject(engine, core, letter),
    }
    Ok(())
}

/// Opens a letter on a core, over the lane that refuses nothing.
///
/// # Errors
/// The letter, when that core has ended.
#[inline]
pub(super) fn control<L: Letter<Rc<Reactor>> + Send>(
    engine: u8,
    core: usize,
    letter: L,
) -> Result<(), L> {
    let current = Reactor::try_current();
    match way(current.as_ref(), engine, core) {
        Way::Here(reactor) => letter.open(reactor),
        Way::Beside(reactor) => {
            if reactor.fabric.has_room(core).is_none() {
                return Err(letter);
            }
            reactor.fabric.send(core, Lane::Control, letter);
        }
        Way::Afar => {
            let Some(shared) = roll::find(engine) else { return Err(letter) };
            let door = shared.doors.get(core).and_then(|door| door.get());
            let Some(door) = door.filter(|door| !door.is_closed()) else { return Err(letter) };
            door.inject(letter);
        }
    }
    Ok(())
}
