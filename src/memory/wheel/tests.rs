use super::*;
use std::collections::BTreeMap;

/// SplitMix64 (Steele, Lea and Flood 2014): enough for tests, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A span of any magnitude up to 2^bits.
    fn span(&mut self, bits: u64) -> u64 {
        let magnitude = self.below(bits);
        self.below(2 << magnitude)
    }
}

fn drain<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<T> {
    std::iter::from_fn(|| wheel.pop_expired(now)).collect()
}

/// The wheel beside a sorted map of (deadline, order of insertion).
struct Pair {
    wheel: Wheel<u64>,
    model: BTreeMap<(u64, u64), TimerKey>,
    now: u64,
    inserted: u64,
    dead: Vec<TimerKey>,
}

impl Pair {
    fn new(now: u64) -> Pair {
        Pair { wheel: Wheel::new(now), model: BTreeMap::new(), now, inserted: 0, dead: Vec::new() }
    }

    fn insert(&mut self, deadline: u64) {
        self.inserted += 1;
        let key = self.wheel.insert(deadline, self.inserted);
        self.model.insert((deadline.max(self.now), self.inserted), key);
    }

    fn cancel_nth(&mut self, n: u64) {
        let Some((&entry, &key)) = self.model.iter().nth(n as usize) else { return };
        assert_eq!(self.wheel.cancel(key), Some(entry.1));
        self.model.remove(&entry);
        self.dead.push(key);
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        while let Some(entry) = self.model.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, value), key) = entry.remove_entry();
            assert_eq!(self.wheel.pop_expired(now), Some(value), "in order, at {now}");
            self.dead.push(key);
        }
        assert_eq!(self.wheel.pop_expired(now), None, "none early, at {now}");
    }

    fn check(&mut self) {
        assert_eq!(self.wheel.len(), self.model.len());
        let first = self.model.first_key_value().map(|(&(deadline, _), _)| deadline);
        match (self.wheel.next_deadline(), first) {
            (None, None) => {}
            (Some(bound), Some(first)) => {
                assert!(bound <= first, "never later: {bound} for {first}");
                let exact = first / SLOTS as u64 == self.now / SLOTS as u64;
                assert!(!exact || bound == first, "exact in the round: {bound} for {first}");
                assert!(bound >= self.now, "no wake-up in the past: {bound} at {}", self.now);
            }
            (bound, first) => panic!("{bound:?} for {first:?}"),
        }
        for key in self.dead.drain(..) {
            assert_eq!(self.wheel.cancel(key), None, "a dead timer's key misses");
        }
    }
}

#[test]
fn the_wheel_does_as_a_sorted_map_does() {
    for seed in 1..=24 {
        println!("seed {seed}");
        let mut random = Random(seed);
        // Jumps from a few ticks to centuries, by seed.
        let bits = [4, 8, 14, 20, 40, 57][seed as usize % 6];
        let start = random.span(50);
        let mut pair = Pair::new(start);
        for _ in 0..4_000 {
            match random.below(16) {
                0..8 => pair.insert(pair.now + random.span(bits)),
                8 => pair.insert(pair.now.saturating_sub(random.span(bits))),
                9..12 => pair.cancel_nth(random.below(pair.model.len() as u64 + 1)),
                12 => pair.advance(pair.now + random.span(bits)),
                13 => pair.advance(pair.wheel.next_deadline().unwrap_or(pair.now)),
                _ => pair.advance(pair.now + random.below(3)),
            }
            pair.check();
        }
        pair.advance(u64::MAX);
        assert!(pair.wheel.is_empty());
    }
}

#[test]
fn following_next_deadline_reaches_each_timer_on_its_tick_in_few_steps() {
    let deadlines =
        [0, 1, 63, 64, 65, 4_095, 4_096, 1 << 36, (1 << 36) + 1, u64::MAX - 1, u64::MAX];
    for deadline in deadlines {
        let mut wheel = Wheel::new(0);
        wheel.insert(deadline, ());
        let mut steps = 0;
        let fired_at = loop {
            let now = wheel.next_deadline().expect("the timer is armed");
            if wheel.pop_expired(now).is_some() {
                break now;
            }
            steps += 1;
        };
        assert_eq!(fired_at, deadline);
        assert!(steps < LEVELS, "{steps} moves for {deadline}");
    }
}

#[test]
fn a_deadline_in_the_past_fires_at_once() {
    let mut wheel = Wheel::new(1_000);
    wheel.insert(3, "past");
    wheel.insert(1_000, "now");
    wheel.insert(0, "past too");
    wheel.insert(1_001, "next");
    assert_eq!(wheel.next_deadline(), Some(1_000));
    assert_eq!(drain(&mut wheel, 1_000), ["past", "now", "past too"]);
    // A clock that goes back is taken for one that stands still.
    wheel.insert(0, "past again");
    assert_eq!(drain(&mut wheel, 0), ["past again"]);
    assert_eq!(drain(&mut wheel, 1_001), ["next"]);
}

#[test]
fn timers_of_one_tick_fire_in_the_order_of_insertion_whatever_level_they_came_from() {
    let mut wheel = Wheel::new(0);
    for (now, name) in [(0, 'a'), (4_000, 'b'), (4_097, 'c'), (4_170, 'd'), (4_199, 'e')] {
        assert_eq!(wheel.pop_expired(now), None);
        wheel.insert(4_200, name);
        wheel.insert(4_201, name);
    }
    assert_eq!(String::from_iter(drain(&mut wheel, 9_999)), "abcdeabcde");
}

#[test]
fn a_timer_is_cancelled_in_every_state() {
    let mut wheel = Wheel::new(0);
    let keys = [10, 10, 10, 100, 5_000].map(|deadline| wheel.insert(deadline, deadline));
    assert_eq!(wheel.cancel(keys[4]), Some(5_000), "far off");
    assert_eq!(wheel.cancel(keys[1]), Some(10), "in the middle of a list");
    assert_eq!(wheel.pop_expired(70), Some(10), "the first of the tick");
    assert_eq!(wheel.cancel(keys[0]), None, "fired");
    assert_eq!(wheel.cancel(keys[2]), Some(10), "due but not yet fired");
    assert_eq!(wheel.cancel(keys[2]), None, "cancelled before");
    assert_eq!(wheel.pop_expired(70), None);
    assert_eq!(wheel.cancel(keys[3]), Some(100), "after it moved to a lower level");
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    let again = wheel.insert(80, 80);
    assert!(keys.iter().all(|&key| wheel.cancel(key).is_none()), "slots are used again, keys not");
    assert_eq!(wheel.cancel(again), Some(80));
}

#[test]
fn a_hundred_thousand_timers_fire_in_time_and_reuse_their_memory() {
    let mut random = Random(7);
    let mut wheel = Wheel::new(0);
    let mut capacity = 0;
    for round in 0..3 {
        let base = round * 100_000;
        for _ in 0..100_000 {
            let deadline = base + 1 + random.below(60_000);
            wheel.insert(deadline, deadline);
        }
        let mut fired = 0;
        for now in base..=base + 60_000 {
            while let Some(deadline) = wheel.pop_expired(now) {
                assert_eq!(deadline, now, "a turn on each tick fires each timer on its own");
                fired += 1;
            }
        }
        assert_eq!((fired, wheel.len()), (100_000, 0));
        assert!(round == 0 || wheel.nodes.capacity() == capacity, "no growth after round one");
        capacity = wheel.nodes.capacity();
    }
}

#[test]
fn ticks_round_the_deadline_up_and_now_down() {
    let [micro, milli] = [Duration::from_micros(1), Duration::from_millis(1)];
    assert_eq!(tick_at(milli - micro), 0);
    assert_eq!(tick_at(milli), 1);
    assert_eq!(tick_after(Duration::ZERO, Duration::ZERO), 0);
    assert_eq!(tick_after(milli, Duration::ZERO), 1);
    assert_eq!(tick_after(milli, milli), 2);
    assert_eq!(tick_after(milli + micro, milli), 3);
    assert_eq!(tick_after(Duration::MAX, Duration::MAX), u64::MAX);
    assert_eq!(tick_at(Duration::MAX), u64::MAX);
    let (now, delay) = (Duration::from_nanos(12_345_678), Duration::from_nanos(7_654_321));
    let fires = Duration::from_millis(tick_after(now, delay));
    assert!(fires >= now + delay && fires - (now + delay) < milli);
}
