//! Limits wrong tokens per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Maximum addresses that are remembered; beyond it those of ended windows are forgotten, and then all.
const ADDRESSES_MAX: usize = 4096;

/// Failed attempts of the current minute, by address.
#[derive(Debug)]
pub struct Attempts {
    per_minute_max: u32,
    failed: Mutex<HashMap<IpAddr, Failed>>,
}

#[derive(Debug)]
struct Failed {
    since: Instant,
    count: u32,
}

impl Attempts {
    pub fn new(per_minute_max: u32) -> Self {
        Self { per_minute_max, failed: Mutex::default() }
    }

    /// Seconds until this address may try again; None if it may try now.
    pub fn must_wait_s(&self, address: IpAddr, now: Instant) -> Option<u32> {
        let failed = self.lock();
        let own = failed.get(&address).filter(|own| own.count >= self.per_minute_max)?;
        let left = WINDOW.checked_sub(now.duration_since(own.since))?;
        u32::try_from(left.as_secs() + 1).ok()
    }

    /// Counts a wrong token.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        let is_over = |own: &Failed| now.duration_since(own.since) >= WINDOW;
        let mut failed = self.lock();
        if failed.len() >= ADDRESSES_MAX && !failed.contains_key(&address) {
            failed.retain(|_, own| !is_over(own));
            if failed.len() >= ADDRESSES_MAX {
                failed.clear();
            }
        }
        let own = failed.entry(address).or_insert(Failed { since: now, count: 0 });
        if is_over(own) {
            *own = Failed { since: now, count: 0 };
        }
        own.count += 1;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_failures_block_for_the_rest_of_the_minute() {
        let (attempts, begun) = (Attempts::new(2), Instant::now());
        let [own, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        attempts.failed(own, begun);
        assert_eq!(attempts.must_wait_s(own, begun), None);
        attempts.failed(own, begun + Duration::from_secs(10));
        assert_eq!(attempts.must_wait_s(own, begun + Duration::from_secs(10)), Some(51));
        assert_eq!(attempts.must_wait_s(other, begun), None);
        let later = begun + Duration::from_secs(61);
        assert_eq!(attempts.must_wait_s(own, later), None);
        attempts.failed(own, later);
        assert_eq!(attempts.must_wait_s(own, later), None, "a new minute");
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, now) = (Attempts::new(1), Instant::now());
        for last in 0..2 * u32::try_from(ADDRESSES_MAX).expect("fits") {
            attempts.failed(IpAddr::V4(last.into()), now);
        }
        assert!(attempts.lock().len() <= ADDRESSES_MAX);
    }
}
