//! Strings with a fixed set of values.

jaego_web::words! {
    /// `received`: booked by this callback; `duplicate`: booked by an earlier one.
    ReceivedStatus: "received", "duplicate";
    /// The delivery waits for an operator.
    QuarantinedStatus: "quarantined";
    /// Reason why a callback is kept for an operator.
    QuarantinedReason: "ambiguous-delivery", "nothing-open", "expired", "cancelled", "unreadable-body", "lost";
    /// Status of an entry.
    EntryStatus: "waiting", "accepted", "discarded";
    /// Reason for an entry.
    EntryReason: "callback-mismatch", "invalid-count", "ambiguous-delivery", "nothing-open", "expired", "cancelled", "over-delivery", "unreadable-body", "lost";
}
