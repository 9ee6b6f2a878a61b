//! How calls ended, until the breakers are told: with the next claim, all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jaego_contracts::ids::FactoryId;

use crate::commands::claim_requests::Tally;

/// By factory.
#[derive(Debug, Clone, Default)]
pub(super) struct Tallies(Arc<Mutex<HashMap<FactoryId, Tally>>>);

impl Tallies {
    /// A call ended; `error` tells how it failed, None that the factory answered.
    pub(super) fn count(&self, factory: &FactoryId, error: Option<String>) {
        self.lock().entry(factory.clone()).or_default().count(error);
    }

    pub(super) fn take(&self) -> HashMap<FactoryId, Tally> {
        std::mem::take(&mut *self.lock())
    }

    /// What was taken could not be told: it comes before what was counted since.
    pub(super) fn put_back(&self, taken: HashMap<FactoryId, Tally>) {
        let mut tallies = self.lock();
        for (factory, mut tally) in taken {
            let later = tallies.remove(&factory).unwrap_or_default();
            tally.append(later);
            tallies.insert(factory, tally);
        }
    }

    /// No count is half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<FactoryId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
