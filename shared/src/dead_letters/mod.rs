//! Dead letters: messages that need a person.
//!
//! What cannot be understood, or failed all its attempts, goes to `<queue>.dlq` on the broker, and from
//! there into a table of the service that reads the queue. Operators see it there, grouped by cause,
//! and redrive it (a job that tells what became of each letter) or discard it with a reason.
//!
//! ```text
//! <queue>.dlq ─► waiting ─► redriving ─► processed
//!                  ▲  │         │
//!                  │  └─────────┼─► discarded
//!                  └────────────┘ failed again
//! ```

pub mod cause;
pub mod http;
pub(crate) mod intake;
mod letters;
mod redrives;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use diesel_async::AsyncPgConnection;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::db::{Pool, StoreError};
use crate::outbox::Outbox;
use crate::settings;

pub(crate) use letters::processed;
pub use letters::{End, resolve};

/// Header of a redriven message: the id of its dead letter.
pub const REDRIVE_HEADER: &str = "x-jaego-redrive";
/// Header of a redriven message: the id of the job that sent it, which sends each letter once.
const REDRIVE_JOB_HEADER: &str = "x-jaego-redrive-job";
/// Header of a dead message that its queue had handed out before: the death may have been told already.
pub(crate) const REDELIVERED_HEADER: &str = "x-jaego-redelivered";

/// Locks what a letter asks for until the transaction ends, and tells how the letter has ended, if it needs
/// nobody any more; gets its reason and body. Whoever changes both locks the letter after what it asks for.
pub type StandingHook = Arc<
    dyn for<'c> Fn(&'c mut AsyncPgConnection, String, Vec<u8>) -> BoxFuture<'c, Result<Option<End>, StoreError>>
        + Send
        + Sync,
>;
/// What else must happen when a letter is discarded; gets the body.
pub type DiscardHook =
    Arc<dyn for<'c> Fn(&'c mut AsyncPgConnection, Vec<u8>) -> BoxFuture<'c, Result<(), StoreError>> + Send + Sync>;

/// What the letters of a queue mean beyond themselves; each part works in the transaction of what
/// happens to the letter.
#[derive(Clone)]
pub struct Hooks {
    /// Before a letter is kept, or discarded.
    pub standing: StandingHook,
    /// After a letter was discarded.
    pub discarded: DiscardHook,
}

/// The dead letters of one service.
#[derive(Clone)]
pub struct DeadLetters {
    pool: Pool,
    outbox: Outbox,
    settings: settings::DeadLetters,
    /// By queue.
    hooks: Arc<BTreeMap<&'static str, Hooks>>,
    /// Rung when a redrive was ordered.
    ordered: Arc<Notify>,
    /// Letters that waited when they were last counted.
    waiting: Arc<AtomicI64>,
}

impl DeadLetters {
    pub(crate) fn new(
        pool: Pool,
        outbox: Outbox,
        settings: settings::DeadLetters,
        hooks: BTreeMap<&'static str, Hooks>,
    ) -> Self {
        Self {
            pool,
            outbox,
            settings,
            hooks: Arc::new(hooks),
            ordered: Arc::new(Notify::new()),
            waiting: Arc::new(AtomicI64::new(0)),
        }
    }
}
