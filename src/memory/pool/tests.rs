//! What leases, detached leases and the buffer ring keep.

use super::*;

fn pool(blocks: u32) -> Pool {
    let pool = Pool::new(blocks, 4096, blocks / 2);
    assert_eq!(pool.provide(), blocks);
    pool
}

#[test]
fn a_block_goes_home_with_its_last_lease() {
    let pool = pool(2);
    let lease = pool.fill(b"hello").expect("two blocks are provided");
    let second = lease.clone();
    assert_eq!(second.bytes(), b"hello");
    assert_eq!((pool.lent(), pool.provided()), (1, 1));
    drop(lease);
    assert_eq!(pool.provide(), 0, "one lease is left");
    drop(second);
    assert_eq!(pool.lent(), 0);
    assert_eq!(pool.provide(), 1);
}

#[test]
fn bytes_are_changed_only_under_their_one_lease() {
    let pool = pool(2);
    let mut lease = pool.fill(b"secret").expect("two blocks are provided");
    lease.bytes_mut().expect("the only lease")[..2].copy_from_slice(b"SE");
    let second = lease.clone();
    assert!(lease.bytes_mut().is_none(), "another lease reads them");
    let Ok(detached) = second.detach(0..6) else { panic!("it lies in a block") };
    assert!(lease.bytes_mut().is_none(), "another thread may read them");
    assert_eq!((lease.bytes(), detached.as_ref()), (&b"SEcret"[..], &b"SEcret"[..]));
}

#[test]
fn an_empty_ring_refuses_and_recovers() {
    let pool = pool(2);
    let a = pool.fill(b"a").expect("the first block");
    let b = pool.fill(b"b").expect("the second block");
    assert!(pool.fill(b"c").is_none());
    assert!(pool.is_over_quota());
    drop((a, b));
    assert_eq!(pool.provide(), 2);
    assert!(!pool.is_over_quota());
    assert_eq!(pool.fill(b"c").expect("home again").bytes(), b"c");
}

#[test]
fn a_pool_lent_to_its_quota_still_feeds_the_starved() {
    for quota in 0..=4 {
        let pool = Pool::new(4, 4096, quota);
        pool.provide();
        let mut held = Vec::new();
        while let Some(lease) = pool.fill(b"x") {
            if !pool.is_over_quota() {
                held.push(lease);
            } else if pool.provided() == 0 {
                break;
            } else {
                drop(lease);
                break;
            }
        }
        pool.provide();
        assert!(pool.provided() > 0 && pool.is_replenished(), "quota {quota}");
        assert_eq!(held.len(), quota.min(3) as usize);
    }
}

#[test]
fn blocks_survive_many_rounds_in_order() {
    let pool = pool(4);
    for round in 0..200_000u32 {
        let lease = pool.fill(&round.to_le_bytes()).expect("one block at a time is out");
        assert_eq!(lease.bytes(), round.to_le_bytes());
        drop(lease);
        pool.provide();
    }
}

#[test]
fn a_detached_block_comes_home_from_another_thread() {
    let pool = pool(2);
    let lease = pool.fill(b"far away").expect("a block");
    let near = lease.clone();
    let far = lease.detach(4..8).unwrap_or_else(|_| panic!("it is a block"));
    std::thread::spawn(move || assert_eq!(far.as_ref(), b"away")).join().expect("no panic");
    drop(near);
    assert_eq!(pool.lent(), 1, "not home before the pool looks");
    pool.provide();
    assert_eq!((pool.lent(), pool.provided()), (0, 2));
}

#[test]
fn leases_outlive_their_pool() {
    let pool = pool(2);
    let lease = pool.fill(b"still here").expect("a block");
    let far = lease.clone().detach(0..5).unwrap_or_else(|_| panic!("it is a block"));
    drop(pool);
    assert_eq!(lease.bytes(), b"still here");
    drop(lease);
    assert_eq!(far.as_ref(), b"still");
}

#[test]
fn a_detached_lease_keeps_the_bytes_but_not_the_pool() {
    let pool = pool(2);
    let ended = Rc::downgrade(&pool.0);
    let near = pool.fill(b"far away").expect("a block");
    let far = near.clone().detach(4..8).unwrap_or_else(|_| panic!("it is a block"));
    drop((pool, near));
    assert!(ended.upgrade().is_none(), "nobody would ever take it back");
    assert_eq!(far.as_ref(), b"away");
}

#[test]
fn a_heap_lease_yields_its_buffer_when_it_is_the_last() {
    let lease = Lease::heap(b"heap".to_vec());
    let second = lease.clone();
    let lease = lease.into_heap().expect_err("two leases");
    drop(second);
    assert_eq!(lease.into_heap().unwrap_or_else(|_| panic!("one lease")), b"heap");
    let lease = Lease::heap(b"x".to_vec()).detach(0..1).err().expect("not a block");
    assert_eq!(lease.bytes(), b"x");
}

#[cfg(debug_assertions)]
#[test]
fn a_returned_block_is_poisoned() {
    let pool = pool(1);
    let lease = pool.fill(b"secret").expect("a block");
    let at = lease.bytes().as_ptr();
    drop(lease);
    // SAFETY: the pool is alive and the block is home: nobody writes it.
    let bytes = unsafe { std::slice::from_raw_parts(at, 6) };
    assert_eq!(bytes, [POISON; 6]);
}
