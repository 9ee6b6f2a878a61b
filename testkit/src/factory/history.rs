//! What the factory was asked and what it sent; the last of it.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How many requests, and how many callbacks, are remembered.
pub const HISTORY_MAX: usize = 10_000;

/// A request for production, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedRequest {
    /// Counts up from 0 for as long as the simulator runs.
    pub index: u64,
    /// When it came.
    pub at: DateTime<Utc>,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The header `traceparent`.
    pub traceparent: Option<String>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The header `Authorization`.
    #[serde(default)]
    pub authorization: Option<String>,
    /// The body, as text.
    pub body: String,
    /// The status it was answered with; none when the connection was cut (or not answered yet).
    pub answer_status: Option<u16>,
    /// The factory's id for it, when it was accepted.
    pub job_id: Option<String>,
    /// How many of the four stages are done.
    pub stage: u8,
}

/// A callback, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCallback {
    /// Counts up from 0 for as long as the simulator runs.
    pub index: u64,
    /// The request it belongs to.
    pub request_index: u64,
    /// When it was sent.
    pub at: DateTime<Utc>,
    /// Where.
    pub url: String,
    /// The body, as text.
    pub body: String,
    /// What was answered: recorded, and otherwise ignored.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The callback that this one repeats, when somebody asked for that.
    pub repeats: Option<u64>,
}

/// Both, bounded.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) requests: Recent<ReceivedRequest>,
    pub(super) callbacks: Recent<SentCallback>,
}

/// The last entries of a list; an entry keeps its number.
#[derive(Debug)]
pub(super) struct Recent<T> {
    entries: VecDeque<T>,
    first: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 0 }
    }
}

impl<T: Clone> Recent<T> {
    pub(super) fn push(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        let index = self.first + self.entries.len() as u64;
        self.entries.push_back(make(index));
        if self.entries.len() > HISTORY_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        index
    }

    pub(super) fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        let offset = index.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(offset).ok()?)
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.entries.iter().cloned().collect()
    }

    /// The last `count`, newest first.
    pub(super) fn latest(&self, count: usize) -> Vec<T> {
        self.entries.iter().rev().take(count).cloned().collect()
    }

    pub(super) fn clear(&mut self) {
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
