//! Retries within bounds.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// A session that lasted as long as this counts as a success.
const STEADY: Duration = Duration::from_secs(10);

/// Exponential backoff: 100 ms doubling to 5 s, of which up to half is random.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Call after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Call after a session on the broker that began at `begun`. A session that broke early is no success: the broker
    /// counts a delivery of every message that was handed out, and eventually gives up on the message.
    pub fn reset_if_steady(&mut self, begun: Instant) {
        if begun.elapsed() >= STEADY {
            self.reset();
        }
    }

    /// Waits before the next try.
    pub async fn wait(&mut self) {
        let full = (100_u64 << self.tries.min(6)).min(5_000);
        self.tries += 1;
        let jittered = full / 2 + rand::random_range(0..=full / 2);
        tokio::time::sleep(Duration::from_millis(jittered)).await;
    }
}

/// Retries until `attempt` succeeds, fails permanently, or `limit` has passed; in the last case it returns the last
/// error. An attempt that has begun is not interrupted, so each needs a bound of its own. `report` receives the first
/// transient error, and after that each one whose text differs from the previous one.
pub async fn try_for<T, E: Display>(
    limit: Duration,
    may_pass: impl Fn(&E) -> bool,
    mut report: impl FnMut(&E),
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let (begun, mut backoff, mut reported) = (Instant::now(), Backoff::default(), String::new());
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if !may_pass(&error) || begun.elapsed() >= limit => return Err(error),
            Err(error) => error,
        };
        let text = error.to_string();
        if text != reported {
            report(&error);
            reported = text;
        }
        let left = limit.saturating_sub(begun.elapsed());
        // The wait is cut short when time is up, so that one last try is made then.
        drop(tokio::time::timeout(left, backoff.wait()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with `errors` in turn, then succeeds; returns the result, the number of tries and the reported errors.
    async fn tried(limit: Duration, errors: &[&'static str]) -> (Result<(), String>, usize, Vec<String>) {
        let (mut tries, mut reported) = (0, Vec::new());
        let ended = try_for(
            limit,
            |error: &String| error != "for good",
            |error| reported.push(error.clone()),
            async || {
                tries += 1;
                errors.get(tries - 1).map_or(Ok(()), |error| Err((*error).to_owned()))
            },
        )
        .await;
        (ended, tries, reported)
    }

    #[tokio::test]
    async fn it_waits_out_transient_errors_and_reports_each_once() {
        let hour = Duration::from_secs(3600);
        let (ended, tries, reported) = tried(hour, &["away", "away", "starting"]).await;
        assert_eq!((ended, tries), (Ok(()), 4));
        assert_eq!(reported, ["away", "starting"]);
        let (ended, tries, reported) = tried(hour, &["away", "for good"]).await;
        assert_eq!((ended, tries, reported.len()), (Err("for good".to_owned()), 2, 1));
    }

    #[tokio::test]
    async fn it_ends_when_time_is_up_and_a_limit_of_zero_means_one_try() {
        let (ended, tries, reported) = tried(Duration::ZERO, &["away"]).await;
        assert_eq!((ended, tries, reported.len()), (Err("away".to_owned()), 1, 0));
        let begun = Instant::now();
        let limit = Duration::from_millis(300);
        let (ended, tries, _) = tried(limit, &["away"; 1000]).await;
        assert_eq!(ended, Err("away".to_owned()));
        assert!(begun.elapsed() >= limit && (2..20).contains(&tries), "{tries} tries in {:?}", begun.elapsed());
    }
}
