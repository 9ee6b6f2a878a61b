//! The calls that this process has in hand: from before they are made until their end is recorded. Nobody
//! knows better how they end, so this process does not take them for lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jaego_contracts::ids::{FactoryId, RequestId};

/// Each call by its request and number, with the factory that is called.
#[derive(Debug, Clone, Default)]
pub struct InHand(Arc<Mutex<HashMap<(RequestId, i32), FactoryId>>>);

/// A call is in hand until this is dropped, however its task ends.
#[must_use]
#[derive(Debug)]
pub struct Held {
    in_hand: InHand,
    call: (RequestId, i32),
}

impl InHand {
    /// Takes a call in hand.
    pub fn hold(&self, request: RequestId, number: i32, factory: FactoryId) -> Held {
        let call = (request, number);
        self.lock().insert(call, factory);
        Held { in_hand: self.clone(), call }
    }

    /// Each by its request and number.
    pub fn all(&self) -> Vec<(RequestId, i32)> {
        self.lock().keys().copied().collect()
    }

    /// How many there are of each factory.
    pub fn by_factory(&self) -> HashMap<FactoryId, u32> {
        let mut counts = HashMap::new();
        for factory in self.lock().values() {
            *counts.entry(factory.clone()).or_default() += 1;
        }
        counts
    }

    /// One insert or remove is never half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<(RequestId, i32), FactoryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_hand.lock().remove(&self.call);
    }
}
