//! Outcomes of a request that are published to the other services.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    Accepted,
    /// An operator must decide.
    DeadLettered,
    /// The factory refused the request, or is unknown.
    Refused,
    Cancelled,
    /// Accepted, but not received in full in time.
    Overdue,
}

impl OutcomeKind {
    pub const ALL: [Self; 5] = [Self::Accepted, Self::DeadLettered, Self::Refused, Self::Cancelled, Self::Overdue];

    /// Name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::DeadLettered => "dead_lettered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Overdue => "overdue",
        }
    }

    /// Inverse of [`Self::as_str`].
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}
