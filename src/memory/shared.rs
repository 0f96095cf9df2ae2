//! A user's shared buffer while the engine holds it.

use std::cell::Cell;
use std::mem;
use std::ops::Deref;

use bytes::{Buf, Bytes};

use crate::guard::caught;

/// A user's `Bytes`. Dropping the last of it may run what a user wrote (`Bytes::from_owner`), and
/// the engine drops it wherever that comes: amid its own accounts, several in a row, or while
/// another panic unwinds. So a panic ends here and is counted for [`take_panics`].
#[derive(Debug)]
pub(super) struct Shared(Bytes);

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// How many buffers have panicked on this thread when they were dropped, since the last call.
#[inline]
pub(crate) fn take_panics() -> u32 {
    PANICS.take()
}

impl Shared {
    pub(super) fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}

impl From<Bytes> for Shared {
    fn from(bytes: Bytes) -> Shared {
        Shared(bytes)
    }
}

impl Deref for Shared {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.0);
        if caught("a payload panicked while it was dropped", || drop(bytes)).is_none() {
            PANICS.set(PANICS.get() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl AsRef<[u8]> for Bomb {
        fn as_ref(&self) -> &[u8] {
            b"tick"
        }
    }

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb goes off");
        }
    }

    #[test]
    fn many_may_panic_in_a_row_and_while_a_panic_unwinds() {
        let bombs =
            || -> Vec<Shared> { (0..3).map(|_| Shared::from(Bytes::from_owner(Bomb))).collect() };
        drop(bombs());
        assert_eq!(take_panics(), 3);
        let unwound = caught("expected", || {
            let _bombs = bombs();
            panic!("and they drop while it unwinds");
        });
        assert_eq!((unwound, take_panics()), (None::<()>, 3));
    }

    #[test]
    fn a_panic_comes_with_the_last_of_a_buffer() {
        let kept = Bytes::from_owner(Bomb);
        drop(Shared::from(kept.slice(1..)));
        assert_eq!(take_panics(), 0);
        let mut last = Shared::from(kept);
        last.advance(2);
        assert_eq!(last[..], *b"ck");
        drop(last);
        assert_eq!(take_panics(), 1);
    }
}
