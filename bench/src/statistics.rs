//! The median and the range of a few measurements.

use serde::{Deserialize, Serialize};

/// Median and range of the values of several turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Summarizes these values; all zeros if there are none.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) };
        Self { median, min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }

    /// Summarizes the ratios, turn by turn: adjacent turns ran under the same conditions.
    pub fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Self {
        let ratios: Vec<f64> = numerators
            .iter()
            .zip(denominators)
            .filter(|(_, denominator)| **denominator > 0.0)
            .map(|(a, b)| a / b)
            .collect();
        Self::of(&ratios)
    }
}

/// The smallest value that at least this share (0 to 1) of the values does not exceed.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short list"
    )]
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// A count as a floating point number.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub fn figure(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_minimum_and_maximum() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 2.0]), Spread { median: 3.0, min: 2.0, max: 4.0 });
        assert_eq!(Spread::of(&[]), Spread { median: 0.0, min: 0.0, max: 0.0 });
        assert_eq!(Spread::of_ratios(&[10.0, 30.0], &[5.0, 10.0]), Spread { median: 2.5, min: 2.0, max: 3.0 });
    }

    #[test]
    fn percentiles_are_measured_values() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let of = |values: &[f64]| format!("{} {}", percentile(values, 0.5), percentile(values, 0.99));
        assert_eq!(of(&values), "50 99");
        assert_eq!(of(&[7.0]), "7 7");
        assert_eq!(of(&[]), "0 0");
    }
}
