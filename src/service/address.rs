//! Where messages go: 64 bits that name one service for ever.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::error::Error;
use crate::memory::slots::{GENERATION_BITS, Key};

/// Bits of a place among a core's services.
const SLOT_BITS: u32 = 24;
/// Services that one core can hold.
pub(crate) const SERVICES_MAX: usize = 1 << SLOT_BITS;

const GENERATION_SHIFT: u32 = SLOT_BITS;
const CORE_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS;
const ENGINE_SHIFT: u32 = CORE_SHIFT + u8::BITS;
const _: () = assert!(ENGINE_SHIFT + u8::BITS == u64::BITS);

/// Names one service among all that live in this process, whatever messages it takes.
///
/// ```text
///   63     56 55     48 47          24 23           0
///  ┌─────────┬─────────┬──────────────┬──────────────┐
///  │ engine  │ core    │ generation   │ slot         │
///  └─────────┴─────────┴──────────────┴──────────────┘
/// ```
/// A name is not given twice: a slot that is used again has another generation, and one that has
/// used up its generations retires. `{}` prints core and slot, short enough for a log (`1:2a`);
/// `{:#}` prints all of it (`:010100000300002a`), which [`FromStr`] reads again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(NonZeroU64);

impl ServiceId {
    /// `engine` is 1 at least, so that the bits are never zero.
    pub(super) fn new(engine: u8, core: usize, key: Key) -> ServiceId {
        let core = u8::try_from(core).expect("an engine has 256 cores at most");
        debug_assert!((key.index() as usize) < SERVICES_MAX);
        let generation = key.to_u64() >> u32::BITS;
        let bits = u64::from(engine) << ENGINE_SHIFT
            | u64::from(core) << CORE_SHIFT
            | generation << GENERATION_SHIFT
            | u64::from(key.index());
        ServiceId(NonZeroU64::new(bits).expect("the engine's number is not zero"))
    }

    /// What [`ServiceId::bits`] gave.
    pub(super) fn from_bits(bits: u64) -> Option<ServiceId> {
        NonZeroU64::new(bits).map(ServiceId)
    }

    /// Its core's place in the engine, from 0.
    #[inline]
    pub fn core(self) -> usize {
        usize::from((self.0.get() >> CORE_SHIFT) as u8)
    }

    #[inline]
    pub(crate) fn engine(self) -> u8 {
        (self.0.get() >> ENGINE_SHIFT) as u8
    }

    /// All 64 bits; the highest eight are not zero.
    pub(super) fn bits(self) -> u64 {
        self.0.get()
    }

    #[inline]
    pub(super) fn key(self) -> Key {
        let bits = self.0.get();
        let generation = bits >> GENERATION_SHIFT & ((1 << GENERATION_BITS) - 1);
        let slot = bits & ((1 << SLOT_BITS) - 1);
        Key::from_u64(generation << u32::BITS | slot)
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            write!(f, ":{:016x}", self.0)
        } else {
            write!(f, "{}:{:x}", self.core(), self.key().index())
        }
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceId({self:#})")
    }
}

/// The text is no service's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError(());

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a service's full name is a colon and 16 hexadecimal digits")
    }
}

impl std::error::Error for ParseIdError {}

impl From<ParseIdError> for Error {
    fn from(error: ParseIdError) -> Error {
        Error::Other(error.into())
    }
}

impl FromStr for ServiceId {
    type Err = ParseIdError;

    /// Reads what `{:#}` prints.
    fn from_str(text: &str) -> Result<ServiceId, ParseIdError> {
        let digits = text.strip_prefix(':').filter(|digits| {
            digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        let bits = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        bits.and_then(NonZeroU64::new).map(ServiceId).ok_or(ParseIdError(()))
    }
}

/// Where messages of a type go: a service on some core. 64 bits, `Copy`, and `Send` for every `M`.
///
/// It may outlive its service. Then sending gives the message back, or the call errs; it never
/// reaches another service.
///
/// Two services of a type have addresses that compare, hash and print; `Address::id` forgets the
/// type:
///
/// ```
/// # use skyring::prelude::*;
/// # struct Room;
/// # impl Service for Room {
/// #     type Message = ();
/// #     async fn handle(&mut self, _: (), _: &Context<Self>) -> Result<()> { Ok(()) }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// use std::collections::HashMap;
///
/// let (chess, go) = (service::spawn(Room)?, service::spawn(Room)?);
/// let names = HashMap::from([(chess, "chess"), (go, "go")]);
/// assert_eq!(names[&go], "go");
/// assert_eq!(format!("{:#}", go.id()).parse(), Ok(go.id()));
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
pub struct Address<M> {
    id: ServiceId,
    takes: PhantomData<fn(M)>,
}

impl<M> Address<M> {
    pub(super) fn new(id: ServiceId) -> Address<M> {
        Address { id, takes: PhantomData }
    }

    /// The service's name without the type of its messages.
    #[inline]
    pub fn id(self) -> ServiceId {
        self.id
    }

    /// Its core's place in the engine, from 0.
    #[inline]
    pub fn core(self) -> usize {
        self.id.core()
    }
}

impl<M> From<Address<M>> for ServiceId {
    fn from(address: Address<M>) -> ServiceId {
        address.id
    }
}

// By hand: derives would ask the same of `M`.
impl<M> Clone for Address<M> {
    fn clone(&self) -> Address<M> {
        *self
    }
}

impl<M> Copy for Address<M> {}

impl<M> PartialEq for Address<M> {
    fn eq(&self, other: &Address<M>) -> bool {
        self.id == other.id
    }
}

impl<M> Eq for Address<M> {}

impl<M> PartialOrd for Address<M> {
    fn partial_cmp(&self, other: &Address<M>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Address<M> {
    fn cmp(&self, other: &Address<M>) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl<M> Hash for Address<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<M> fmt::Display for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:#})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(engine: u8, core: usize, generation: u64, slot: u64) -> ServiceId {
        ServiceId::new(engine, core, Key::from_u64(generation << u32::BITS | slot))
    }

    #[test]
    fn an_address_keeps_its_parts_at_their_limits() {
        let (last_slot, last_generation) = ((1 << 24) - 1, (1 << 24) - 1);
        for (engine, core) in [(1, 0), (255, 255), (1, 255), (255, 0)] {
            for (generation, slot) in [(1, 0), (last_generation, last_slot), (1, last_slot)] {
                let id = id(engine, core, generation, slot);
                assert_eq!((id.engine(), id.core()), (engine, core));
                assert_eq!(id.key(), Key::from_u64(generation << u32::BITS | slot));
            }
        }
        assert_eq!(size_of::<Option<Address<Vec<u8>>>>(), 8);
    }

    #[test]
    fn it_prints_in_short_and_in_full_and_is_read_again() {
        let id = id(1, 2, 3, 0x2a);
        assert_eq!(id.to_string(), "2:2a");
        assert_eq!(format!("{id:#}"), ":010200000300002a");
        assert_eq!(format!("{id:#}").parse(), Ok(id));
        for bad in ["", ":", "2:2a", "010200000300002a", ":010200000300002", ":0102000003000+2a"] {
            assert!(bad.parse::<ServiceId>().is_err(), "{bad}");
        }
        assert!(":0000000000000000".parse::<ServiceId>().is_err());
    }

    #[test]
    fn an_address_may_leave_the_core_whatever_its_messages_are() {
        fn is_send<T: Send + Sync + Copy>() {}
        is_send::<Address<std::rc::Rc<()>>>();
    }
}
