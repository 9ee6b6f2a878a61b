//! Holds answers until they are released.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// A test that must act during a call holds the call's answer, however slow the machine is.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Number of further requests whose answers are held.
    next: Mutex<usize>,
    released: watch::Sender<()>,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self { next: Mutex::new(0), released: watch::Sender::new(()) }
    }

    /// Holds the answers of the next `count` requests.
    pub(crate) fn hold(&self, count: usize) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }

    /// Sends the held answers, and holds no more.
    pub(crate) fn release(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        self.released.send_replace(());
    }

    pub(crate) async fn pass(&self) {
        let mut released = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(left) = next.checked_sub(1) else { return };
            *next = left;
            self.released.subscribe()
        };
        // The sender lives as long as this gate.
        released.changed().await.ok();
    }
}
