//! Argument types and value parsers.

use std::time::Duration;

use clap::Args;
use jaego_contracts::ids::UNITS_MAX;

/// Longest duration that an argument accepts.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Patience with a server that is not there yet.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Maximum wait for a server that does not answer yet, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
    wait_s: u64,
}

impl Wait {
    pub(crate) const fn limit(&self) -> Duration {
        Duration::from_secs(self.wait_s)
    }
}

/// Accepts `500ms`, `10s`, `2m`, up to an hour.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "must be a time such as 500ms, 10s or 2m, at most 1h".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let duration = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(expected)?;
    if duration > WAIT_MAX { Err(expected()) } else { Ok(duration) }
}

/// Units that are made, booked or accepted by one command: 1 to 1,000,000.
pub(crate) fn units(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(units @ 1..=UNITS_MAX) => Ok(units),
        _ => Err(format!("must be a whole number from 1 to {UNITS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_bound() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "10", "s", "-1s", "1.5s", "61m", "10 s", "18446744073709551615h", "1초"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
