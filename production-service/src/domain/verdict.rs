//! What the end of a call to a factory means: one table.

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The factory, or whoever stands before it, answered with this status.
    Status(u16),
    /// There was no connection (name, address, TLS, time-out while connecting): the request was not sent.
    NotConnected,
    /// The request may have been sent, and no answer came: time-out, or the line was cut.
    NoAnswer,
}

/// What follows from a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The factory took the request.
    Accepted,
    /// It did not take it, and may another time.
    Retry,
    /// Nobody knows whether it took it: it is asked again, under the same idempotency key.
    Unknown,
    /// It never will.
    Refused,
    /// It says that it has the request already, or something like it: after a call whose end is unknown that is an
    /// acceptance, otherwise a refusal.
    Conflict,
}

/// What a call tells of the factory itself: the circuit breaker counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// It does its work, even when that is to say no, or not now.
    Well,
    /// It is down, or cannot do its work.
    Ill,
}

impl Verdict {
    /// As it is stored, shown and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Unknown => "unknown",
            Self::Refused | Self::Conflict => "refused",
        }
    }
}

/// First and last status of a row, what it means for the request, and what it tells of the factory. The
/// first row that fits counts. No server error says that nothing was done: 500 and the like may come after the factory
/// has booked the request, 502, 503 and 504 from a gateway that the answer never reached.
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
    /// The meaning of a call's end. A status outside the table is no answer to rely on.
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

    /// The status, when there was one.
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
    fn every_row_means_what_the_contract_says() {
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
