//! Routing keys that the broker does not accept at present.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jaego_amqp::health::BrokerHealth;

/// A held key is probed with one event after 100 ms, then at intervals that double up to this.
const PROBE_EVERY_MAX: Duration = Duration::from_secs(5);
const PROBE_FIRST: Duration = Duration::from_millis(100);

struct Hold {
    error: String,
    probe_at: Instant,
    delay: Duration,
    /// The last probe has failed, too.
    has_failed: bool,
}

/// Keyed by `exchange/routing key`.
pub(super) struct Held<'a> {
    health: &'a BrokerHealth,
    keys: BTreeMap<String, Hold>,
}

impl<'a> Held<'a> {
    pub(super) fn new(health: &'a BrokerHealth) -> Self {
        Self { health, keys: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Error for which the key is held, if it is.
    pub(super) fn error(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|hold| hold.error.as_str())
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// Holds the key; if it is already held, records that the broker still does not accept it.
    pub(super) fn hold(&mut self, key: &str, error: &str) {
        if let Some(hold) = self.keys.get_mut(key) {
            (hold.has_failed, hold.error) = (true, error.to_owned());
        } else {
            tracing::warn!(key, error, "the broker does not accept these events; they wait");
            let probe_at = Instant::now() + PROBE_FIRST;
            let hold = Hold { error: error.to_owned(), probe_at, delay: PROBE_FIRST, has_failed: false };
            self.keys.insert(key.to_owned(), hold);
        }
        self.health.fail(key, error);
    }

    /// The key to probe now.
    pub(super) fn due(&self) -> Option<String> {
        let now = Instant::now();
        self.keys.iter().find(|(_, hold)| hold.probe_at <= now).map(|(key, _)| key.clone())
    }

    /// Time of the next probe.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.keys.values().map(|hold| hold.probe_at).min()
    }

    /// Schedules the next probe; call when an event of the key is being published.
    pub(super) fn probe(&mut self, key: &str) {
        if let Some(hold) = self.keys.get_mut(key) {
            hold.delay = (hold.delay * 2).min(PROBE_EVERY_MAX);
            hold.probe_at = Instant::now() + hold.delay;
            hold.has_failed = false;
        }
    }

    /// Call when a probe was confirmed. Returns true and releases the key if the probe was not returned either.
    pub(super) fn is_taken(&mut self, key: &str) -> bool {
        let is_taken = self.keys.get(key).is_some_and(|hold| !hold.has_failed);
        if is_taken {
            self.release(key);
        }
        is_taken
    }

    pub(super) fn clear(&mut self) {
        for key in std::mem::take(&mut self.keys).into_keys() {
            self.health.pass(&key);
        }
    }

    pub(super) fn release(&mut self, key: &str) {
        if self.keys.remove(key).is_some() {
            self.health.pass(key);
            tracing::info!(key, "the broker accepts these events again");
        }
    }
}
