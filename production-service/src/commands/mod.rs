//! What can be done, one file each: begin, load, decide, save with the outbox, commit, wake.

mod announce;
pub mod book_receipt;
pub mod callback_url;
pub mod cancel_request;
pub mod claim_requests;
pub mod close_request;
pub mod discard_request;
mod factory_changed;
pub mod give_up_waiting;
pub mod in_hand;
pub mod keep_requests;
pub mod leave_calls;
pub mod look_up;
pub mod mark_overdue;
pub mod measure_lead_times;
pub mod outbound;
pub mod put_factory;
pub mod reclaim_lost;
pub mod record_attempts;
pub mod recorder;
pub mod retry_request;
pub mod timeline;

pub use crate::domain::{Breaker, BreakerRules, Factory, FactorySettings, Rejection, Status};

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jaego_contracts::ids::RequestId;
use jaego_contracts::trace::TraceContext;
use jaego_pg::{Pool, StoreError};
use jaego_postbox::outbox::Outbox;
use tokio::sync::Notify;

/// What every command works with.
#[derive(Clone)]
pub struct Context {
    /// The service's database.
    pub pool: Pool,
    /// Its outbox.
    pub outbox: Outbox,
    /// Rung when a request may have become due.
    pub due: Arc<Notify>,
    /// Waits between failed calls to factories that set none of their own.
    pub retry_schedule: Arc<[Duration]>,
    /// When factories are left alone.
    pub breaker: BreakerRules,
    /// Longest time that a request waits for a factory which has no time for it.
    pub throttled_max: Duration,
}

impl Context {
    /// Call after a commit: events may wait for the relay, requests for their delivery.
    fn committed(&self) {
        self.outbox.wake();
        self.due.notify_one();
    }

    fn schedule<'a>(&'a self, own: Option<&'a [Duration]>) -> &'a [Duration] {
        own.unwrap_or(&self.retry_schedule)
    }
}

/// Who asks for something.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// The operator's name.
    pub name: &'a str,
    /// The trace of what he asked.
    pub trace: TraceContext,
}

/// Why a command did nothing.
#[derive(Debug)]
pub enum CommandError<R> {
    /// It may not be done.
    Rejected(R),
    /// The store did not do it.
    Store(StoreError),
}

impl<R> From<StoreError> for CommandError<R> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<R> From<diesel::result::Error> for CommandError<R> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The first of each key, in order, and the others: what happens to one request is written in its order.
fn first_of_each<T>(all: Vec<T>, key: impl Fn(&T) -> RequestId) -> (Vec<T>, Vec<T>) {
    let mut seen = HashSet::with_capacity(all.len());
    all.into_iter().partition(|one| seen.insert(key(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_each_request_once_and_what_is_later_stays_later() {
        let (one, two) = (RequestId::generate(), RequestId::generate());
        let queued = vec![(one, 1), (two, 1), (one, 2), (one, 3), (two, 2)];
        let (batch, later) = first_of_each(queued, |(id, _)| *id);
        assert_eq!(batch, [(one, 1), (two, 1)]);
        assert_eq!(later, [(one, 2), (one, 3), (two, 2)]);
        let (batch, later) = first_of_each(later, |(id, _)| *id);
        assert_eq!((batch, later), (vec![(one, 2), (two, 2)], vec![(one, 3)]));
    }
}
