//! Bounds what a client can hold: how long it may be waited for, how many connections there are, and how much memory
//! answers take that nobody reads.
//!
//! Every connection knows since when it waits for its client, and for what ([`Wait`]). One loop closes those that
//! have waited for too long. When a listener has no connection left, or unread answers take too much memory, those
//! that have waited longest are closed, so that rude clients compete with each other: an ordinary client is waited
//! for only briefly. A connection that waits for us (a request in a handler, live events) is not closed.

mod connection;
mod exchange;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

pub(crate) use connection::Connection;
pub use exchange::SharedBody;
pub(crate) use exchange::{answer_with, receive};
pub(crate) use stream::Watched;

/// Interval at which deadlines are checked.
const TICK: Duration = Duration::from_millis(250);
/// When there is no room, this part of all that is allowed is freed at once: choosing costs a pass over all
/// connections, which not every new one should pay.
const FREED_PART: usize = 16;
/// Maximum connections that have been closed to make room and have not ended yet.
pub(crate) const MAKING_WAY_MAX: usize = 1024;
/// Maximum memory that unread answers of a listener take, apart from files, which all answers share.
const UNREAD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An action of the client that a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Send the head of a request.
    Head,
    /// Send the rest of a request's body.
    Body,
    /// Read the answer.
    Write,
    /// Read the answer to a request whose body was not read to its end, before the connection is closed.
    Linger,
}

impl Wait {
    const ALL: [Self; 4] = [Self::Head, Self::Body, Self::Write, Self::Linger];

    /// Maximum wait. An answer is written in parts, so the limit of `Write` is a minimum rate as well: about 16 KiB
    /// in this time.
    const fn limit(self) -> Duration {
        match self {
            Self::Head => Duration::from_secs(10),
            Self::Body => Duration::from_secs(15),
            Self::Write => Duration::from_secs(20),
            Self::Linger => Duration::from_secs(1),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Write => "write",
            Self::Linger => "unread_body",
        }
    }
}

/// The open connections of one listener.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    open: Mutex<Open>,
    closed: Counter<u64>,
}

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    connections: HashMap<u64, Arc<Connection>>,
    unread_bytes: usize,
    /// Connections that have been closed to make room, and still have to end.
    making_way: usize,
}

impl Connections {
    /// Watches the connections until the last handle is gone.
    pub(crate) fn new(max: usize) -> Self {
        let closed = opentelemetry::global::meter("jaego")
            .u64_counter("jaego_http_connections_closed")
            .with_description("Connections closed because their client was waited for too long, by what it did not do")
            .build();
        let inner = Arc::new(Inner { max, open: Mutex::default(), closed });
        tokio::spawn(watch(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Adds a connection; None if all others are busy.
    pub(crate) fn admit(&self) -> Option<Arc<Connection>> {
        let mut open = self.0.lock();
        if open.connections.len() - open.making_way >= self.0.max {
            let count = (self.0.max / FREED_PART).max(1);
            let freed = self.0.close_longest(&open, |_| true, |_, closed| closed >= count);
            open.making_way += freed;
            // Those that make way end in a moment, each in its own task.
            if freed == 0 || open.making_way > MAKING_WAY_MAX {
                self.0.count("refused");
                return None;
            }
        }
        open.last_id += 1;
        let id = open.last_id;
        let connection = Arc::new(Connection::new(id));
        open.connections.insert(id, Arc::clone(&connection));
        Some(connection)
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        let mut open = self.0.lock();
        open.connections.remove(&connection.id);
        open.making_way -= usize::from(connection.makes_way());
        open.unread_bytes -= connection.unread_bytes();
        connection.set_unread_bytes(0);
    }

    /// Notes that an answer of this connection takes memory, or less of it.
    pub(crate) fn hold(&self, connection: &Connection, bytes: usize) {
        let mut open = self.0.lock();
        open.unread_bytes = open.unread_bytes - connection.unread_bytes() + bytes;
        connection.set_unread_bytes(bytes);
        if open.unread_bytes > UNREAD_BYTES_MAX {
            let enough = UNREAD_BYTES_MAX / FREED_PART;
            let freed = self.0.close_longest(&open, |one| one.unread_bytes() > 0, |bytes, _| bytes >= enough);
            open.making_way += freed;
        }
    }
}

impl Inner {
    /// Closes the connections that have waited longest for their client, until it is enough: by the bytes and by
    /// the number that are freed. Returns the number.
    fn close_longest(
        &self,
        open: &Open,
        is_meant: impl Fn(&Connection) -> bool,
        is_enough: impl Fn(usize, usize) -> bool,
    ) -> usize {
        let all = open.connections.values().filter(|one| !one.makes_way() && is_meant(one));
        let mut waiting: Vec<_> = all.filter_map(|one| Some((one.waiting()?.1, one))).collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        let (mut bytes, mut closed) = (0, 0);
        for (_, one) in waiting {
            if is_enough(bytes, closed) {
                break;
            }
            bytes += one.unread_bytes();
            closed += 1;
            one.make_way();
            self.count("no_room");
        }
        closed
    }

    fn close_late(&self) {
        let now = connection::now();
        for one in self.lock().connections.values() {
            if let Some((wait, since)) = one.waiting()
                && now.saturating_sub(since) >= wait.limit()
            {
                one.give_up();
                self.count(wait.name());
            }
        }
    }

    fn count(&self, reason: &'static str) {
        self.closed.add(1, &[KeyValue::new("reason", reason)]);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch(connections: Weak<Inner>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(connections) = connections.upgrade() else { return };
        connections.close_late();
    }
}
