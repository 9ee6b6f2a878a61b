//! Dead letters: messages that need a person.
//!
//! A message that a service gives up (it cannot be decoded, its handler failed in every attempt, no factory accepted
//! it) becomes a row of the service's own table, in the transaction that gives it up. A message that the broker gives
//! up goes to `<queue>.dlq` and is moved from there into the table. Operators see dead letters grouped by cause, and
//! discard them with a reason or redrive them: a job moves each one back into the retries of the service
//! ([`crate::consumer`]) and records its outcome.
//!
//! ```text
//! waiting ─► redriving ─► processed
//!   ▲  │         │
//!   │  └─────────┼─► discarded
//!   └────────────┘ failed again
//! ```

pub mod cause;
mod intake;
pub mod letters;
pub mod redrives;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel_async::AsyncPgConnection;
use futures::future::BoxFuture;
use jaego_pg::{Pool, StoreError};
use tokio::sync::{Notify, watch};

use crate::outbox::Outbox;

pub(crate) use letters::processed;
pub use letters::{Death, End, keep, resolve};

pub use crate::message::Message;

/// Locks the row that a dead letter is about until the transaction ends; receives the body. Code that changes both
/// locks the dead letter last.
pub type LockHook =
    Arc<dyn for<'c> Fn(&'c mut AsyncPgConnection, Vec<u8>) -> BoxFuture<'c, Result<(), StoreError>> + Send + Sync>;
/// Further effects of discarding a dead letter; receives the body.
pub type DiscardHook =
    Arc<dyn for<'c> Fn(&'c mut AsyncPgConnection, Vec<u8>) -> BoxFuture<'c, Result<(), StoreError>> + Send + Sync>;

/// Effects of a queue's dead letters outside their own table. Each hook runs in the transaction that changes the dead
/// letter.
#[derive(Clone)]
pub struct Hooks {
    /// Runs before a dead letter is discarded.
    pub lock: LockHook,
    /// Runs after a dead letter was discarded.
    pub discarded: DiscardHook,
}

/// The dead letters of one service.
#[derive(Clone)]
pub struct DeadLetters {
    pub pool: Pool,
    pub outbox: Outbox,
    settings: crate::settings::DeadLetters,
    /// Keyed by queue name.
    pub hooks: Arc<BTreeMap<&'static str, Hooks>>,
    /// Notified when a redrive was ordered.
    ordered: Arc<Notify>,
    /// Notified when dead letters have changed.
    changed: Arc<Notify>,
    /// Notified when a message was added to the retries.
    retries: Arc<watch::Sender<()>>,
    /// Number of waiting dead letters at the last count.
    waiting: Arc<AtomicI64>,
}

impl DeadLetters {
    pub fn new(
        pool: Pool,
        outbox: Outbox,
        settings: crate::settings::DeadLetters,
        hooks: BTreeMap<&'static str, Hooks>,
    ) -> Self {
        Self {
            pool,
            outbox,
            settings,
            hooks: Arc::new(hooks),
            ordered: Arc::new(Notify::new()),
            changed: Arc::new(Notify::new()),
            retries: Arc::new(watch::Sender::new(())),
            waiting: Arc::new(AtomicI64::new(0)),
        }
    }

    /// Call after a commit that ordered a redrive.
    pub fn redrive_ordered(&self) {
        self.ordered.notify_one();
    }

    /// True while the table may take more dead letters.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.settings.waiting_max
    }

    /// Call after dead letters were stored or settled.
    pub fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Call after a message was added to the retries.
    pub fn notify_retries(&self) {
        self.retries.send_replace(());
    }

    /// Changes whenever a retry is added.
    pub(crate) fn retries(&self) -> watch::Receiver<()> {
        self.retries.subscribe()
    }
}
