//! The fabric between cores that are turned by hand, in the simulated kernel.

use std::cell::RefCell;

use super::*;
use crate::config::Config;
use crate::driver::Driver;
use crate::driver::sim::{Faults, Kernel, World};
use crate::memory::pool::Pool;
use crate::reactor::number::Number;

const SLOTS: usize = 4;
const OUTBOX: usize = 3;
/// What a sender may have under way.
const BOUND: usize = SLOTS + OUTBOX;

thread_local! {
    /// What was opened: on which core, over which lane, which number.
    static OPENED: RefCell<Vec<(usize, Lane, usize)>> = const { RefCell::new(Vec::new()) };
}

struct Numbered(Lane, usize);

impl Letter<Rc<Reactor>> for Numbered {
    fn open(self, reactor: &Rc<Reactor>) {
        OPENED.with_borrow_mut(|opened| opened.push((reactor.index, self.0, self.1)));
    }
}

/// Opens with a panic, and counts nothing.
struct Bad;

impl Letter<Rc<Reactor>> for Bad {
    fn open(self, _: &Rc<Reactor>) {
        panic!("a bad letter");
    }
}

/// The cores of an engine.
fn cores(count: usize) -> Vec<Rc<Reactor>> {
    OPENED.take();
    let config = Config::new().cores(count).fabric_slots(SLOTS as u32).fabric_max(OUTBOX as u32);
    let shared = Arc::new(Shared::new(
        Number::take().expect("there is one"),
        config.resolve().expect("a valid configuration"),
    ));
    let world = World::new(1, Faults::default());
    let core = |index| {
        let pool = Pool::new(2, 4096, 1);
        let kernel = Driver::Sim(Box::new(Kernel::new(&world, pool.clone())));
        Reactor::new(index, shared.clone(), kernel, pool)
    };
    (0..count).map(core).collect()
}

fn turn(core: &Rc<Reactor>) {
    core.enter(|| core.turn()).expect("a simulated enter does not fail");
}

fn control(from: &Reactor, to: usize, n: usize) {
    from.fabric.send(to, Lane::Control, Numbered(Lane::Control, n));
}

/// Sends a message if it is taken.
fn try_send(from: &Reactor, to: usize, n: usize) -> bool {
    let taken = from.fabric.has_room(to).expect("it lives");
    if taken {
        from.fabric.send(to, Lane::Message, Numbered(Lane::Message, n));
    }
    taken
}

/// What core `at` has opened, in order.
fn opened(at: usize, lane: Lane) -> Vec<usize> {
    let opened = OPENED.with_borrow(Vec::clone);
    opened
        .into_iter()
        .filter(|&(core, over, _)| (core, over) == (at, lane))
        .map(|at| at.2)
        .collect()
}

fn waiting(core: &Reactor, to: usize) -> (usize, usize) {
    let queue = core.fabric.queues().find(|queue| queue.to == to).expect("a peer");
    assert_eq!(queue.from, core.index);
    (queue.messages, queue.control)
}

#[test]
fn the_last_message_within_the_bound_is_taken_and_the_next_is_not() {
    let cores = cores(2);
    for n in 0..BOUND {
        assert_eq!(waiting(&cores[0], 1), (n, 0));
        assert!(try_send(&cores[0], 1, n), "message {n} of {BOUND}");
    }
    assert!(!try_send(&cores[0], 1, BOUND));
    turn(&cores[0]);
    assert!(!try_send(&cores[0], 1, BOUND), "the other core has taken nothing");
    assert_eq!(cores[0].metrics.fabric_spilled.value(), OUTBOX as u64);
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Message), (0..SLOTS).collect::<Vec<_>>());
    assert_eq!(waiting(&cores[0], 1), (OUTBOX, 0));
    assert!(!try_send(&cores[0], 1, BOUND), "order: first what has spilled");
    turn(&cores[0]);
    assert!(try_send(&cores[0], 1, BOUND));
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Message), (0..=BOUND).collect::<Vec<_>>());
    assert_eq!(waiting(&cores[0], 1), (0, 0));
}

#[test]
fn bursts_above_the_bound_arrive_in_order_without_what_was_refused() {
    let cores = cores(2);
    let mut sent = Vec::new();
    for n in 0..1000 {
        if try_send(&cores[0], 1, n) {
            sent.push(n);
        }
        if n % 13 == 0 {
            turn(&cores[0]);
        }
        if n % 29 == 0 {
            turn(&cores[1]);
        }
    }
    (0..3).for_each(|_| cores.iter().for_each(turn));
    assert!(sent.len() > BOUND && sent.len() < 1000, "{} of 1000", sent.len());
    assert_eq!(opened(1, Lane::Message), sent);
}

#[test]
fn the_control_lane_is_not_refused_and_not_behind_messages() {
    let cores = cores(2);
    while try_send(&cores[0], 1, 0) {}
    // More than its ring has slots for, too.
    (0..1000).for_each(|n| control(&cores[0], 1, n));
    assert_eq!(waiting(&cores[0], 1), (BOUND, 1000));
    turn(&cores[1]);
    let first = OPENED.with_borrow(|opened| opened.iter().position(|at| at.1 == Lane::Message));
    assert!(first.expect("messages came") > 200, "a ring of control letters came first");
    (0..8).for_each(|_| cores.iter().for_each(turn));
    assert_eq!(opened(1, Lane::Control), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_core_that_never_turns_stops_nobody() {
    let cores = cores(3);
    for n in 0..1000 {
        try_send(&cores[0], 1, n);
        assert!(try_send(&cores[0], 2, n), "core 2 turns");
        turn(&cores[0]);
        turn(&cores[2]);
    }
    assert_eq!(opened(2, Lane::Message), (0..1000).collect::<Vec<_>>());
    assert_eq!(waiting(&cores[0], 1), (BOUND, 0));
    assert_eq!(waiting(&cores[0], 2), (0, 0));
    assert_eq!(cores[0].metrics.turns.value(), 1000);
}

#[test]
fn three_cores_that_flood_each_other_in_a_circle_go_on() {
    let cores = cores(3);
    let mut sent = [0; 3];
    for _ in 0..200 {
        for (at, core) in cores.iter().enumerate() {
            // Each floods the next until it is refused, at every turn.
            while try_send(core, (at + 1) % 3, sent[at]) {
                sent[at] += 1;
            }
            turn(core);
        }
    }
    for (at, &sent) in sent.iter().enumerate() {
        let opened = opened((at + 1) % 3, Lane::Message);
        assert!(opened.len() > 200 * (SLOTS - 1), "{} of {sent}", opened.len());
        assert_eq!(opened, (0..opened.len()).collect::<Vec<_>>());
    }
}

#[test]
fn all_peers_have_their_turn_whatever_one_sends() {
    let cores = cores(3);
    for n in 0..50 {
        while try_send(&cores[1], 0, n) {}
        assert!(try_send(&cores[2], 0, 1000 + n));
        cores.iter().rev().for_each(turn);
        turn(&cores[0]);
        assert!(opened(0, Lane::Message).contains(&(1000 + n)));
    }
}

#[test]
fn the_first_letter_of_a_turn_is_shown_at_once_and_the_others_in_runs() {
    let cores = cores(2);
    let last = SHOWN_AT_ONCE;
    control(&cores[0], 1, 0);
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), [0]);
    (1..last).for_each(|n| control(&cores[0], 1, n));
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), [0], "one less than a run is hidden");
    control(&cores[0], 1, last);
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), Vec::from_iter(0..=last));
    control(&cores[0], 1, last + 1);
    turn(&cores[0]);
    control(&cores[0], 1, last + 2);
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), Vec::from_iter(0..=last + 2), "the turn shows the rest");
}

#[test]
fn an_answer_behind_a_message_of_its_turn_is_shown_at_once_too() {
    let cores = cores(2);
    for n in 0..3 {
        assert!(try_send(&cores[0], 1, n));
        control(&cores[0], 1, n);
        turn(&cores[1]);
        assert_eq!(opened(1, Lane::Control), Vec::from_iter(0..=n));
        turn(&cores[0]);
    }
}

#[test]
fn the_lane_beside_one_that_is_stuck_is_shown_at_once() {
    let cores = cores(2);
    while try_send(&cores[0], 1, 0) {}
    turn(&cores[0]);
    control(&cores[0], 1, 7);
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), [7]);
}

#[test]
fn a_core_that_ends_shows_what_it_has_sent() {
    let cores = cores(2);
    (0..3).for_each(|n| control(&cores[0], 1, n));
    cores[0].enter(|| cores[0].close_doors());
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), [0, 1, 2]);
    let bells = cores[0].metrics.bells.value();
    assert_eq!(bells, 1, "a core that sleeps hears of it");
}

/// Says on core 0 that it is gone.
struct Kept(usize);

impl Letter<Rc<Reactor>> for Kept {
    fn open(self, _: &Rc<Reactor>) {}
}

impl Drop for Kept {
    fn drop(&mut self) {
        OPENED.with_borrow_mut(|opened| opened.push((0, Lane::Control, self.0)));
    }
}

#[test]
fn what_was_hidden_from_a_core_that_has_ended_is_dropped_by_the_end_of_the_turn() {
    let cores = cores(2);
    (0..5).for_each(|n| cores[0].fabric.send(1, Lane::Control, Kept(n)));
    cores[1].enter(|| cores[1].close_doors());
    assert_eq!(opened(0, Lane::Control), [0], "the first was shown");
    turn(&cores[0]);
    let mut dropped = opened(0, Lane::Control);
    dropped.sort_unstable();
    assert_eq!(dropped, [0, 1, 2, 3, 4]);
    assert_eq!(waiting(&cores[0], 1), (0, 0));
}

#[test]
fn a_core_that_has_ended_takes_nothing() {
    let cores = cores(2);
    assert!(try_send(&cores[0], 1, 0));
    cores[1].enter(|| cores[1].close_doors());
    assert_eq!(cores[0].fabric.has_room(1), None);
    assert!(opened(1, Lane::Message).is_empty());
    turn(&cores[0]);
}

#[test]
fn a_letter_that_panics_takes_no_other_with_it() {
    let cores = cores(2);
    control(&cores[0], 1, 0);
    cores[0].fabric.send(1, Lane::Control, Bad);
    control(&cores[0], 1, 1);
    turn(&cores[0]);
    turn(&cores[1]);
    assert_eq!(opened(1, Lane::Control), [0, 1]);
    assert_eq!(cores[1].metrics.panics.value(), 1);
}
