//! Where a production request stands.

use std::fmt;
use std::str::FromStr;

/// `requested -> sending -> accepted -> received | partly_received`, or one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// To be sent for the first time (or again, after a restart).
    Requested,
    /// A call to the factory is under way.
    Sending,
    /// The last call failed; the next one is scheduled.
    Retrying,
    /// The factory took it.
    Accepted,
    /// Some of the goods came.
    PartlyReceived,
    /// All goods came.
    Received,
    /// The retry schedule is used up: a person must look.
    DeadLettered,
    /// The factory said no, or is unknown.
    Refused,
    /// Stopped by an operator, or because its replenishment was closed.
    Cancelled,
}

/// The text names no status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStatus;

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Requested,
        Self::Sending,
        Self::Retrying,
        Self::Accepted,
        Self::PartlyReceived,
        Self::Received,
        Self::DeadLettered,
        Self::Refused,
        Self::Cancelled,
    ];

    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Accepted => "accepted",
            Self::PartlyReceived => "partly_received",
            Self::Received => "received",
            Self::DeadLettered => "dead_lettered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more is to be done.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Received | Self::Refused | Self::Cancelled)
    }

    /// Whether the factory has not taken it yet and still may.
    pub const fn is_before_acceptance(self) -> bool {
        matches!(self, Self::Requested | Self::Sending | Self::Retrying | Self::DeadLettered)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for UnknownStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
        write!(formatter, "must be one of {}", names.join(", "))
    }
}

impl std::error::Error for UnknownStatus {}

impl FromStr for Status {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_strangers_refused() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("Accepted".parse::<Status>(), Err(UnknownStatus));
    }
}
