//! Texts that are one of a few words.

jaego_web::words! {
    /// Where a production request stands.
    ProductionStatus: "requested", "sending", "retrying", "accepted", "partly_received", "received", "dead_lettered", "refused", "cancelled";
    /// What came of a call; `unknown`: the service ended before it knew.
    AttemptOutcome: "accepted", "retry", "refused", "unknown";
}
