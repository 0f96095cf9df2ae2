use super::super::seeds::{Seeds, seeds};
use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(ns: u64) -> Now {
    Now::from_nanos(ns)
}

#[test]
fn the_last_of_a_burst_passes_and_the_next_is_refused_until_its_nanosecond() {
    let mut rate = Rate::new(Limit::per_second(3, 5));
    for _ in 0..5 {
        rate.take(at(7), 1).expect("within the burst");
    }
    let wait = rate.take(at(7), 1).expect_err("one over the burst").duration().expect("soon");
    assert_eq!(wait.as_nanos(), 333_333_334, "a third of a second, rounded up");
    assert!(rate.take(at(7 + 333_333_333), 1).is_err(), "a nanosecond early");
    rate.take(at(7 + 333_333_334), 1).expect("in time");
    assert!(rate.take(at(7 + 333_333_334), 1).is_err(), "that was one");
}

#[test]
fn a_third_of_a_second_does_not_drift() {
    let mut rate = Rate::new(Limit::per_second(3, 1));
    let mut now = at(0);
    for n in 0..300_000u64 {
        rate.take(now, 1).expect("one each time it is due");
        let wait = rate.take(now, 1).expect_err("one at a time").duration().expect("soon");
        now = now + wait;
        // Rounded up each time to a whole nanosecond, and not one more.
        assert!(now.as_nanos() - (n + 1) * SECOND / 3 <= n + 1);
    }
    // Asked ever so often in between, what comes in a span is what the rate says.
    let mut rate = Rate::new(Limit::per_second(3, 1));
    let mut taken = 0;
    for tick in 0..=7_000u64 {
        taken += u64::from(rate.take(at(tick * SECOND / 1000), 1).is_ok());
    }
    assert!((20..=22).contains(&taken), "{taken} in 7 s at 3 a second");
}

#[test]
fn a_cost_counts_in_full_and_more_than_the_burst_is_never_allowed() {
    let mut rate = Rate::new(Limit::per_second(10, 4));
    assert_eq!(rate.take(at(0), 5), Err(RetryAfter(None)));
    assert_eq!(rate.take(at(0), u32::MAX), Err(RetryAfter(None)));
    rate.take(at(0), 4).expect("all of the burst");
    rate.take(at(0), 0).expect("nothing costs nothing");
    let wait = rate.take(at(0), 2).expect_err("empty").duration();
    assert_eq!(wait, Some(Duration::from_millis(200)));
    assert!(rate.take(at(SECOND / 5 - 1), 2).is_err());
    rate.take(at(SECOND / 5), 2).expect("two came back");
}

#[test]
fn time_may_leap_to_its_end_or_go_back() {
    for limit in [Limit::per_second(u32::MAX, u32::MAX), Limit::per_second(1, u32::MAX)] {
        let mut rate = Rate::new(limit);
        rate.take(at(0), u32::MAX).expect("the largest burst");
        assert!(rate.take(at(0), 1).is_err());
        rate.take(at(u64::MAX), u32::MAX).expect("all came back");
        assert!(rate.take(at(u64::MAX), 1).is_err());
    }
    let mut rate = Rate::new(Limit::per_second(1, 1));
    rate.take(at(10 * SECOND), 1).expect("full");
    let wait = rate.take(at(3 * SECOND), 1).expect_err("the past gives nothing").duration();
    assert_eq!(wait, Some(Duration::from_secs(8)), "counted from what the caller takes for now");
    assert!(rate.take(at(11 * SECOND - 1), 1).is_err());
    rate.take(at(11 * SECOND), 1).expect("the time that went back was not given twice");
}

#[test]
fn zeros_mean_no_limit_and_a_burst_of_one_second() {
    let mut free = Rate::new(Limit::per_second(0, 7));
    for _ in 0..1000 {
        free.take(at(0), u32::MAX).expect("no limit");
    }
    let mut rate = Rate::new(Limit::per_second(7, 0));
    rate.take(at(0), 7).expect("as many as the rate");
    assert!(rate.take(at(0), 1).is_err());
}

#[test]
fn a_limit_may_last_for_584_years_and_not_longer() {
    let _last = Limit::new(1, Duration::from_nanos(u64::MAX), 1);
    for (period, burst) in [(Duration::MAX, 1), (Duration::from_nanos(u64::MAX), 2)] {
        assert!(std::panic::catch_unwind(|| Limit::new(1, period, burst)).is_err());
    }
    assert!(std::panic::catch_unwind(|| Limit::new(1, Duration::ZERO, 1)).is_err());
}

/// The same bucket by the definition: every span since the first take had at most the burst and
/// what the span brought.
#[test]
fn no_span_ever_has_more_than_its_burst_and_its_share() {
    for seed in seeds(200) {
        let mut random = Seeds::new(seed);
        let count = 1 + random.below(1000) as u32;
        let period = 1 + random.below(SECOND);
        let burst = 1 + random.below(50) as u32;
        let limit = Limit::new(count, Duration::from_nanos(period), burst);
        let mut bucket = Bucket::FULL;
        let mut now = random.below(1 << 40);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for _ in 0..300 {
            now += random.below(2 * period / u64::from(count) + 2);
            let cost = random.below(u64::from(burst) + 2) as u32;
            let before = bucket;
            match bucket.take(&limit, at(now), cost) {
                Ok(()) => taken.push((now, u64::from(cost))),
                Err(refused) => {
                    assert_eq!(bucket, before, "seed {seed}: what is refused changes nothing");
                    let Some(wait) = refused.duration() else {
                        assert!(cost > burst, "seed {seed}");
                        continue;
                    };
                    let due = at(now) + wait;
                    let mut early = bucket;
                    let before_due = at(due.as_nanos() - 1);
                    assert!(early.take(&limit, before_due, cost).is_err(), "seed {seed}");
                    assert!(early.take(&limit, due, cost).is_ok(), "seed {seed}");
                }
            }
            let mut sum = 0u128;
            for (then, cost) in taken.iter().rev() {
                sum += u128::from(*cost);
                let span = u128::from(now - then);
                let share = span * u128::from(count);
                let most = u128::from(burst) * u128::from(period) + share;
                assert!(sum * u128::from(period) <= most, "seed {seed}");
            }
        }
    }
}
