//! Results of calls, collected until the next claim applies them to the breakers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jaego_contracts::ids::FactoryId;

use crate::commands::claim_requests::Tally;

#[derive(Debug, Clone, Default)]
pub(super) struct Tallies(Arc<Mutex<HashMap<FactoryId, Tally>>>);

impl Tallies {
    /// Counts a finished call. `error` describes its failure; None means that the factory answered.
    pub(super) fn count(&self, factory: &FactoryId, error: Option<String>) {
        self.lock().entry(factory.clone()).or_default().count(error);
    }

    pub(super) fn take(&self) -> HashMap<FactoryId, Tally> {
        std::mem::take(&mut *self.lock())
    }

    /// Returns results that could not be applied; they precede those counted since.
    pub(super) fn put_back(&self, taken: HashMap<FactoryId, Tally>) {
        let mut tallies = self.lock();
        for (factory, mut tally) in taken {
            let later = tallies.remove(&factory).unwrap_or_default();
            tally.append(later);
            tallies.insert(factory, tally);
        }
    }

    /// A poisoned lock can be used: no count is half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<FactoryId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
