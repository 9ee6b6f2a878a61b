//! Decisions of an operator: book goods whose callback was lost, accept or discard a quarantine entry.

use jaego_contracts::ids::{Quantity, Sku};

/// Status of a quarantine entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not judged yet.
    Waiting,
    /// Its goods were booked.
    Accepted,
    /// Nothing was booked for it.
    Discarded,
}

impl Status {
    pub(crate) const ALL: [Self; 3] = [Self::Waiting, Self::Accepted, Self::Discarded];

    /// Name in answers and rows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Discarded => "discarded",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Why an operator's action is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    Cancelled,
    /// More units than the request still lacks.
    MoreThanOpen {
        /// Units that it lacks.
        open: i64,
    },
    /// The entry was judged before.
    Judged(Status),
    /// Delivery and token name different products, and the operator chose none.
    SkuUndecided,
    /// Neither delivery nor token names the chosen product.
    SkuForeign,
    /// Neither the operator nor the delivery states a quantity.
    QuantityMissing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Units ordered.
    pub(crate) quantity: i64,
    /// Units booked so far.
    pub(crate) received: i64,
    pub(crate) is_cancelled: bool,
}

impl Progress {
    /// Units that the request still lacks: 0 if accepted goods exceed the order.
    pub(crate) fn open(self) -> i64 {
        (self.quantity - self.received).max(0)
    }
}

/// Checks whether so many units may be booked for a request whose callback was lost. The tolerance for
/// over-deliveries applies to factories, not to operators.
pub(crate) fn book_by_hand(progress: Progress, units: Quantity) -> Result<(), Rejection> {
    if progress.is_cancelled {
        return Err(Rejection::Cancelled);
    }
    if units.get() > progress.open() {
        return Err(Rejection::MoreThanOpen { open: progress.open() });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) status: Status,
    /// The product of its request.
    pub(crate) asked_for: &'a Sku,
    /// The product that the delivery names, as received.
    pub(crate) claimed: Option<&'a str>,
    /// Units, if the delivery states a usable count.
    pub(crate) quantity: Option<Quantity>,
}

/// The operator's statement of what arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) sku: Option<Sku>,
    pub(crate) quantity: Option<Quantity>,
}

/// Goods to book for an accepted entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acceptance {
    pub(crate) sku: Sku,
    pub(crate) quantity: Quantity,
    /// False for another product, which does not count toward the request.
    pub(crate) counts: bool,
}

/// Decides what accepting the entry books, however much was received before: the goods have arrived.
pub(crate) fn accept(entry: Entry<'_>, choice: Choice) -> Result<Acceptance, Rejection> {
    still_waits(entry.status)?;
    let other = entry.claimed.filter(|claimed| *claimed != entry.asked_for.as_str());
    let sku = match (choice.sku, other) {
        (None, None) => entry.asked_for.clone(),
        (None, Some(_)) => return Err(Rejection::SkuUndecided),
        (Some(sku), other) if sku == *entry.asked_for || other == Some(sku.as_str()) => sku,
        (Some(_), _) => return Err(Rejection::SkuForeign),
    };
    let quantity = choice.quantity.or(entry.quantity).ok_or(Rejection::QuantityMissing)?;
    Ok(Acceptance { counts: sku == *entry.asked_for, sku, quantity })
}

/// Checks whether an entry may be discarded.
pub(crate) fn discard(status: Status) -> Result<(), Rejection> {
    still_waits(status)
}

fn still_waits(status: Status) -> Result<(), Rejection> {
    match status {
        Status::Waiting => Ok(()),
        Status::Accepted | Status::Discarded => Err(Rejection::Judged(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(count: i64) -> Quantity {
        Quantity::try_from(count).expect("quantity")
    }

    fn sku(text: &str) -> Sku {
        text.parse().expect("sku")
    }

    fn progress(received: i64) -> Progress {
        Progress { quantity: 100, received, is_cancelled: false }
    }

    fn chosen(product: Option<&str>, quantity: Option<i64>) -> Choice {
        Choice { sku: product.map(sku), quantity: quantity.map(units) }
    }

    #[test]
    fn by_hand_as_much_is_booked_as_is_open() {
        assert_eq!(book_by_hand(progress(0), units(100)), Ok(()));
        assert_eq!(book_by_hand(progress(0), units(1)), Ok(()));
        assert_eq!(book_by_hand(progress(60), units(40)), Ok(()));
        assert_eq!(book_by_hand(progress(60), units(41)), Err(Rejection::MoreThanOpen { open: 40 }));
        assert_eq!(book_by_hand(progress(100), units(1)), Err(Rejection::MoreThanOpen { open: 0 }));
        // After an accepted over-delivery.
        assert_eq!(book_by_hand(progress(130), units(1)), Err(Rejection::MoreThanOpen { open: 0 }));
    }

    #[test]
    fn nothing_is_booked_by_hand_for_a_cancelled_request() {
        let cancelled = |received| Progress { is_cancelled: true, ..progress(received) };
        assert_eq!(book_by_hand(cancelled(0), units(1)), Err(Rejection::Cancelled));
        assert_eq!(book_by_hand(cancelled(100), units(1)), Err(Rejection::Cancelled));
    }

    #[test]
    fn an_entry_is_judged_once() {
        let asked_for = sku("A");
        let entry = |status| Entry { status, asked_for: &asked_for, claimed: Some("B"), quantity: None };
        for status in [Status::Accepted, Status::Discarded] {
            // This rejection takes precedence over all others.
            assert_eq!(accept(entry(status), Choice::default()), Err(Rejection::Judged(status)));
            assert_eq!(accept(entry(status), chosen(Some("A"), Some(1))), Err(Rejection::Judged(status)));
            assert_eq!(discard(status), Err(Rejection::Judged(status)));
        }
        assert_eq!(discard(Status::Waiting), Ok(()));
    }

    #[test]
    fn the_product_is_chosen_among_the_two_that_are_named() {
        let asked_for = sku("A");
        let accepted = |claimed: Option<&str>, product: Option<&str>| {
            let entry = Entry { status: Status::Waiting, asked_for: &asked_for, claimed, quantity: Some(units(5)) };
            accept(entry, chosen(product, None)).map(|acceptance| (acceptance.sku.to_string(), acceptance.counts))
        };
        let a = Ok(("A".to_owned(), true));
        for (claimed, product) in
            [(None, None), (None, Some("A")), (Some("A"), None), (Some("A"), Some("A")), (Some("B"), Some("A"))]
        {
            assert_eq!(accepted(claimed, product), a, "{claimed:?} {product:?}");
        }
        assert_eq!(accepted(Some("B"), Some("B")), Ok(("B".to_owned(), false)));
        assert_eq!(accepted(Some("B"), None), Err(Rejection::SkuUndecided));
        for (claimed, product) in [(None, "B"), (Some("A"), "B"), (Some("B"), "C"), (Some("no sku at all"), "B")] {
            assert_eq!(accepted(claimed, Some(product)), Err(Rejection::SkuForeign), "{claimed:?} {product}");
        }
        // A name that is not a valid SKU must be decided upon, too.
        assert_eq!(accepted(Some("no sku at all"), None), Err(Rejection::SkuUndecided));
        assert_eq!(accepted(Some("no sku at all"), Some("A")), a);
    }

    #[test]
    fn the_units_are_the_operators_or_else_the_deliverys() {
        let asked_for = sku("A");
        let accepted = |own: Option<i64>, quantity: Option<i64>| {
            let entry =
                Entry { status: Status::Waiting, asked_for: &asked_for, claimed: None, quantity: own.map(units) };
            accept(entry, chosen(None, quantity)).map(|acceptance| acceptance.quantity.get())
        };
        assert_eq!(accepted(Some(5), None), Ok(5));
        assert_eq!(accepted(Some(5), Some(7)), Ok(7));
        assert_eq!(accepted(None, Some(7)), Ok(7));
        assert_eq!(accepted(None, None), Err(Rejection::QuantityMissing));
    }

    #[test]
    fn statuses_are_found_by_their_names() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.name()), Some(status));
        }
        assert_eq!(Status::from_name("other"), None);
    }
}
