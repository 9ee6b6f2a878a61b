//! The events that wait for one browser.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use actix_web::web::Bytes;

/// Maximum events that wait for one browser.
pub(super) const EVENTS_MAX: usize = 64;
/// Sent to a browser in place of the events that it has missed.
const LOST: Bytes = Bytes::from_static(b"event: lost\ndata: {}\n\n");

/// Events queued for one browser. The bytes are shared with all other browsers that wait for the same events.
#[derive(Debug, Default)]
pub(super) struct Buffer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    is_closed: bool,
    waker: Option<Waker>,
}

impl Buffer {
    /// Adds an event; returns true if older events were dropped for it.
    pub(super) fn push(&self, event: Bytes) -> bool {
        let mut state = self.lock();
        let is_full = state.waiting.len() >= EVENTS_MAX;
        if is_full {
            // `LOST` makes the page reload its data in place of the dropped events; later events are sent as usual.
            state.waiting.clear();
            state.waiting.push_back(LOST);
        }
        state.waiting.push_back(event);
        wake(state);
        is_full
    }

    /// Adds a keep-alive, unless events are waiting that serve the same purpose.
    pub(super) fn push_if_idle(&self, event: &Bytes) {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.waiting.push_back(event.clone());
            wake(state);
        }
    }

    /// Closes the buffer: events that wait are still read, but no more are added.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        wake(state);
    }

    /// The next event; None after the last one of a closed buffer.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(event) => {
                // A browser that was slow once must not keep a large buffer forever.
                if state.waiting.is_empty() {
                    state.waiting.shrink_to(4);
                }
                Poll::Ready(Some(event))
            }
            None if state.is_closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the reader after the lock is released, because the reader takes it.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &Buffer) -> Vec<String> {
        let context = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        while let Poll::Ready(Some(event)) = buffer.poll_next(&context) {
            read.push(String::from_utf8_lossy(&event).into_owned());
        }
        read
    }

    #[test]
    fn a_slow_browser_is_notified_once_of_its_loss() {
        let buffer = Buffer::default();
        for number in 0..EVENTS_MAX {
            assert!(!buffer.push(Bytes::from(number.to_string())));
        }
        assert!(buffer.push(Bytes::from_static(b"new")));
        assert_eq!(read(&buffer), ["event: lost\ndata: {}\n\n", "new"]);
        for number in 0..10 * EVENTS_MAX {
            buffer.push(Bytes::from(number.to_string()));
        }
        let events = read(&buffer);
        assert!(events.len() <= EVENTS_MAX);
        assert_eq!(events.iter().filter(|event| event.contains("lost")).count(), 1);
        assert_eq!(events.last().map(String::as_str), Some("639"));
    }

    #[test]
    fn a_ping_does_not_wait_behind_events_and_the_end_comes_last() {
        let buffer = Buffer::default();
        let ping = Bytes::from_static(b": ping\n\n");
        buffer.push_if_idle(&ping);
        buffer.push_if_idle(&ping);
        buffer.push(Bytes::from_static(b"event"));
        buffer.close();
        assert_eq!(read(&buffer), [": ping\n\n", "event"]);
        assert_eq!(buffer.poll_next(&Context::from_waker(Waker::noop())), Poll::Ready(None));
    }
}
