//! Dead letters: messages that need a person.
//!
//! What a service gives up (it cannot be read, its handler failed all its attempts, no factory took it) becomes a row of
//! its own table, in the transaction that gives up. What the broker gives up lies in `<queue>.dlq` and is brought from
//! there into the table. Operators see the letters grouped by cause, and discard them with a reason or redrive them: a
//! job moves each back into the retries of the service ([`crate::amqp`]) and tells what became of it.
//!
//! ```text
//! waiting ─► redriving ─► processed
//!   ▲  │         │
//!   │  └─────────┼─► discarded
//!   └────────────┘ failed again
//! ```

pub mod cause;
pub(crate) mod intake;
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
pub use letters::{Death, End, NewLetter, keep, resolve};

/// Header of a dead message that its queue had handed out before: the death may have been told already.
pub(crate) const REDELIVERED_HEADER: &str = "x-jaego-redelivered";

/// Locks what a letter asks for until the transaction ends; gets its body. Whoever changes both locks the letter after
/// what it asks for.
pub type LockHook =
    Arc<dyn for<'c> Fn(&'c mut AsyncPgConnection, Vec<u8>) -> BoxFuture<'c, Result<(), StoreError>> + Send + Sync>;
/// What else must happen when a letter is discarded; gets the body.
pub type DiscardHook =
    Arc<dyn for<'c> Fn(&'c mut AsyncPgConnection, Vec<u8>) -> BoxFuture<'c, Result<(), StoreError>> + Send + Sync>;

/// What the letters of a queue mean beyond themselves; each part works in the transaction of what
/// happens to the letter.
#[derive(Clone)]
pub struct Hooks {
    /// Before a letter is discarded.
    pub lock: LockHook,
    /// After a letter was discarded.
    pub discarded: DiscardHook,
}

/// The dead letters of one service.
#[derive(Clone)]
pub struct DeadLetters {
    pub pool: Pool,
    pub outbox: Outbox,
    settings: crate::settings::DeadLetters,
    /// By queue.
    pub hooks: Arc<BTreeMap<&'static str, Hooks>>,
    /// Rung when a redrive was ordered.
    ordered: Arc<Notify>,
    /// Rung when letters have changed.
    changed: Arc<Notify>,
    /// Rung when a message was put among the retries.
    retries: Arc<watch::Sender<()>>,
    /// Letters that waited when they were last counted.
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

    /// Whether the table has room.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.settings.waiting_max
    }

    /// Call after letters were kept or have ended.
    pub fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Call after a message was put among the retries.
    pub fn ring_retries(&self) {
        self.retries.send_replace(());
    }

    /// Changes whenever there is one more retry.
    pub(crate) fn retries(&self) -> watch::Receiver<()> {
        self.retries.subscribe()
    }
}
