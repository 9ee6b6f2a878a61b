//! The calls that this process has in hand: from before they are made until their end is recorded. Nobody
//! knows better how they end, so this process does not take them for lost.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::ids::RequestId;

/// Each call by its request and number.
#[derive(Debug, Clone, Default)]
pub(super) struct InHand(Arc<Mutex<HashSet<(RequestId, i32)>>>);

/// A call is in hand until this is dropped, however its task ends.
#[must_use]
#[derive(Debug)]
pub(super) struct Held {
    in_hand: InHand,
    call: (RequestId, i32),
}

impl InHand {
    pub(super) fn hold(&self, request: RequestId, number: i32) -> Held {
        let call = (request, number);
        self.lock().insert(call);
        Held { in_hand: self.clone(), call }
    }

    pub(super) fn all(&self) -> Vec<(RequestId, i32)> {
        self.lock().iter().copied().collect()
    }

    /// One insert or remove is never half done.
    fn lock(&self) -> MutexGuard<'_, HashSet<(RequestId, i32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_hand.lock().remove(&self.call);
    }
}
