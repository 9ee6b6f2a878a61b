//! Classification of the results of factory calls, in one table.

/// How a call ended on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The factory, or a proxy in front of it, answered with this status.
    Status(u16),
    /// No connection (name, address, TLS, timeout while connecting): the request was not sent.
    NotConnected,
    /// The request may have been sent, but no answer arrived: timeout, or the connection was cut.
    NoAnswer,
}

/// Consequence of a call for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Accepted,
    /// The factory did not accept the request, but may do so later.
    Retry,
    /// The factory may have accepted the request: it is sent again, under the same idempotency key.
    Unknown,
    /// The factory will never accept the request.
    Refused,
    /// The factory claims to have the request already, or something like it: an acceptance after a call with an
    /// unknown result, otherwise a refusal.
    Conflict,
}

/// Consequence of a call for the factory's circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// The factory works, even if it refuses or asks for a delay.
    Well,
    /// The factory is down, or cannot work.
    Ill,
}

impl Verdict {
    /// Name as stored, shown and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Unknown => "unknown",
            Self::Refused | Self::Conflict => "refused",
        }
    }
}

/// First and last status of a row, consequence for the request, consequence for the breaker; the first matching row
/// applies. No server error proves that nothing was done: 500 and the like may follow after the factory has booked
/// the request, and 502, 503 and 504 may come from a gateway that never received the factory's answer.
const TABLE: &[(u16, u16, Verdict, Health)] = &[
    (200, 299, Verdict::Accepted, Health::Well),
    (408, 408, Verdict::Retry, Health::Well),
    (425, 425, Verdict::Retry, Health::Well),
    (429, 429, Verdict::Retry, Health::Well),
    (500, 599, Verdict::Unknown, Health::Ill),
    (409, 409, Verdict::Conflict, Health::Well),
    (300, 499, Verdict::Refused, Health::Well),
];

impl Ending {
    /// Classifies the result. A status outside the table proves nothing.
    pub fn classify(self) -> (Verdict, Health) {
        match self {
            Self::NotConnected => (Verdict::Retry, Health::Ill),
            Self::NoAnswer => (Verdict::Unknown, Health::Ill),
            Self::Status(status) => {
                let row = TABLE.iter().find(|(first, last, ..)| (*first..=*last).contains(&status));
                row.map_or((Verdict::Unknown, Health::Ill), |(_, _, verdict, health)| (*verdict, *health))
            }
        }
    }

    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status),
            Self::NotConnected | Self::NoAnswer => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_matches_the_contract() {
        let rows: &[(&[u16], Verdict, Health)] = &[
            (&[200, 201, 202, 204, 250, 299], Verdict::Accepted, Health::Well),
            (&[408], Verdict::Retry, Health::Well),
            (&[425], Verdict::Retry, Health::Well),
            (&[429], Verdict::Retry, Health::Well),
            (&[409], Verdict::Conflict, Health::Well),
            (&[500, 501, 502, 503, 504, 505, 507, 511, 599], Verdict::Unknown, Health::Ill),
            (&[400, 401, 403, 404, 405, 407, 410, 422, 424, 426, 428, 430, 451, 499], Verdict::Refused, Health::Well),
            (&[300, 301, 302, 303, 304, 307, 308, 399], Verdict::Refused, Health::Well),
            (&[100, 101, 199, 600, 999], Verdict::Unknown, Health::Ill),
        ];
        for (statuses, verdict, health) in rows {
            for status in *statuses {
                assert_eq!(Ending::Status(*status).classify(), (*verdict, *health), "{status}");
            }
        }
        assert_eq!(Ending::NotConnected.classify(), (Verdict::Retry, Health::Ill));
        assert_eq!(Ending::NoAnswer.classify(), (Verdict::Unknown, Health::Ill));
    }
}
