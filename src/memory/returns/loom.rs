//! Blocks come home exactly once, and nobody reads them then.

use ::loom::model;
use ::loom::thread;

use super::*;
use crate::memory::sync::{Arc, UnsafeCell};

/// Finds: any ordering of `give_back` and `collect` relaxed (the two loads aside), and `next` read
/// after the count is taken.
#[test]
fn all_holds_come_home_and_the_owner_may_write_then() {
    model(|| {
        // The cell stands for the bytes of block 0: loom finds a write amid reads.
        let shared = Arc::new((Returns::new(2), UnsafeCell::new(0)));
        let giver = |ids: &'static [u16]| {
            let shared = shared.clone();
            thread::spawn(move || {
                for &id in ids {
                    if id == 0 {
                        shared.1.with(|_| "read");
                    }
                    shared.0.give_back(id);
                }
            })
        };
        let givers = [giver(&[0, 1]), giver(&[1, 0])];
        let mut counts = [0; 2];
        let mut collect = || {
            shared.0.collect(|id, count| {
                assert!(count > 0, "what is on the list has a count");
                counts[usize::from(id)] += count;
            });
            if counts[0] == 2 {
                shared.1.with_mut(|_| "written");
            }
            counts
        };
        collect();
        thread::yield_now();
        collect();
        for giver in givers {
            giver.join().expect("no panic");
        }
        assert_eq!(collect(), [2, 2]);
    });
}
