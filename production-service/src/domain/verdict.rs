//! What a factory's answer means: one table.

/// What follows from a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The factory took the request.
    Accepted,
    /// It may take it another time.
    Retry,
    /// It never will.
    Refused,
}

impl Verdict {
    /// As it is stored, shown and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Refused => "refused",
        }
    }
}

/// First and last status of a row, and what it means. The first row that fits counts.
const TABLE: &[(u16, u16, Verdict)] = &[
    (200, 299, Verdict::Accepted),
    (408, 408, Verdict::Retry),
    (425, 425, Verdict::Retry),
    (429, 429, Verdict::Retry),
    (500, 599, Verdict::Retry),
    (300, 499, Verdict::Refused),
];

/// The meaning of a call's status; None: no answer at all (not connected, TLS, time-out, broken off).
/// Neither silence nor a status outside the table says no, so both are tried again.
pub fn classify(status: Option<u16>) -> Verdict {
    let Some(status) = status else { return Verdict::Retry };
    TABLE.iter().find(|(first, last, _)| (*first..=*last).contains(&status)).map_or(Verdict::Retry, |row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_means_what_the_contract_says() {
        let rows: &[(&[u16], Verdict)] = &[
            (&[200, 201, 202, 204, 250, 299], Verdict::Accepted),
            (&[408], Verdict::Retry),
            (&[425], Verdict::Retry),
            (&[429], Verdict::Retry),
            (&[500, 501, 502, 503, 504, 599], Verdict::Retry),
            (&[400, 401, 403, 404, 405, 407, 409, 410, 422, 424, 426, 428, 430, 451, 499], Verdict::Refused),
            (&[300, 301, 302, 303, 304, 307, 308, 399], Verdict::Refused),
            (&[100, 101, 199, 600, 999], Verdict::Retry),
        ];
        for (statuses, verdict) in rows {
            for status in *statuses {
                assert_eq!(classify(Some(*status)), *verdict, "{status}");
            }
        }
        assert_eq!(classify(None), Verdict::Retry);
    }
}
