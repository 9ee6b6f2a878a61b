//! Results of calls, collected until the next claim applies them to the breakers.
//!
//! The transaction that records a result does not apply it: it would need the factory's row, which claims of all
//! replicas lock in turn, so a replica that hangs while it claims would keep the others from recording what their
//! factories answered. A tally that is lost, because its process or its claim failed, delays a breaker only.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jaego_contracts::ids::FactoryId;

use crate::commands::claim_requests::Tally;

#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<HashMap<FactoryId, Tally>>);

impl Tallies {
    /// Counts a finished call. `error` describes its failure; None means that the factory answered.
    pub(super) fn count(&self, factory: &FactoryId, error: Option<String>) {
        self.lock().entry(factory.clone()).or_default().count(error);
    }

    pub(super) fn take(&self) -> HashMap<FactoryId, Tally> {
        std::mem::take(&mut *self.lock())
    }

    /// A poisoned lock can be used: no count is half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<FactoryId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
