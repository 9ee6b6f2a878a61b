//! Wrong tokens: counted, logged, and limited for each client that sends them.

use std::num::NonZeroU32;
use std::time::Instant;

use actix_web::HttpRequest;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use opentelemetry::metrics::Counter;

use crate::clients::{Attempts, Clients, client_address};
use crate::problem::{Problem, ProblemKind};

/// Maximum lines that a process logs about wrong tokens in a minute; the metric counts all of them.
const LOGGED_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

/// The wrong tokens that a process has received.
pub struct WrongTokens {
    attempts: Attempts,
    log: DefaultDirectRateLimiter,
    count: Counter<u64>,
}

impl WrongTokens {
    /// Each client may send so many in a minute.
    pub fn new(per_minute_max: u32) -> Self {
        let meter = opentelemetry::global::meter("jaego");
        let count = meter
            .u64_counter("jaego_wrong_tokens")
            .with_description("Bearer tokens that were refused because they are unknown, expired or revoked");
        let log = RateLimiter::direct(Quota::per_minute(LOGGED_PER_MINUTE));
        Self { attempts: Attempts::new(per_minute_max), log, count: count.build() }
    }

    /// The problem for a client that has sent too many. Its right tokens are refused as well: otherwise it could go on
    /// guessing.
    pub fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let wait_s = Clients::limited(request).and_then(|client| self.attempts.must_wait_s(client, Instant::now()));
        wait_s.map_or(Ok(()), |seconds| Err(too_many_attempts(seconds)))
    }

    /// Notes that the token of a request is wrong.
    pub fn note(&self, request: &HttpRequest) {
        self.count.add(1, &[]);
        if let Some(client) = Clients::limited(request) {
            self.attempts.failed(client, Instant::now());
        }
        if self.log.check().is_ok() {
            let source = client_address(request).map_or_else(|| "unknown".to_owned(), |address| address.to_string());
            tracing::warn!(source, path = crate::instance_of(request), "refused a wrong token");
        }
    }
}

/// The problem for a client that has sent too many wrong tokens.
pub fn too_many_attempts(retry_after_s: u32) -> Problem {
    let detail = format!("There were too many wrong tokens from this address; try again in {retry_after_s} s.");
    Problem::new(ProblemKind::TooManyAttempts, detail).retry_after(retry_after_s)
}
