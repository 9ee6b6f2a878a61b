//! Limits set by the operators of an installation.

/// Limits of what is booked and kept without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Over-delivery that is still booked, percent of the quantity ordered.
    pub(crate) over_delivery_tolerance_percent: i64,
    /// Maximum quarantine entries per token.
    pub(crate) quarantine_per_token_max: i64,
}

impl Policy {
    /// Maximum units ever booked for a request of `quantity`, rounded down.
    pub(crate) fn receivable_max(self, quantity: i64) -> i64 {
        quantity + quantity * self.over_delivery_tolerance_percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_unit_is_not_tolerated() {
        let policy = Policy { over_delivery_tolerance_percent: 10, quarantine_per_token_max: 20 };
        assert_eq!([9, 10, 19, 1_000_000].map(|quantity| policy.receivable_max(quantity)), [9, 11, 20, 1_100_000]);
    }
}
