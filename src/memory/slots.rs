//! A bounded table whose keys carry a generation, so that a key outlives its entry harmlessly.
//!
//! ```text
//!   key as u64:   63      56 55          32 31            0
//!                ┌──────────┬──────────────┬──────────────┐
//!                │ 0        │ generation   │ index        │   the driver puts the kind of
//!                └──────────┴──────────────┴──────────────┘   operation into the top byte
//! ```
//!
//! A completion may name an operation that ended long ago. Its slot has then moved on to the next
//! generation, and the lookup misses. Generations begin at 1, so a zeroed token hits nothing; a
//! slot that has used up its last generation retires instead of wrapping, so that no old key hits
//! by accident. A retired slot costs its memory for good: one entry for every 16.7 million uses of
//! a slot, counted by [`Slots::retired`]. It does not count towards the bound.

/// Bits of a generation in a token of 64: the kind takes 8 and the index 32.
pub(crate) const GENERATION_BITS: u32 = 24;

/// A table grows by this many entries at least.
const GROWTH_MIN: usize = 16;

const _: () = assert!(GENERATION_BITS + u32::BITS + u8::BITS == u64::BITS);

/// Names one entry of one table, for as long as that entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A key that misses in every table.
    pub(crate) const NONE: Key = Key::from_u64(0);

    /// The index in the low half, the generation above it; the top byte is 0.
    #[inline]
    pub(crate) const fn to_u64(self) -> u64 {
        (self.generation as u64) << u32::BITS | self.index as u64
    }

    /// What `to_u64` made. Any other number is a key that misses, or names what it says.
    #[inline]
    pub(crate) const fn from_u64(bits: u64) -> Key {
        Key { index: bits as u32, generation: (bits >> u32::BITS) as u32 }
    }

    /// The slot's place in the table, below the greatest number of entries there ever were.
    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }
}

/// A table is at its bound; the value comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full<T>(pub(crate) T);

/// A table of at most `entries_max` values. `BITS` is for the tests, which use up generations.
#[derive(Debug)]
pub(crate) struct Slots<T, const BITS: u32 = GENERATION_BITS> {
    entries: Vec<Entry<T>>,
    /// The slot that is used next: the first of a list through those that were left.
    vacant: u32,
    len: usize,
    entries_max: usize,
    /// The generation that a new slot begins with.
    first: u32,
}

/// All of a slot together, so that a lookup touches one place.
#[derive(Debug)]
struct Entry<T> {
    /// Of the value that is here, or of the next one that comes; 0 in a retired slot.
    generation: u32,
    /// The vacant slot after this one, while this one is vacant.
    next: u32,
    value: Option<T>,
}

/// The end of the list of vacant slots.
const NIL: u32 = u32::MAX;

impl<T, const BITS: u32> Slots<T, BITS> {
    const GENERATION_LAST: u32 = {
        assert!(BITS >= 1 && BITS <= GENERATION_BITS, "a token has no room for the generation");
        u32::MAX >> (u32::BITS - BITS)
    };

    /// An empty table. Memory grows with the entries and is kept.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self::with_first(entries_max, 1)
    }

    /// As [`Slots::new`], with generations from `first` on: keys of a table that was here before
    /// miss, when `first` is beyond its [`Slots::generation_reached`].
    ///
    /// # Panics
    /// When there is no such generation.
    pub(crate) fn with_first(entries_max: usize, first: u32) -> Self {
        assert!(0 < first && first <= Self::GENERATION_LAST, "generation {first} of a slot");
        Slots { entries: Vec::new(), vacant: NIL, len: 0, entries_max, first }
    }

    /// No key has a later generation than this.
    pub(crate) fn generation_reached(&self) -> u32 {
        // A retired slot has used all.
        let reached = |entry: &Entry<T>| match entry.generation {
            0 => Self::GENERATION_LAST,
            generation => generation,
        };
        self.entries.iter().map(reached).max().unwrap_or(self.first)
    }

    /// Adds a value. `Full` when there are `entries_max` already.
    pub(crate) fn insert(&mut self, value: T) -> Result<Key, Full<T>> {
        let Some(key) = self.vacant_key() else { return Err(Full(value)) };
        if let Some(entry) = self.entries.get_mut(key.index as usize) {
            self.vacant = entry.next;
            entry.value = Some(value);
        } else {
            self.make_room();
            let entry = Entry { generation: key.generation, next: NIL, value: Some(value) };
            self.entries.push(entry);
        }
        self.len += 1;
        Ok(key)
    }

    /// Grows by a quarter where the default would double: what many idle connections cost is half
    /// table otherwise.
    fn make_room(&mut self) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact((self.entries.len() / 4).max(GROWTH_MIN));
        }
    }

    /// The key that the next `insert` will give, for values that hold their own; `None` when full.
    pub(crate) fn vacant_key(&self) -> Option<Key> {
        if self.len >= self.entries_max {
            return None;
        }
        if let Some(entry) = self.entries.get(self.vacant as usize) {
            return Some(Key { index: self.vacant, generation: entry.generation });
        }
        let index = u32::try_from(self.entries.len()).ok().filter(|&index| index != NIL)?;
        Some(Key { index, generation: self.first })
    }

    /// The entry of `key`; `None` when it was removed, or is of another table's making.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    /// As [`Slots::get`].
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the entry out. `key` misses from now on.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        self.len -= 1;
        if key.generation == Self::GENERATION_LAST {
            entry.generation = 0;
        } else {
            entry.generation = key.generation + 1;
            entry.next = std::mem::replace(&mut self.vacant, key.index);
        }
        Some(value)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[cfg(test)]
    pub(crate) fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// Slots that have used up their generations.
    #[cfg(test)]
    pub(crate) fn retired(&self) -> usize {
        self.entries.iter().filter(|entry| entry.generation == 0).count()
    }

    /// The entry in the slot of this index, for who goes through all of them a few at a time.
    pub(crate) fn at(&self, index: usize) -> Option<&T> {
        self.entries.get(index)?.value.as_ref()
    }

    /// The indices of all entries are below this.
    pub(crate) fn reach(&self) -> usize {
        self.entries.len()
    }

    /// All entries in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().enumerate().filter_map(|(slot, entry)| {
            let value = entry.value.as_ref()?;
            Some((Key { index: slot as u32, generation: entry.generation }, value))
        })
    }

    /// As [`Slots::iter`].
    #[cfg(test)]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let value = entry.value.as_mut()?;
            Some((Key { index: slot as u32, generation: entry.generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three generations a slot: 1, 2, 3.
    type Tiny<T> = Slots<T, 2>;

    #[test]
    fn a_stale_key_misses() {
        let mut slots = <Slots<_>>::new(4);
        let old = slots.insert("old").expect("room");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new").expect("room");
        assert_eq!(old.index(), new.index(), "the slot is used again");
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
    }

    #[test]
    fn a_zeroed_or_made_up_key_misses() {
        let mut slots = <Slots<_>>::new(4);
        let key = slots.insert(7).expect("room");
        assert_eq!(slots.get(Key::from_u64(0)), None);
        assert_eq!(slots.get(Key::from_u64(u64::MAX)), None);
        assert_eq!(slots.get(Key { index: 0, generation: key.generation + 1 }), None);
        assert_eq!(slots.get(Key { index: 1, generation: 1 }), None);
    }

    #[test]
    fn a_full_table_gives_the_value_back() {
        let mut slots = <Slots<_>>::new(2);
        let first = slots.insert('a').expect("room");
        slots.insert('b').expect("room");
        assert_eq!(slots.insert('c'), Err(Full('c')));
        assert_eq!(slots.vacant_key(), None);
        slots.remove(first);
        assert!(slots.insert('c').is_ok());
        assert_eq!(<Slots<_>>::new(0).insert('d'), Err(Full('d')));
    }

    #[test]
    fn a_key_fits_under_the_kind_and_comes_back_whole() {
        let last = Key { index: u32::MAX, generation: Slots::<()>::GENERATION_LAST };
        assert_eq!(last.to_u64(), u64::MAX >> 8, "the top byte is free");
        assert_eq!(Key::from_u64(last.to_u64()), last);
        let first = Key { index: 0, generation: 1 };
        assert_eq!(Key::from_u64(first.to_u64()), first);
    }

    #[test]
    fn a_slot_at_its_last_generation_retires() {
        let mut slots = Tiny::new(1);
        let mut old = Vec::new();
        for use_ in 0..10 {
            let announced = slots.vacant_key().expect("a retired slot does not fill the table");
            let key = slots.insert(use_).expect("as announced");
            assert_eq!(key, announced);
            assert_eq!(slots.insert(99), Err(Full(99)));
            assert!(old.iter().all(|&stale| slots.get(stale).is_none()));
            assert_eq!(slots.get(key), Some(&use_));
            assert_eq!(slots.remove(key), Some(use_));
            assert_eq!(slots.remove(key), None);
            assert!(!old.contains(&key), "no key is given twice");
            old.push(key);
        }
        assert_eq!((slots.retired(), slots.len()), (3, 0));
        assert_eq!(slots.iter().count(), 0);
        assert_eq!(old[9], Key { index: 3, generation: 1 });
    }

    #[test]
    fn a_retired_slot_hits_for_no_generation() {
        let mut slots = Slots::<_, 1>::new(1);
        let key = slots.insert(()).expect("room");
        slots.remove(key);
        for generation in 0..4 {
            let key = Key { index: 0, generation };
            assert_eq!(slots.get(key), None);
            assert_eq!(slots.remove(key), None);
        }
        assert!(slots.is_empty());
    }

    #[test]
    fn entries_are_listed_with_keys_that_hit() {
        let mut slots = Tiny::new(8);
        let keys: Vec<_> = (0..5).map(|n| slots.insert(n).expect("room")).collect();
        slots.remove(keys[1]);
        slots.remove(keys[3]);
        slots.insert(9).expect("room");
        for (_, value) in slots.iter_mut() {
            *value *= 10;
        }
        let listed: Vec<_> = slots.iter().map(|(key, &value)| (key, value)).collect();
        assert_eq!(listed.iter().map(|&(_, value)| value).collect::<Vec<_>>(), [0, 20, 90, 40]);
        assert!(listed.iter().all(|&(key, value)| slots.get(key) == Some(&value)));
        assert_eq!((slots.len(), slots.entries_max()), (4, 8));
    }
}
