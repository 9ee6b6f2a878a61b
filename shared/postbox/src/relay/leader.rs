//! The leader's loop: reads a window, publishes it, waits for the confirms of the first window, settles it and reads
//! the next.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures::future::OptionFuture;
use jaego_amqp::health::CONNECTION;
use jaego_pg::StoreError;
use lapin::{Channel, Connection};
use opentelemetry::metrics::Counter;
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::held::Held;
use super::lease::Lease;
use super::publish::{Outcome, Unconfirmed, Window};
use super::rows::{self, Fate, Row, Wanted};

/// Problem reported while the broker blocks the connection.
const BLOCKED: &str = "the broker accepts no messages now: it is short of memory or disk";
/// Events are deleted at the front of the table, and until it has been vacuumed, a read from the first id passes over
/// all the deleted rows. A read therefore starts where the last one ended, or this many ids before that, to find
/// transactions that committed after one with a higher id.
const LOOK_BACK: i64 = 10_000;
/// Interval of reads from the first id, which find rows that committed even later. They take at most one part in
/// `SWEEP_SHARE` of the time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_SHARE: u32 = 20;

/// Reason why the relay stopped leading without a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Stopped,
    LeaseLost,
}

pub(super) enum Failure {
    Store(StoreError),
    /// The broker has closed the channel but not the connection: it does not accept one of the messages.
    Channel(anyhow::Error),
    Link(anyhow::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Connection and channel to the broker.
pub(super) struct Line<'l> {
    pub(super) link: &'l Connection,
    pub(super) channel: Channel,
}

impl Line<'_> {
    fn is_blocked(&self) -> bool {
        self.link.status().blocked()
    }
}

pub(super) struct Leader<'a> {
    relay: &'a Relay,
    pub(super) lease: Lease<'a>,
    held: Held<'a>,
    /// Windows in flight, in the order in which they were read.
    windows: VecDeque<Window>,
    /// Events whose fate is known but not written yet.
    settled: Vec<(Row, Fate)>,
    /// Maximum events in the next window. After the broker has closed a channel it is one, so that another close
    /// shows which event causes it.
    width: i64,
    /// Last id of the last window, and whether the window was full.
    cursor: i64,
    is_full: bool,
    looked_at: Instant,
    look_at: Instant,
    sweep_at: Instant,
    published: Counter<u64>,
    failed: Counter<u64>,
}

impl<'a> Leader<'a> {
    pub(super) fn new(relay: &'a Relay) -> Self {
        let meter = opentelemetry::global::meter("jaego");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        let now = Instant::now();
        Self {
            relay,
            lease: Lease::new(&relay.pool),
            held: Held::new(&relay.broker),
            windows: VecDeque::new(),
            settled: Vec::new(),
            width: relay.settings.window,
            cursor: 0,
            is_full: false,
            looked_at: now,
            look_at: now,
            sweep_at: now,
            published: counter("jaego_outbox_published", "Messages confirmed by the broker"),
            failed: counter("jaego_outbox_publish_failures", "Messages that the broker did not accept, to be retried"),
        }
    }

    /// Relays until `stop`, or until another replica leads.
    pub(super) async fn lead(&mut self, line: &Line<'_>, stop: &CancellationToken) -> Result<Ended, Failure> {
        // Events that were in flight on another channel are read again.
        self.windows.clear();
        self.look_from_the_beginning();
        let mut stopping = false;
        loop {
            if stop.is_cancelled() && !stopping {
                // Events that were committed before the stop are still published.
                (stopping, self.look_at) = (true, Instant::now());
            }
            if !line.channel.status().connected() {
                return Err(self.broken(line, anyhow::anyhow!("the channel is closed")));
            }
            if line.is_blocked() {
                self.relay.broker.fail(CONNECTION, BLOCKED);
            } else {
                self.relay.broker.pass(CONNECTION);
            }
            self.settle();
            let wanted = self.wanted(line);
            if wanted.limit > 0 || !self.settled.is_empty() || self.lease.must_be_renewed() {
                if !self.turn(line, wanted).await? {
                    return Ok(Ended::LeaseLost);
                }
            } else if stopping && self.windows.is_empty() {
                return Ok(Ended::Stopped);
            } else {
                self.wait(line, stop, stopping).await?;
            }
        }
    }

    /// Drops this replica's held keys and problems: the new leader reports its own.
    pub(super) fn step_down(&mut self) {
        self.held.clear();
        self.relay.broker.pass(CONNECTION);
    }

    fn look_from_the_beginning(&mut self) {
        let now = Instant::now();
        (self.cursor, self.is_full, self.look_at, self.sweep_at) = (0, false, now, now);
    }

    fn has_room(&self, line: &Line<'_>) -> bool {
        let windows_max = if self.width < self.relay.settings.window { 1 } else { self.relay.settings.windows };
        // Messages that are published to a blocked connection only wait in this process.
        self.windows.len() < windows_max && !line.is_blocked()
    }

    /// Events to read now; a limit of zero reads nothing.
    fn wanted(&self, line: &Line<'_>) -> Wanted {
        let mut wanted = Wanted {
            after: 0,
            limit: 0,
            in_flight: self.windows.iter().map(Window::span).collect(),
            held: self.held.keys(),
            probed: None,
        };
        let now = Instant::now();
        if let Some(key) = self.held.due().filter(|_| self.has_room(line)) {
            // A probe is published alone, so that a closed channel shows which event caused it.
            if self.windows.is_empty() {
                (wanted.probed, wanted.limit) = (Some(key), 1);
            }
        } else if self.has_room(line) && now >= self.look_at {
            wanted.limit = self.width;
            let behind = if self.is_full { 0 } else { LOOK_BACK };
            wanted.after = if now >= self.sweep_at { 0 } else { (self.cursor - behind).max(0) };
        }
        wanted
    }

    /// Writes outcomes, reads events and renews the lease in one round trip. Then publishes the events that were
    /// read. False when another replica leads.
    async fn turn(&mut self, line: &Line<'_>, wanted: Wanted) -> Result<bool, Failure> {
        let begun = Instant::now();
        let (limit, after, probed) = (wanted.limit, wanted.after, wanted.probed.clone());
        let renewing = self.lease.must_be_renewed().then(|| self.lease.renewing());
        let turn = rows::turn(&self.relay.pool, &self.settled, wanted, renewing).await?;
        self.settled.clear();
        if let Some(is_ours) = turn.lease_is_ours {
            self.lease.note(is_ours);
            if !is_ours {
                return Ok(false);
            }
        }
        if limit == 0 {
            return Ok(true);
        }
        match &probed {
            Some(key) if turn.rows.is_empty() => self.release(key),
            Some(key) => self.held.probe(key),
            None => {
                self.is_full = i64::try_from(turn.rows.len()).is_ok_and(|taken| taken >= limit);
                self.cursor = turn.rows.last().map_or(self.cursor, |row| row.id);
                self.looked_at = begun;
                self.look_at = if self.is_full { begun } else { begun + self.relay.poll() };
                if after == 0 {
                    self.sweep_at = Instant::now() + SWEEP_EVERY.max(begun.elapsed() * SWEEP_SHARE);
                }
            }
        }
        if !turn.rows.is_empty() {
            self.publish(line, Window::new(turn.rows, probed, self.relay.limit())).await?;
        }
        Ok(true)
    }

    /// Releases the key, and reads from the first id because all its events are wanted again.
    fn release(&mut self, key: &str) {
        self.held.release(key);
        self.look_from_the_beginning();
    }

    async fn publish(&mut self, line: &Line<'_>, mut window: Window) -> Result<(), Failure> {
        let published = window.publish(&line.channel).await;
        // The window is kept although publishing failed: if the channel is closed, one of these events was the cause.
        self.windows.push_back(window);
        match published {
            Ok(()) => Ok(()),
            Err(Unconfirmed::Late) => Err(Failure::Link(anyhow::anyhow!("the broker does not read"))),
            Err(Unconfirmed::Broken(error)) => Err(self.broken(line, error.into())),
        }
    }

    /// Waits until something may have changed.
    async fn wait(&mut self, line: &Line<'_>, stop: &CancellationToken, stopping: bool) -> Result<(), Failure> {
        let relay = self.relay;
        // While a due probe waits for earlier windows to complete, nothing else is read: only a confirm changes that.
        let reads_by_clock = self.has_room(line) && (self.windows.is_empty() || self.held.due().is_none());
        let next = self.held.next_probe().map_or(self.look_at, |probe_at| probe_at.min(self.look_at));
        let confirmed = tokio::select! {
            Some(confirmed) = OptionFuture::from(self.windows.front_mut().map(Window::confirmed)) => confirmed,
            // The first event after a pause is read at once. Under steady load each read collects the events
            // committed since the previous one, instead of spending a window on every commit.
            () = relay.outbox.signalled() => {
                let paced = self.looked_at + Duration::from_millis(relay.settings.pace_ms);
                self.look_at = self.look_at.min(paced);
                Ok(())
            }
            () = tokio::time::sleep_until(next.into()), if reads_by_clock => Ok(()),
            () = tokio::time::sleep(relay.poll()) => Ok(()),
            () = stop.cancelled(), if !stopping => Ok(()),
        };
        match (confirmed, self.windows.front_mut()) {
            (Err(Unconfirmed::Broken(error)), _) => return Err(self.broken(line, error.into())),
            (Err(Unconfirmed::Late), Some(front)) if line.is_blocked() => front.wait_longer(),
            // Heartbeats detect a dead link.
            (Err(Unconfirmed::Late), Some(front)) => front.give_up(),
            (Err(Unconfirmed::Late), None) | (Ok(()), _) => {}
        }
        Ok(())
    }

    /// Removes complete windows from the front, and queues the fates of their events to be written.
    fn settle(&mut self) {
        if !self.windows.front().is_some_and(Window::is_complete) {
            return;
        }
        // The client attaches a returned message to whichever confirm comes next on the channel. That confirm may
        // belong to a later window, but it has already arrived.
        for window in &mut self.windows {
            window.take_ready();
            for (key, error) in window.take_complaints() {
                self.held.hold(&key, &error);
            }
        }
        while self.windows.front().is_some_and(Window::is_complete) {
            let Some((probed, rows)) = self.windows.pop_front().map(Window::into_rows) else { return };
            if let Some(key) = probed.filter(|key| self.held.is_taken(key)) {
                self.release(&key);
            }
            self.settle_rows(rows);
            self.width = (self.width * 2).min(self.relay.settings.window);
        }
    }

    fn settle_rows(&mut self, rows: Vec<(Row, Outcome)>) {
        let all = rows.len();
        let mut told = BTreeSet::new();
        let mut confirmed = 0;
        for (row, outcome) in rows {
            let key = if self.held.is_empty() { String::new() } else { row.key() };
            let fate = match (outcome, self.held.error(&key)) {
                (Outcome::Refused(error), _) => Fate::Refused(error),
                // Kept even if it was confirmed: one of its queues may have none of it. The first event of a key
                // records the error for all.
                (_, Some(error)) if told.insert(key.clone()) => Fate::Held(error.to_owned()),
                (Outcome::Confirmed, None) => Fate::Published,
                _ => continue,
            };
            confirmed += usize::from(matches!(fate, Fate::Published));
            self.settled.push((row, fate));
        }
        self.published.add(confirmed as u64, &[]);
        self.failed.add((all - confirmed) as u64, &[]);
    }

    /// Finds out whether the link is lost, or only the channel. The broker closes a channel because of one of the
    /// events in flight. If there is only one, it is retried after a delay of its own, and its key is held: other
    /// events of the key may be just as bad, so they are tried one by one while the other keys go on.
    fn broken(&mut self, line: &Line<'_>, error: anyhow::Error) -> Failure {
        if !line.link.status().connected() {
            return Failure::Link(error);
        }
        self.width = 1;
        if let [window] = self.windows.make_contiguous()
            && window.len() == 1
            && let Some((row, _)) = self.windows.pop_front().and_then(|window| window.into_rows().1.pop())
        {
            let told = format!("{error:#}");
            self.held.hold(&row.key(), &told);
            self.settled.push((row, Fate::Refused(told)));
        }
        Failure::Channel(error)
    }
}
