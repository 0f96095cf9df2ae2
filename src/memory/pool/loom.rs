//! Detached blocks come home exactly once while the owner provides and fills.

use ::loom::model;
use ::loom::thread;

use super::*;

/// Finds: a pool that does not wait for all that are away, or counts returns wrongly.
#[test]
fn a_block_detached_twice_is_filled_again_when_both_are_home() {
    model(|| {
        let pool = Pool::new(1, 4096, 0);
        assert_eq!(pool.provide(), 1);
        let lease = pool.fill(b"far away").expect("one block");
        let away = [lease.clone(), lease].map(|lease| {
            let far = lease.detach(0..8).unwrap_or_else(|_| panic!("it is a block"));
            thread::spawn(move || assert_eq!(far.as_ref(), b"far away"))
        });
        for _ in 0..2 {
            thread::yield_now();
            pool.provide();
            let Some(lease) = pool.fill(b"anew") else { continue };
            // `received` has asserted that nobody holds the block.
            assert_eq!((pool.lent(), pool.provided()), (1, 0));
            drop(lease.detach(0..4));
        }
        for thread in away {
            thread.join().expect("no panic");
        }
        pool.provide();
        assert_eq!((pool.lent(), pool.provided(), pool.detached()), (0, 1, 0));
    });
}
