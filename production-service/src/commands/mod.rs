//! Commands, one file each: begin, load, decide, save with the outbox, commit, notify.

mod announce;
pub mod book_receipt;
pub mod callback_url;
pub mod cancel_request;
pub mod claim_requests;
pub mod close_request;
pub mod discard_request;
mod factory_changed;
pub mod give_up_waiting;
pub mod keep_requests;
pub mod leave_calls;
pub mod look_up;
pub mod mark_overdue;
pub mod measure_lead_times;
pub mod outbound;
pub mod own_in_flight;
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

/// Dependencies of every command.
#[derive(Clone)]
pub struct Context {
    pub pool: Pool,
    pub outbox: Outbox,
    /// Notified when a request may have become due.
    pub due: Arc<Notify>,
    /// Delays before each retry of a failed call, for factories without a schedule of their own.
    pub retry_schedule: Arc<[Duration]>,
    pub breaker: BreakerRules,
    /// Maximum time that a request waits for a factory that keeps asking for a delay.
    pub throttled_max: Duration,
}

impl Context {
    /// Wakes the outbox relay and the delivery loop. Call it after every commit.
    fn wake_after_commit(&self) {
        self.outbox.wake();
        self.due.notify_one();
    }

    fn schedule<'a>(&'a self, own: Option<&'a [Duration]>) -> &'a [Duration] {
        own.unwrap_or(&self.retry_schedule)
    }
}

/// The operator who issues a command.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    pub name: &'a str,
    /// Trace of the operator's request.
    pub trace: TraceContext,
}

/// Reason why a command did nothing.
#[derive(Debug)]
pub enum CommandError<R> {
    /// The rules do not permit it.
    Rejected(R),
    /// The store failed.
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

/// Splits into the first item of each key, in order, and the others, so that changes of one request are written in
/// order.
fn first_of_each<T>(all: Vec<T>, key: impl Fn(&T) -> RequestId) -> (Vec<T>, Vec<T>) {
    let mut seen = HashSet::with_capacity(all.len());
    all.into_iter().partition(|one| seen.insert(key(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_each_request_once_and_later_changes_stay_in_order() {
        let (one, two) = (RequestId::generate(), RequestId::generate());
        let queued = vec![(one, 1), (two, 1), (one, 2), (one, 3), (two, 2)];
        let (batch, later) = first_of_each(queued, |(id, _)| *id);
        assert_eq!(batch, [(one, 1), (two, 1)]);
        assert_eq!(later, [(one, 2), (one, 3), (two, 2)]);
        let (batch, later) = first_of_each(later, |(id, _)| *id);
        assert_eq!((batch, later), (vec![(one, 2), (two, 2)], vec![(one, 3)]));
    }
}
