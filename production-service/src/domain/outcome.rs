//! What the other services are told of a request.

/// What the other services are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The factory took it.
    Accepted,
    /// A person must look.
    DeadLettered,
    /// The factory said no, or is unknown.
    Refused,
    /// It was stopped.
    Cancelled,
    /// It was taken, and did not come in time.
    Overdue,
}

impl Outcome {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Accepted, Self::DeadLettered, Self::Refused, Self::Cancelled, Self::Overdue];

    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::DeadLettered => "dead_lettered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Overdue => "overdue",
        }
    }

    /// The one that is stored so.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}
