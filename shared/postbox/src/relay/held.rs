//! Routing keys that the broker does not take now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jaego_amqp::health::BrokerHealth;

/// One event of a held key is tried after 100 ms, then twice as late each time, up to this.
const PROBE_EVERY_MAX: Duration = Duration::from_secs(5);
const PROBE_FIRST: Duration = Duration::from_millis(100);

struct Hold {
    error: String,
    probe_at: Instant,
    delay: Duration,
    /// The event that was tried last has failed, too.
    has_failed: bool,
}

/// By `exchange/routing key`.
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

    /// Why the key is held, if it is.
    pub(super) fn error(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|hold| hold.error.as_str())
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// Holds the key, or notes that it is not taken still.
    pub(super) fn hold(&mut self, key: &str, error: &str) {
        if let Some(hold) = self.keys.get_mut(key) {
            (hold.has_failed, hold.error) = (true, error.to_owned());
        } else {
            tracing::warn!(key, error, "the broker does not take these events; they wait");
            let probe_at = Instant::now() + PROBE_FIRST;
            let hold = Hold { error: error.to_owned(), probe_at, delay: PROBE_FIRST, has_failed: false };
            self.keys.insert(key.to_owned(), hold);
        }
        self.health.fail(key, error);
    }

    /// The key of which an event is to be tried now.
    pub(super) fn due(&self) -> Option<String> {
        let now = Instant::now();
        self.keys.iter().find(|(_, hold)| hold.probe_at <= now).map(|(key, _)| key.clone())
    }

    /// When the next one is to be tried.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.keys.values().map(|hold| hold.probe_at).min()
    }

    /// An event of the key is on its way.
    pub(super) fn probe(&mut self, key: &str) {
        if let Some(hold) = self.keys.get_mut(key) {
            hold.delay = (hold.delay * 2).min(PROBE_EVERY_MAX);
            hold.probe_at = Instant::now() + hold.delay;
            hold.has_failed = false;
        }
    }

    /// The event that was tried has been confirmed. True when it was not returned either: the key is free.
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
            tracing::info!(key, "the broker takes these events again");
        }
    }
}
