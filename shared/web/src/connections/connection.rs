//! The state of one connection: whom it waits for.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

use super::Wait;

/// Maximum bytes that are read before a request's head is complete, and beyond what a handler has taken: more would
/// only fill memory.
const READ_AHEAD_BYTES_MAX: usize = 16 * 1024;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time since the first use of this clock.
pub(super) fn now() -> Duration {
    START.elapsed()
}

/// Only the connection's own task changes its waits. Others may read them and give it up.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) id: u64,
    /// The wait for the client to send something, packed; 0: it does not wait.
    receiving: AtomicU64,
    /// The wait for the client to read, packed; 0: it does not wait.
    writing: AtomicU64,
    /// The wait that was given up. A wait that has ended in the meantime is another one.
    given_up: AtomicU64,
    /// Time at which the body of the current request began, packed; 0: all of it has arrived.
    body: AtomicU64,
    /// Bytes read since the client's data last made a handler go on.
    read_ahead: AtomicUsize,
    /// Reading was refused and goes on when a handler does.
    is_paused: AtomicBool,
    makes_way: AtomicBool,
    unread_bytes: AtomicUsize,
    waker: AtomicWaker,
}

impl Connection {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            receiving: AtomicU64::new(pack(Wait::Head, now())),
            writing: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            body: AtomicU64::new(0),
            read_ahead: AtomicUsize::new(0),
            is_paused: AtomicBool::new(false),
            makes_way: AtomicBool::new(false),
            unread_bytes: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// The current wait, and the time at which it began; None if it does not wait, or has been given up. A client that does not read
    /// its answer is not expected to send.
    pub(super) fn waiting(&self) -> Option<(Wait, Duration)> {
        let wait = self.wait();
        if wait == self.given_up.load(Ordering::Acquire) { None } else { unpack(wait) }
    }

    fn wait(&self) -> u64 {
        match self.writing.load(Ordering::Acquire) {
            0 => self.receiving.load(Ordering::Acquire),
            writing => writing,
        }
    }

    /// Ends the current wait as failed.
    pub(super) fn give_up(&self) {
        self.given_up.store(self.wait(), Ordering::Release);
        self.waker.wake();
    }

    /// The same to make room for others. It counts as gone from now on.
    pub(super) fn make_way(&self) {
        self.makes_way.store(true, Ordering::Release);
        self.give_up();
    }

    pub(super) fn makes_way(&self) -> bool {
        self.makes_way.load(Ordering::Acquire)
    }

    pub(super) fn unread_bytes(&self) -> usize {
        self.unread_bytes.load(Ordering::Acquire)
    }

    pub(super) fn set_unread_bytes(&self, bytes: usize) {
        self.unread_bytes.store(bytes, Ordering::Release);
    }

    /// The task is woken when a wait is given up.
    pub(super) fn wake_on_change(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// A request arrived.
    pub(super) fn begin(&self, has_body: bool) {
        self.body.store(if has_body { pack(Wait::Body, now()) } else { 0 }, Ordering::Release);
        self.receiving.store(0, Ordering::Release);
        self.progress();
    }

    /// A handler waits for more of the body: true if it has waited for too long.
    pub(super) fn wants_body(&self) -> bool {
        let body = self.body.load(Ordering::Acquire);
        self.receiving.store(body, Ordering::Release);
        body != 0 && self.given_up.load(Ordering::Acquire) == body
    }

    /// A part of the body went to the handler; the last one if `is_complete`.
    pub(super) fn body_arrived(&self, is_complete: bool) {
        if is_complete {
            self.body.store(0, Ordering::Release);
        }
        self.receiving.store(0, Ordering::Release);
        self.progress();
    }

    /// The handler no longer waits for the body.
    pub(super) fn body_given_up(&self) {
        if matches!(unpack(self.receiving.load(Ordering::Acquire)), Some((Wait::Body, _))) {
            self.receiving.store(0, Ordering::Release);
        }
    }

    /// The answer has been handed over completely, or abandoned.
    pub(super) fn answered(&self) {
        self.await_request();
        self.progress();
    }

    fn await_request(&self) {
        let wait = if self.body.load(Ordering::Acquire) == 0 { Wait::Head } else { Wait::Linger };
        self.receiving.store(pack(wait, now()), Ordering::Release);
    }

    fn progress(&self) {
        self.read_ahead.store(0, Ordering::Release);
        if self.is_paused.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Says whether the client may send more now.
    pub(super) fn may_read(&self) -> MayRead {
        let receiving = self.receiving.load(Ordering::Acquire);
        let is_given_up = receiving != 0 && self.given_up.load(Ordering::Acquire) == receiving;
        match unpack(receiving).map(|(wait, _)| wait) {
            Some(Wait::Head | Wait::Linger) if is_given_up => MayRead::No,
            // Arriving bytes are thrown away.
            Some(Wait::Linger) => MayRead::Yes,
            _ if self.read_ahead.load(Ordering::Acquire) < READ_AHEAD_BYTES_MAX => MayRead::Yes,
            Some(Wait::Head) => {
                if self.is_paused.swap(true, Ordering::AcqRel) {
                    MayRead::No
                } else {
                    MayRead::AfterParsing
                }
            }
            _ => {
                self.is_paused.store(true, Ordering::Release);
                MayRead::Later
            }
        }
    }

    pub(super) fn has_read(&self, bytes: usize) {
        self.read_ahead.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The client does not read: true if that has lasted for too long.
    pub(super) fn is_blocked(&self) -> bool {
        match self.writing.load(Ordering::Acquire) {
            0 => {
                self.writing.store(pack(Wait::Write, now()), Ordering::Release);
                false
            }
            writing => self.given_up.load(Ordering::Acquire) == writing,
        }
    }

    /// Everything that was to be written has been taken.
    pub(super) fn flushed(&self) {
        if self.writing.swap(0, Ordering::AcqRel) != 0
            && matches!(unpack(self.wait()), Some((Wait::Head | Wait::Linger, _)))
        {
            // The client could not go on before.
            self.await_request();
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MayRead {
    Yes,
    /// When a handler goes on.
    Later,
    /// The bytes that have been read may be a complete head.
    AfterParsing,
    /// The connection is to be closed.
    No,
}

/// Milliseconds in the upper bits; in the lowest three the kind, so that no wait is 0.
fn pack(wait: Wait, since: Duration) -> u64 {
    let kind = Wait::ALL.iter().position(|one| *one == wait).map_or(0, |place| place as u64 + 1);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX >> 3) << 3 | kind
}

fn unpack(packed: u64) -> Option<(Wait, Duration)> {
    let place = usize::try_from(packed & 7).ok()?.checked_sub(1)?;
    Some((*Wait::ALL.get(place)?, Duration::from_millis(packed >> 3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wait_that_was_given_up_ends() {
        let connection = Connection::new(1);
        assert_eq!(connection.waiting().map(|(wait, _)| wait), Some(Wait::Head));
        connection.give_up();
        assert_eq!((connection.waiting(), connection.may_read()), (None, MayRead::No));
        connection.begin(true);
        connection.give_up();
        assert_eq!(connection.may_read(), MayRead::Yes, "the head arrived just in time");
        assert!(!connection.wants_body());
        connection.give_up();
        assert!(connection.wants_body());
        connection.answered();
        assert_eq!(connection.waiting().map(|(wait, _)| wait), Some(Wait::Linger));
    }

    #[test]
    fn a_client_that_does_not_read_is_not_expected_to_send() {
        let connection = Connection::new(1);
        connection.begin(false);
        connection.answered();
        assert!(!connection.is_blocked());
        assert_eq!(connection.waiting().map(|(wait, _)| wait), Some(Wait::Write));
        connection.give_up();
        assert_eq!(connection.may_read(), MayRead::Yes);
        assert!(connection.is_blocked());
        connection.flushed();
        assert_eq!(connection.waiting().map(|(wait, _)| wait), Some(Wait::Head));
    }

    #[test]
    fn reading_pauses_until_a_handler_goes_on() {
        let connection = Connection::new(1);
        connection.has_read(READ_AHEAD_BYTES_MAX);
        assert_eq!(connection.may_read(), MayRead::AfterParsing);
        assert_eq!(connection.may_read(), MayRead::No, "the head is too large");
        connection.begin(true);
        assert_eq!(connection.may_read(), MayRead::Yes);
        connection.has_read(READ_AHEAD_BYTES_MAX);
        assert_eq!(connection.may_read(), MayRead::Later);
        connection.body_arrived(false);
        assert_eq!(connection.may_read(), MayRead::Yes);
    }
}
