//! Calls in flight in this process, from before they are made until their results are recorded. Only this process
//! learns how they end, so it does not treat them as lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jaego_contracts::ids::{FactoryId, RequestId};

/// Called factories, by request and number of the call.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashMap<(RequestId, i32), FactoryId>>>);

/// The call stays in flight until this is dropped, however its task ends.
#[must_use]
#[derive(Debug)]
pub struct Held {
    own_in_flight: InFlight,
    call: (RequestId, i32),
}

impl InFlight {
    /// Registers a call as in flight.
    pub fn hold(&self, request: RequestId, number: i32, factory: FactoryId) -> Held {
        let call = (request, number);
        self.lock().insert(call, factory);
        Held { own_in_flight: self.clone(), call }
    }

    /// Request and number of each call.
    pub fn all(&self) -> Vec<(RequestId, i32)> {
        self.lock().keys().copied().collect()
    }

    /// Number of calls in flight per factory.
    pub fn by_factory(&self) -> HashMap<FactoryId, u32> {
        let mut counts = HashMap::new();
        for factory in self.lock().values() {
            *counts.entry(factory.clone()).or_default() += 1;
        }
        counts
    }

    /// A poisoned lock can be used: one insert or remove is never half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<(RequestId, i32), FactoryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.own_in_flight.lock().remove(&self.call);
    }
}
