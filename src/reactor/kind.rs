//! What a core may be busy with, by name: a number for each name, so that a core publishes what it
//! runs by one store.
//!
//! ```text
//!   spawn ─▶ the core's Cache: address of the name ─▶ Kind      no lock, no allocation
//!               └─ not seen on this core yet ─▶ Kinds of the engine: a lock
//! ```
//! Names are static texts of the program, so there are no more kinds than the program has types and
//! places that spawn.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Reactor;

/// Characters of a name that are kept; a type with many parameters fills pages.
const NAME_CHARS_MAX: usize = 120;
/// Names of one engine; those that come later are all [`Kind::TASK`].
const KINDS_MAX: usize = u16::MAX as usize;

/// A name of what runs on a core. Of one engine: another one has other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u16);

/// The names that every engine has, in the order of the constants.
const FIXED: [&str; 7] = [
    "the reactor itself",
    "completions of operations",
    "work from other threads",
    "timers",
    "output at the end of a turn",
    "a task",
    "what came from other cores",
];

impl Kind {
    pub(crate) const REACTOR: Kind = Kind(0);
    pub(crate) const COMPLETIONS: Kind = Kind(1);
    pub(crate) const INBOX: Kind = Kind(2);
    pub(crate) const TIMERS: Kind = Kind(3);
    pub(crate) const OUTPUT: Kind = Kind(4);
    /// Some task; and whatever is one name too many.
    pub(crate) const TASK: Kind = Kind(5);
    pub(crate) const FABRIC: Kind = Kind(6);

    /// The kind of this name, such as `std::any::type_name::<S>()`; it prints without the paths of
    /// its modules. For what is spawned, not for each poll: a look in the core's cache.
    pub(crate) fn of(reactor: &Reactor, name: &'static str) -> Kind {
        let place = (name.as_ptr() as usize, name.len());
        reactor.kinds.find(place, || reactor.shared.intern(name))
    }

    /// The kind of the tasks that are spawned at this place of the program.
    pub(crate) fn spawned_at(reactor: &Reactor, location: &'static Location<'static>) -> Kind {
        // No name is that long, so no name's place is the same.
        let place = (std::ptr::from_ref(location) as usize, usize::MAX);
        reactor.kinds.find(place, || {
            let (file, line) = (location.file(), location.line());
            reactor.shared.kinds.intern(&format!("a task spawned at {file}:{line}"), false)
        })
    }

    #[inline]
    pub(super) fn to_u16(self) -> u16 {
        self.0
    }

    #[inline]
    pub(super) fn from_u16(number: u16) -> Kind {
        Kind(number)
    }
}

/// The kinds that a core has met, by where their names lie. A name that the compiler has put in two
/// places has two entries here, and one kind.
#[derive(Default)]
pub(super) struct Cache(RefCell<HashMap<(usize, usize), Kind>>);

impl Cache {
    fn find(&self, place: (usize, usize), intern: impl FnOnce() -> Kind) -> Kind {
        *self.0.borrow_mut().entry(place).or_insert_with(intern)
    }
}

/// The names of one engine. A core asks once for each name.
pub(crate) struct Kinds(Mutex<Table>);

struct Table {
    by_name: HashMap<String, Kind>,
    /// As they are printed, by number.
    names: Vec<String>,
}

impl Default for Kinds {
    fn default() -> Kinds {
        let mut table = Table { by_name: HashMap::new(), names: Vec::new() };
        FIXED.iter().for_each(|name| _ = table.add(name, (*name).to_owned()));
        Kinds(Mutex::new(table))
    }
}

impl Kinds {
    /// The kind of a name; `is_type`: it prints in its short form.
    pub(super) fn intern(&self, name: &str, is_type: bool) -> Kind {
        let mut table = self.lock();
        if let Some(kind) = table.by_name.get(name) {
            return *kind;
        }
        let printed = if is_type { short(name) } else { name.to_owned() };
        table.add(name, printed)
    }

    /// The name as it is printed.
    pub(super) fn name(&self, kind: Kind) -> String {
        let table = self.lock();
        table.names.get(usize::from(kind.0)).map_or_else(|| FIXED[5].to_owned(), Clone::clone)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, name: &str, printed: String) -> Kind {
        let Some(number) = u16::try_from(self.names.len()).ok().filter(|_| self.has_room()) else {
            return Kind::TASK;
        };
        self.names.push(printed);
        self.by_name.insert(name.to_owned(), Kind(number));
        Kind(number)
    }

    fn has_room(&self) -> bool {
        self.names.len() < KINDS_MAX
    }
}

/// A type's name without the paths of modules: `my::room::Room<my::Chat>` is `Room<Chat>`. A part
/// that names itself poorly, such as `{{closure}}`, keeps the part before it.
fn short(name: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || "_:{}#".contains(c);
    let mut text = String::new();
    let mut rest = name;
    while !rest.is_empty() {
        let path = &rest[..rest.find(|c| !is_path(c)).unwrap_or(rest.len())];
        text.push_str(&last_part(path));
        rest = &rest[path.len()..];
        let others = rest.find(is_path).unwrap_or(rest.len());
        text.push_str(&rest[..others]);
        rest = &rest[others..];
    }
    if let Some((end, _)) = text.char_indices().nth(NAME_CHARS_MAX) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn last_part(path: &str) -> Cow<'_, str> {
    let mut parts = path.rsplit("::");
    let last = parts.next().unwrap_or(path);
    let before = parts.find(|part| !part.starts_with('{')).filter(|part| !part.is_empty());
    // `Room<Chat>::Message`: what comes before the path is a part of it.
    let joint = if path.starts_with("::") { "::" } else { "" };
    match before {
        Some(before) if last.starts_with('{') => format!("{joint}{before}::{last}").into(),
        _ if !joint.is_empty() => format!("{joint}{last}").into(),
        _ => last.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_loses_its_modules_and_nothing_else() {
        let cases = [
            ("", ""),
            ("u8", "u8"),
            ("Room", "Room"),
            ("my::room::Room", "Room"),
            ("my::mod::Room<a::B>", "Room<B>"),
            ("a::Pair<b::C, d::E<f::G>>", "Pair<C, E<G>>"),
            ("alloc::boxed::Box<dyn my::Game + core::marker::Send>", "Box<dyn Game + Send>"),
            ("&mut [a::B; 3]", "&mut [B; 3]"),
            ("(a::B, &'static str)", "(B, &'static str)"),
            ("fn(a::B) -> c::D", "fn(B) -> D"),
            ("my::serve::{{closure}}", "serve::{{closure}}"),
            ("my::serve::{{closure}}::{{closure}}", "serve::{{closure}}"),
            ("a::Room<b::C>::join::{{closure}}", "Room<C>::join::{{closure}}"),
            ("a::Room<b::C>::d::Message", "Room<C>::Message"),
            ("größe::Raum<ü::Öl>", "Raum<Öl>"),
        ];
        for (name, printed) in cases {
            assert_eq!(short(name), printed, "{name}");
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = short(&format!("a::Big<{}>", "ü::Öl, ".repeat(1000)));
        assert_eq!(name.chars().count(), NAME_CHARS_MAX + 3);
        assert!(name.starts_with("Big<Öl, Öl") && name.ends_with("..."));
        assert_eq!(short(&"x".repeat(NAME_CHARS_MAX)).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn a_name_has_one_number_and_too_many_share_one() {
        let kinds = Kinds::default();
        assert_eq!(kinds.intern("a task", false), Kind::TASK);
        assert_eq!(kinds.name(Kind::OUTPUT), "output at the end of a turn");
        let first = kinds.intern("a::Room", true);
        assert_eq!(kinds.intern("a::Room", true), first);
        let other = kinds.intern("b::Room", true);
        assert_ne!(other, first);
        assert_eq!((kinds.name(first), kinds.name(other)), ("Room".into(), "Room".into()));
        let taken = kinds.lock().names.len();
        for n in taken..KINDS_MAX {
            assert_ne!(kinds.intern(&n.to_string(), false), Kind::TASK, "{n}");
        }
        assert_eq!(kinds.intern("one too many", false), Kind::TASK);
        assert_eq!(kinds.intern("a::Room", true), first);
        assert_eq!(kinds.name(Kind(u16::MAX)), "a task");
    }
}
