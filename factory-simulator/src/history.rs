//! The latest requests that the factory received, and the latest callbacks that it sent.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Maximum requests, and maximum callbacks, that are remembered.
pub const HISTORY_MAX: usize = 10_000;

/// A production request as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedRequest {
    /// Counts from 0 while the simulator runs.
    pub index: u64,
    pub at: DateTime<Utc>,
    pub idempotency_key: Option<String>,
    pub traceparent: Option<String>,
    pub user_agent: Option<String>,
    pub content_type: Option<String>,
    #[serde(default)]
    pub authorization: Option<String>,
    pub body: String,
    /// Status of the response; `None` when the connection was cut, or there was no response yet.
    pub answer_status: Option<u16>,
    /// The factory's id of the job, when the request was accepted.
    pub job_id: Option<String>,
    /// Number of the four stages that are done.
    pub stage: u8,
}

/// A callback as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCallback {
    /// Counts from 0 while the simulator runs.
    pub index: u64,
    /// Index of the request that it belongs to.
    pub request_index: u64,
    pub at: DateTime<Utc>,
    pub url: String,
    pub body: String,
    /// Status of the response; recorded only.
    pub status: Option<u16>,
    /// Reason why there was no response.
    pub error: Option<String>,
    /// Index of the callback that this one repeats on request.
    pub repeats: Option<u64>,
}

/// Requests and callbacks, each at most `HISTORY_MAX`.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) requests: Recent<ReceivedRequest>,
    pub(crate) callbacks: Recent<SentCallback>,
}

/// The last entries of a list. An entry keeps its index.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    entries: VecDeque<T>,
    first: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 0 }
    }
}

impl<T: Clone> Recent<T> {
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        let index = self.first + self.entries.len() as u64;
        self.entries.push_back(make(index));
        if self.entries.len() > HISTORY_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        index
    }

    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        let offset = index.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(offset).ok()?)
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.entries.iter().cloned().collect()
    }

    /// The last `count` entries, newest first.
    pub(crate) fn latest(&self, count: usize) -> Vec<T> {
        self.entries.iter().rev().take(count).cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.first += self.entries.len() as u64;
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_and_keeps_numbers() {
        let mut recent = Recent::default();
        for _ in 0..HISTORY_MAX + 2 {
            recent.push(|index| index);
        }
        assert_eq!(recent.all().len(), HISTORY_MAX);
        assert_eq!(recent.get_mut(1), None);
        assert_eq!(recent.get_mut(2), Some(&mut 2));
        assert_eq!(recent.latest(1), [HISTORY_MAX as u64 + 1]);
        recent.clear();
        assert_eq!(recent.get_mut(5), None);
        assert_eq!(recent.push(|index| index), HISTORY_MAX as u64 + 2);
    }
}
