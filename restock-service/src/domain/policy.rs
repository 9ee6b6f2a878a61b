//! What the operators of an installation have settled.

/// Bounds of what is booked and kept without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How much more than asked for is still booked, percent of the quantity asked for.
    pub(crate) over_delivery_tolerance_percent: i64,
    /// Most quarantine entries for one token.
    pub(crate) quarantine_per_token_max: i64,
}

impl Policy {
    /// Most units that are ever booked for a request of `quantity`; the fraction of a unit is not.
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
