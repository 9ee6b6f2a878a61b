//! Strings with a fixed set of values.

jaego_web::words! {
    /// Status of a production request.
    ProductionStatus: "requested", "sending", "retrying", "accepted", "partly_received", "received", "dead_lettered", "refused", "cancelled";
    /// Outcome of a call; `unknown`: it is not known whether the factory accepted the request.
    AttemptOutcome: "accepted", "retry", "refused", "unknown";
}
