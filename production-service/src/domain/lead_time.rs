//! Measured lead time: from acceptance by the factory to the receipt that completes the request.

use std::time::Duration;

/// Measured lead time of a factory in whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadTime {
    /// Median.
    pub p50_s: i64,
    /// 90th percentile.
    pub p90_s: i64,
}

impl LeadTime {
    /// Computed from `samples`, one per request, in any order; None with fewer than `enough`.
    pub fn of(mut samples: Vec<Duration>, enough: usize) -> Option<Self> {
        if samples.len() < enough {
            return None;
        }
        samples.sort_unstable();
        Some(Self { p50_s: percentile(&samples, 50)?, p90_s: percentile(&samples, 90)? })
    }
}

/// Nearest-rank percentile, like PostgreSQL's `percentile_disc`. Rounding to whole seconds keeps the figure stable
/// while samples differ by milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    let sample = sorted.get(rank.checked_sub(1)?)?;
    let seconds = sample.saturating_add(Duration::from_millis(500)).as_secs();
    Some(i64::try_from(seconds).unwrap_or(i64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_seconds(samples: &[u64]) -> Option<(i64, i64)> {
        let samples = samples.iter().copied().map(Duration::from_secs).collect();
        LeadTime::of(samples, 5).map(|lead_time| (lead_time.p50_s, lead_time.p90_s))
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(of_seconds(&[40, 40, 40, 40]), None);
        assert_eq!(of_seconds(&[40, 40, 40, 40, 40]), Some((40, 40)));
        assert_eq!(LeadTime::of(vec![], 0), None);
    }

    #[test]
    fn the_slow_tenth_is_beyond_p90() {
        assert_eq!(of_seconds(&[70, 30, 60, 40, 50]), Some((50, 70)));
        assert_eq!(of_seconds(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1000]), Some((5, 9)));
        assert_eq!(of_seconds(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000]), Some((6, 10)));
    }

    #[test]
    fn seconds_are_the_nearest_and_at_least_one() {
        for (ms, seconds) in [(0, 1), (400, 1), (1_499, 1), (1_500, 2), (40_030, 40), (39_980, 40)] {
            let measured = LeadTime::of(vec![Duration::from_millis(ms); 5], 5);
            assert_eq!(measured, Some(LeadTime { p50_s: seconds, p90_s: seconds }), "{ms} ms");
        }
        let longest = LeadTime::of(vec![Duration::MAX; 5], 5);
        assert_eq!(longest, Some(LeadTime { p50_s: i64::MAX, p90_s: i64::MAX }));
    }

    proptest! {
        #[test]
        fn so_many_samples_are_no_longer_and_no_fewer_would_do(
            samples in proptest::collection::vec(1..100_000_u64, 5..60),
            turn in 0..60_usize,
        ) {
            let (p50, p90) = of_seconds(&samples).expect("enough");
            for (percent, figure) in [(50, p50), (90, p90)] {
                let figure = u64::try_from(figure).expect("positive");
                prop_assert!(samples.contains(&figure));
                let covers = |figure: u64| samples.iter().filter(|sample| **sample <= figure).count() * 100;
                prop_assert!(covers(figure) >= samples.len() * percent);
                prop_assert!(covers(figure - 1) < samples.len() * percent);
            }
            prop_assert!(p50 <= p90);
            let mut turned = samples.clone();
            turned.rotate_left(turn % samples.len());
            prop_assert_eq!(of_seconds(&turned), Some((p50, p90)));
        }
    }
}
