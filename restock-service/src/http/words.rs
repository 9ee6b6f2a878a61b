//! Texts that are one of a few words.

jaego_web::words! {
    /// Whether goods were booked by this callback, or by the same one before.
    ReceivedStatus: "received", "duplicate";
    /// The delivery waits for an operator.
    QuarantinedStatus: "quarantined";
    /// Why a callback is kept for an operator.
    QuarantinedReason: "ambiguous-delivery", "nothing-open", "expired", "cancelled", "unreadable-body", "lost";
    /// Where an entry stands.
    EntryStatus: "waiting", "accepted", "discarded";
    /// Why an entry is there.
    EntryReason: "callback-mismatch", "invalid-count", "ambiguous-delivery", "nothing-open", "expired", "cancelled", "over-delivery", "unreadable-body", "lost";
}
