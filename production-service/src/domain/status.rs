//! Status of a production request.

use std::fmt;
use std::str::FromStr;

/// Usually `requested -> sending -> accepted -> received`, with `partly_received` in between if goods come in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waiting for the first call of its schedule: new, or retried, redriven or handed to the fallback factory.
    Requested,
    /// A call to the factory is in flight.
    Sending,
    /// The last call failed; the next one is scheduled.
    Retrying,
    Accepted,
    PartlyReceived,
    Received,
    /// Given up: no factory took it in time, or one refused it after an unknown result. An operator decides.
    DeadLettered,
    /// The factory refused the request, or is unknown.
    Refused,
    /// Cancelled by an operator, or because the replenishment was closed.
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStatus;

impl Status {
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

    /// Name as stored and shown.
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

    /// True when nothing remains to be done.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Received | Self::Refused | Self::Cancelled)
    }

    /// True while the factory has not accepted the request and still may.
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
    fn names_are_parsed_back_and_unknown_names_are_rejected() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("Accepted".parse::<Status>(), Err(UnknownStatus));
    }
}
