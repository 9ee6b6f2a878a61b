//! Routing keys that the broker does not accept at present.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jaego_amqp::health::BrokerHealth;

/// A held key is probed after 100 ms, then at intervals that double up to this.
const PROBE_EVERY_MAX: Duration = Duration::from_secs(5);
const PROBE_FIRST: Duration = Duration::from_millis(100);

struct Hold {
    error: String,
    /// None while a probe is in flight.
    probe_at: Option<Instant>,
    delay: Duration,
    /// Maximum events in the next probe.
    width: i64,
    /// The key is released once its events up to this id are published.
    until: i64,
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

    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// Holds the key, if it is not held already.
    pub(super) fn hold(&mut self, key: &str, error: &str) {
        if let Some(hold) = self.keys.get_mut(key) {
            error.clone_into(&mut hold.error);
        } else {
            tracing::warn!(key, error, "the broker does not accept these events; they wait");
            let probe_at = Some(Instant::now() + PROBE_FIRST);
            let hold = Hold { error: error.to_owned(), probe_at, delay: PROBE_FIRST, width: 1, until: 0 };
            self.keys.insert(key.to_owned(), hold);
        }
        self.health.fail(key, error);
    }

    /// Holds the key of an event that was in flight when the broker closed the channel, because it may be the cause.
    pub(super) fn suspect(&mut self, key: &str, id: i64, error: &str) {
        self.hold(key, error);
        if let Some(hold) = self.keys.get_mut(key) {
            hold.until = hold.until.max(id);
            hold.probe_at = hold.probe_at.map(|_| Instant::now());
        }
    }

    /// The key to probe now, and the maximum events to probe it with.
    pub(super) fn due(&self) -> Option<(String, i64)> {
        let now = Instant::now();
        let due = self.keys.iter().find(|(_, hold)| hold.probe_at.is_some_and(|at| at <= now));
        due.map(|(key, hold)| (key.clone(), hold.width))
    }

    /// Time of the next probe.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.keys.values().filter_map(|hold| hold.probe_at).min()
    }

    /// Call when a probe of the key is in flight.
    pub(super) fn probing(&mut self, key: &str) {
        if let Some(hold) = self.keys.get_mut(key) {
            hold.probe_at = None;
        }
    }

    /// Call when a probe has ended, with the last id if all its events were published. Returns true if this releases
    /// the key.
    pub(super) fn probed(&mut self, key: &str, published: Option<i64>, width_max: i64) -> bool {
        let Some(hold) = self.keys.get_mut(key) else { return false };
        let pause = match published {
            Some(last) if last >= hold.until => return self.release(key),
            Some(_) => {
                hold.width = (hold.width * 2).min(width_max);
                Duration::ZERO
            }
            // The first of several events is tried alone.
            None if hold.width > 1 => {
                hold.width = 1;
                Duration::ZERO
            }
            None => {
                hold.delay = (hold.delay * 2).min(PROBE_EVERY_MAX);
                hold.delay
            }
        };
        hold.probe_at = Some(Instant::now() + pause);
        false
    }

    /// Probes all keys at once, because probes in flight were lost with their connection.
    pub(super) fn probe_all(&mut self) {
        for hold in self.keys.values_mut() {
            (hold.probe_at, hold.width) = (Some(Instant::now()), 1);
        }
    }

    pub(super) fn clear(&mut self) {
        for key in std::mem::take(&mut self.keys).into_keys() {
            self.health.pass(&key);
        }
    }

    /// Returns true if the key was held.
    pub(super) fn release(&mut self, key: &str) -> bool {
        let was_held = self.keys.remove(key).is_some();
        if was_held {
            self.health.pass(key);
            tracing::info!(key, "the broker accepts these events again");
        }
        was_held
    }
}
