//! Invariants of the breaker under random calls, and one complete life cycle.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Breaker, BreakerRules, Position, Tally, Wanting, share_out};

const RULES: BreakerRules = BreakerRules {
    failures_in_a_row: 3,
    failure_share: 0.5,
    window: Duration::from_secs(10),
    window_calls_min: 8,
    open: Duration::from_secs(1),
    open_max: Duration::from_secs(5),
};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Results in order; true means answered.
fn tally(calls: &[bool]) -> Tally {
    let mut tally = Tally::default();
    for answered in calls {
        tally.count((!answered).then(|| "no answer".to_owned()));
    }
    tally
}

#[test]
fn opens_probes_and_closes() {
    let breaker = Breaker::closed(at(0)).observe(&tally(&[true, false, false]), at(1), &RULES);
    assert_eq!((breaker.position, breaker.room(2, 8, at(1))), (Position::Closed, 6));
    let open = breaker.observe(&tally(&[false]), at(2), &RULES);
    assert_eq!((open.position, open.opened_at, open.probe_at), (Position::Open, Some(at(2)), Some(at(3))));
    assert_eq!((open.room(0, 8, at(2)), open.room(0, 8, at(3)), open.room(1, 8, at(3))), (0, 1, 0));
    assert_eq!(open.last_error.as_deref(), Some("no answer"));
    // A call from before the breaker opened fails as well: no change.
    assert_eq!(open.observe(&tally(&[false]), at(3), &RULES), open);

    let mut probing = open.called(at(3), &RULES);
    assert_eq!((probing.position, probing.room(0, 8, at(9)), probing.room(1, 8, at(9))), (Position::HalfOpen, 1, 0));
    assert_eq!(probing.room(0, 8, at(3)), 0, "its end may not have been told yet");
    for wait in [2, 4, 5, 5] {
        let again = probing.observe(&tally(&[false]), at(10), &RULES);
        assert_eq!(
            (again.position, again.probe_at, again.opened_at),
            (Position::Open, Some(at(10 + wait)), Some(at(2)))
        );
        probing = again.called(at(10), &RULES);
    }
    let closed = probing.observe(&tally(&[true]), at(20), &RULES);
    assert_eq!(closed, Breaker::closed(at(20)));
}

#[test]
fn a_factory_that_fails_now_and_then_is_left_alone_when_that_is_too_often() {
    let half = [true, false, true, false, true, false];
    let breaker = Breaker::closed(at(0)).observe(&tally(&half), at(1), &RULES);
    assert_eq!(breaker.position, Position::Closed, "too few calls to say");
    assert_eq!(breaker.observe(&tally(&[true, false]), at(2), &RULES).position, Position::Open);
    let later = breaker.observe(&tally(&[true, false]), at(12), &RULES);
    assert_eq!((later.position, later.window_calls), (Position::Closed, 2), "another window");
    assert_eq!(breaker.observe(&tally(&[true, true]), at(2), &RULES).position, Position::Closed);
}

#[test]
fn requests_are_given_up_on_evidence_and_not_by_time_alone() {
    let whole = Duration::from_secs(60);
    let open = Breaker::closed(at(0)).observe(&tally(&[false; 3]), at(100), &RULES);
    assert_eq!(open.gives_up_begun_by(whole), None);
    let early = open.called(at(101), &RULES).observe(&tally(&[false]), at(159), &RULES);
    assert_eq!(early.gives_up_begun_by(whole), None, "the factory has not been away for long enough");
    let probed = open.called(at(101), &RULES).observe(&tally(&[false]), at(170), &RULES);
    assert_eq!(probed.gives_up_begun_by(whole), Some(at(110)), "who came later still waits");
    assert_eq!(probed.called(at(171), &RULES).observe(&tally(&[true]), at(999), &RULES).gives_up_begun_by(whole), None);
    // A schedule without retries: one failed probe is enough.
    assert_eq!(probed.gives_up_begun_by(Duration::ZERO), Some(at(170)));
}

/// Free places; calls in flight and room of each factory; places given to each.
type Sharing = (u32, &'static [(u32, u32)], &'static [u32]);

fn wanting(pairs: &[(u32, u32)]) -> Vec<Wanting> {
    pairs.iter().map(|(in_flight, room)| Wanting { in_flight: *in_flight, room: *room }).collect()
}

#[test]
fn places_are_shared_out_fairly() {
    let cases: [Sharing; 8] = [
        (10, &[], &[]),
        (0, &[(0, 5), (0, 5)], &[0, 0]),
        (10, &[(0, 100), (0, 3)], &[7, 3]),
        (10, &[(0, 2), (0, 3)], &[2, 3]),
        (3, &[(0, 9), (0, 9), (0, 9), (0, 9)], &[1, 1, 1, 0]),
        // A factory with nothing in flight comes before those with many calls, whatever the order.
        (3, &[(8, 9), (8, 9), (0, 9)], &[0, 0, 3]),
        (6, &[(2, 9), (4, 9), (0, 9)], &[2, 0, 4]),
        (6, &[(2, 0), (4, 9), (0, 1)], &[0, 5, 1]),
    ];
    for (free, pairs, given) in cases {
        assert_eq!(share_out(free, &wanting(pairs)), given, "{free} among {pairs:?}");
    }
}

proptest! {
    #[test]
    fn all_that_can_be_shared_is_shared(
        free in 0..50_u32, pairs in proptest::collection::vec((0..20_u32, 0..20_u32), 0..8),
    ) {
        let all = wanting(&pairs);
        let given = share_out(free, &all);
        prop_assert_eq!(given.iter().sum::<u32>(), free.min(all.iter().map(|one| one.room).sum()));
        prop_assert!(given.iter().zip(&all).all(|(given, one)| *given <= one.room));
        // A factory that got a place has at most one call more than any factory with unmet demand.
        let had = |index: usize| all[index].in_flight + given[index];
        let in_vain = (0..all.len()).filter(|index| given[*index] < all[*index].room).map(had).min();
        let got = (0..all.len()).filter(|index| given[*index] > 0).map(had).max();
        prop_assert!(in_vain.zip(got).is_none_or(|(in_vain, got)| got <= in_vain + 1));
    }

    #[test]
    fn whatever_calls_do(steps in proptest::collection::vec((0..4_u64, proptest::collection::vec(any::<bool>(), 0..5), any::<bool>()), 1..80)) {
        let mut now = at(0);
        let mut breaker = Breaker::closed(now);
        for (passed, calls, claims) in steps {
            now += Duration::from_secs(passed);
            let before = breaker.clone();
            breaker = breaker.observe(&tally(&calls), now, &RULES);
            let is_closed = breaker.position == Position::Closed;
            prop_assert_eq!(is_closed, breaker.opened_at.is_none());
            prop_assert_eq!(is_closed, breaker.probe_at.is_none());
            // An answer closes the breaker; only failures open it.
            if before.position != Position::Closed && calls.contains(&true) {
                prop_assert!(is_closed);
            }
            if before.position == Position::Closed && !is_closed {
                prop_assert!(calls.contains(&false));
            }
            // While closed, consecutive failures stay below the limit. Otherwise there is one call at a time, and the
            // next one is allowed within `open_max`.
            if is_closed {
                prop_assert!(breaker.failures_in_a_row < RULES.failures_in_a_row);
                prop_assert_eq!(breaker.room(3, 8, now), 5);
            } else {
                prop_assert!(breaker.room(0, 8, now) <= 1 && breaker.room(1, 8, now) == 0);
                prop_assert_eq!(breaker.room(0, 8, now + RULES.open_max), 1);
            }
            if let Some(begun_by) = breaker.gives_up_begun_by(Duration::from_secs(7)) {
                prop_assert!(breaker.opened_at.is_some_and(|opened_at| opened_at <= begun_by));
                prop_assert!(begun_by + Duration::from_secs(7) <= now);
            }
            if claims && breaker.room(0, 8, now) > 0 {
                breaker = breaker.called(now, &RULES);
                prop_assert!(breaker.position != Position::Open);
            }
        }
        // Requests of a factory that stays away are given up in bounded time.
        for _ in 0..=RULES.failures_in_a_row {
            breaker = breaker.observe(&tally(&[false]), now, &RULES).called(now, &RULES);
        }
        now += Duration::from_secs(60) + RULES.open_max;
        breaker = breaker.observe(&tally(&[false]), now, &RULES);
        prop_assert!(breaker.gives_up_begun_by(Duration::from_secs(60)).is_some());
    }
}
