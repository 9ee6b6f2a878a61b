//! The decision about a delivery: the table of the callback's contract as one function.

use jaego_contracts::ids::Quantity;

use super::delivery::{Delivery, Fault};
use super::policy::Policy;

/// Why a delivery, or a part of it, waits for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Product or factory differ from the order.
    Mismatch,
    /// The count is missing or invalid.
    InvalidCount,
    /// It may be a repetition or a new delivery; the service never guesses.
    AmbiguousDelivery,
    /// The whole order had been delivered already.
    NothingOpen,
    /// The token had expired.
    Expired,
    /// The request had been cancelled.
    Cancelled,
    /// Units beyond the order and the tolerance; the rest was booked.
    OverDelivery,
    /// The body is unreadable.
    UnreadableBody,
    /// The store refused it for good.
    Lost,
}

impl Reason {
    pub(crate) const ALL: [Self; 9] = [
        Self::Mismatch,
        Self::InvalidCount,
        Self::AmbiguousDelivery,
        Self::NothingOpen,
        Self::Expired,
        Self::Cancelled,
        Self::OverDelivery,
        Self::UnreadableBody,
        Self::Lost,
    ];

    /// Name in answers, rows and metrics.
    pub(crate) const fn slug(self) -> &'static str {
        match self {
            Self::Mismatch => "callback-mismatch",
            Self::InvalidCount => "invalid-count",
            Self::AmbiguousDelivery => "ambiguous-delivery",
            Self::NothingOpen => "nothing-open",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::OverDelivery => "over-delivery",
            Self::UnreadableBody => "unreadable-body",
            Self::Lost => "lost",
        }
    }

    pub(crate) fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.slug() == slug)
    }
}

/// The state of a delivery's request, and what is known about this very delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// Units ordered.
    pub(crate) quantity: i64,
    /// Units booked so far, by all tokens of the request.
    pub(crate) received: i64,
    pub(crate) is_cancelled: bool,
    /// The first delivery with this identity (its name within its request, or its token), not counting faulty ones.
    pub(crate) first: Option<First>,
    /// Reason of the quarantine entry of this very delivery (equal in everything that counts), if there is one.
    pub(crate) quarantined: Option<Reason>,
    /// Number of quarantine entries of the token.
    pub(crate) quarantine_entries: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First {
    /// Units as reported.
    pub(crate) count: Quantity,
    pub(crate) outcome: FirstOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstOutcome {
    Received {
        /// True if it delivered all that the request still lacked.
        completed: bool,
    },
    Quarantined(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Book `quantity` units and keep `excess` units, which may be 0, for an operator.
    Receive {
        /// Units to book.
        quantity: Quantity,
        /// Units beyond what is open and tolerated.
        excess: i64,
        /// True if nothing is open afterwards.
        completes: bool,
    },
    /// A repetition of the first delivery: give the same answer.
    Duplicate,
    /// Keep it for an operator.
    Quarantine(Reason),
    /// It is in the quarantine already: give the same answer.
    AlreadyQuarantined(Reason),
    /// It would have to be quarantined, but its token has too many entries.
    Refuse,
}

/// Decides a delivery. The caller holds the request's row locked, so that the state cannot change in between.
pub(crate) fn decide(state: &RequestState, delivery: &Delivery, policy: Policy) -> Decision {
    let decision = judge(state, delivery, policy);
    let keeps = matches!(decision, Decision::Quarantine(_) | Decision::Receive { excess: 1.., .. });
    if keeps && state.quarantine_entries >= policy.quarantine_per_token_max { Decision::Refuse } else { decision }
}

fn judge(state: &RequestState, delivery: &Delivery, policy: Policy) -> Decision {
    if let Some(reason) = state.quarantined {
        return Decision::AlreadyQuarantined(reason);
    }
    let count = match delivery.content {
        Ok(count) => count,
        Err(Fault::OtherProduct | Fault::OtherFactory) => return Decision::Quarantine(Reason::Mismatch),
        Err(Fault::Count(_)) => return Decision::Quarantine(Reason::InvalidCount),
        Err(Fault::Unreadable) => return Decision::Quarantine(Reason::UnreadableBody),
    };
    if let Some(first) = state.first {
        return judge_again(state, first, delivery.has_id, count, policy);
    }
    if delivery.is_lost {
        return Decision::Quarantine(Reason::Lost);
    }
    let open = state.quantity - state.received;
    if open <= 0 {
        return Decision::Quarantine(Reason::NothingOpen);
    }
    if delivery.is_expired {
        return Decision::Quarantine(Reason::Expired);
    }
    if state.is_cancelled {
        return Decision::Quarantine(Reason::Cancelled);
    }
    if fits(state, count, policy) {
        return Decision::Receive { quantity: count, excess: 0, completes: count.get() >= open };
    }
    // Only the open units are booked: the tolerance is for deliveries that stay within it.
    match Quantity::try_from(open) {
        Ok(quantity) => Decision::Receive { quantity, excess: count.get() - open, completes: true },
        // A request never lacks more than can be ordered at once; if it did, an operator should look.
        Err(_) => Decision::Quarantine(Reason::OverDelivery),
    }
}

/// Judges a delivery whose identity was seen before.
fn judge_again(state: &RequestState, first: First, has_id: bool, count: Quantity, policy: Policy) -> Decision {
    if count != first.count {
        return Decision::Quarantine(Reason::AmbiguousDelivery);
    }
    match first.outcome {
        FirstOutcome::Quarantined(reason) => Decision::AlreadyQuarantined(reason),
        // Without a name, a second part of the same size looks exactly like a repetition of the first.
        FirstOutcome::Received { completed } if !has_id && !completed && fits(state, count, policy) => {
            Decision::Quarantine(Reason::AmbiguousDelivery)
        }
        FirstOutcome::Received { .. } => Decision::Duplicate,
    }
}

fn fits(state: &RequestState, count: Quantity, policy: Policy) -> bool {
    state.received < state.quantity && state.received + count.get() <= policy.receivable_max(state.quantity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::CountFault;

    const STRICT: Policy = Policy { over_delivery_tolerance_percent: 0, quarantine_per_token_max: 20 };

    fn units(count: i64) -> Quantity {
        Quantity::try_from(count).expect("quantity")
    }

    fn state(received: i64) -> RequestState {
        RequestState {
            quantity: 100,
            received,
            is_cancelled: false,
            first: None,
            quarantined: None,
            quarantine_entries: 0,
        }
    }

    fn after(received: i64, count: i64, completed: bool) -> RequestState {
        let first = First { count: units(count), outcome: FirstOutcome::Received { completed } };
        RequestState { first: Some(first), ..state(received) }
    }

    fn named(count: i64) -> Delivery {
        Delivery { has_id: true, content: Ok(units(count)), is_expired: false, is_lost: false }
    }

    fn nameless(count: i64) -> Delivery {
        Delivery { has_id: false, ..named(count) }
    }

    fn faulty(fault: Fault) -> Delivery {
        Delivery { content: Err(fault), ..nameless(1) }
    }

    fn receive(quantity: i64, excess: i64, completes: bool) -> Decision {
        Decision::Receive { quantity: units(quantity), excess, completes }
    }

    #[test]
    fn a_first_delivery_within_the_open_quantity_is_received() {
        assert_eq!(decide(&state(0), &nameless(100), STRICT), receive(100, 0, true));
        assert_eq!(decide(&state(0), &named(60), STRICT), receive(60, 0, false));
        assert_eq!(decide(&state(60), &named(40), STRICT), receive(40, 0, true));
    }

    #[test]
    fn the_same_again_is_a_duplicate() {
        assert_eq!(decide(&after(60, 60, false), &named(60), STRICT), Decision::Duplicate);
        assert_eq!(decide(&after(100, 100, true), &nameless(100), STRICT), Decision::Duplicate);
        // The over-delivery completed the request.
        assert_eq!(decide(&after(100, 150, true), &nameless(150), STRICT), Decision::Duplicate);
        // It did not complete the request, but a second one would not fit any more.
        assert_eq!(decide(&after(60, 60, false), &nameless(60), STRICT), Decision::Duplicate);
        // Late, or cancelled in between: it is still the same delivery.
        let cancelled = RequestState { is_cancelled: true, ..after(60, 60, false) };
        let late = Delivery { is_expired: true, ..named(60) };
        assert_eq!(decide(&cancelled, &late, STRICT), Decision::Duplicate);
    }

    #[test]
    fn an_excess_is_received_up_to_the_open_quantity() {
        assert_eq!(decide(&state(0), &nameless(130), STRICT), receive(100, 30, true));
        assert_eq!(decide(&state(90), &named(11), STRICT), receive(10, 1, true));
    }

    #[test]
    fn the_tolerance_is_of_the_quantity_asked_for_and_all_or_nothing() {
        let policy = Policy { over_delivery_tolerance_percent: 10, ..STRICT };
        assert_eq!(decide(&state(0), &nameless(110), policy), receive(110, 0, true));
        assert_eq!(decide(&state(0), &nameless(111), policy), receive(100, 11, true));
        assert_eq!(decide(&state(95), &named(15), policy), receive(15, 0, true));
        assert_eq!(decide(&state(95), &named(16), policy), receive(5, 11, true));
        // Nothing is open: the tolerance does not reopen the request.
        assert_eq!(decide(&state(100), &named(1), policy), Decision::Quarantine(Reason::NothingOpen));
        assert_eq!(decide(&state(105), &named(1), policy), Decision::Quarantine(Reason::NothingOpen));
    }

    #[test]
    fn ambiguous_deliveries_are_never_guessed() {
        let ambiguous = Decision::Quarantine(Reason::AmbiguousDelivery);
        assert_eq!(decide(&after(60, 60, false), &named(40), STRICT), ambiguous);
        assert_eq!(decide(&after(100, 100, true), &named(99), STRICT), ambiguous);
        assert_eq!(decide(&after(60, 60, false), &nameless(40), STRICT), ambiguous);
        assert_eq!(decide(&after(50, 50, false), &nameless(50), STRICT), ambiguous);
        let policy = Policy { over_delivery_tolerance_percent: 50, ..STRICT };
        assert_eq!(decide(&after(60, 60, false), &nameless(60), policy), ambiguous);
        assert_eq!(decide(&after(100, 60, false), &nameless(60), policy), Decision::Duplicate);
        let quarantined = First { count: units(10), outcome: FirstOutcome::Quarantined(Reason::Cancelled) };
        let state = RequestState { first: Some(quarantined), ..state(0) };
        assert_eq!(decide(&state, &named(11), STRICT), ambiguous);
        assert_eq!(decide(&state, &named(10), STRICT), Decision::AlreadyQuarantined(Reason::Cancelled));
    }

    #[test]
    fn nothing_open_expired_and_cancelled_wait_for_a_person() {
        assert_eq!(decide(&state(100), &nameless(100), STRICT), Decision::Quarantine(Reason::NothingOpen));
        let late = Delivery { is_expired: true, ..nameless(100) };
        assert_eq!(decide(&state(0), &late, STRICT), Decision::Quarantine(Reason::Expired));
        let cancelled = RequestState { is_cancelled: true, ..state(0) };
        assert_eq!(decide(&cancelled, &nameless(100), STRICT), Decision::Quarantine(Reason::Cancelled));
    }

    #[test]
    fn a_lost_delivery_waits_for_an_operator_unless_it_was_repeated() {
        let lost = Delivery { is_lost: true, ..named(60) };
        assert_eq!(decide(&state(0), &lost, STRICT), Decision::Quarantine(Reason::Lost));
        assert_eq!(decide(&after(60, 60, false), &lost, STRICT), Decision::Duplicate);
        let faulty = Delivery { is_lost: true, ..faulty(Fault::OtherProduct) };
        assert_eq!(decide(&state(0), &faulty, STRICT), Decision::Quarantine(Reason::Mismatch));
    }

    #[test]
    fn a_quarantined_delivery_again_is_not_kept_twice() {
        for reason in Reason::ALL {
            let state = RequestState { quarantined: Some(reason), quarantine_entries: 20, ..state(50) };
            for delivery in [named(50), nameless(1), faulty(Fault::OtherProduct)] {
                assert_eq!(decide(&state, &delivery, STRICT), Decision::AlreadyQuarantined(reason));
            }
        }
    }

    #[test]
    fn faulty_deliveries_wait_for_a_person() {
        for fault in [Fault::OtherProduct, Fault::OtherFactory] {
            assert_eq!(decide(&state(0), &faulty(fault), STRICT), Decision::Quarantine(Reason::Mismatch));
        }
        for fault in [CountFault::Missing, CountFault::Contradictory, CountFault::OutOfRange] {
            let delivery = faulty(Fault::Count(fault));
            assert_eq!(decide(&state(0), &delivery, STRICT), Decision::Quarantine(Reason::InvalidCount));
        }
        let unreadable = faulty(Fault::Unreadable);
        assert_eq!(decide(&state(0), &unreadable, STRICT), Decision::Quarantine(Reason::UnreadableBody));
    }

    #[test]
    fn a_token_has_so_many_entries_and_no_more() {
        let full = |received| RequestState { quarantine_entries: 20, ..state(received) };
        assert_eq!(decide(&full(100), &named(1), STRICT), Decision::Refuse);
        assert_eq!(decide(&full(0), &named(101), STRICT), Decision::Refuse);
        assert_eq!(decide(&full(0), &faulty(Fault::OtherProduct), STRICT), Decision::Refuse);
        // Deliveries that need no entry are still taken.
        assert_eq!(decide(&full(0), &named(100), STRICT), receive(100, 0, true));
        let again = RequestState { quarantine_entries: 20, ..after(100, 100, true) };
        assert_eq!(decide(&again, &named(100), STRICT), Decision::Duplicate);
        let nineteen = RequestState { quarantine_entries: 19, ..state(100) };
        assert_eq!(decide(&nineteen, &named(1), STRICT), Decision::Quarantine(Reason::NothingOpen));
    }

    #[test]
    fn reasons_are_found_by_their_names() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_slug(reason.slug()), Some(reason));
        }
        assert_eq!(Reason::from_slug("other"), None);
    }
}
