//! What the leader does: read a window, publish it, wait for the first window's confirms, settle it, read the next.

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

/// What is told of a broker that has stopped reading.
const BLOCKED: &str = "the broker takes no messages now: it is short of memory or disk";
/// Events are deleted at the front, and until the database has cleaned up, a look from the very beginning passes over
/// all that was deleted. So a look begins where the last one ended, or so many ids before that, for transactions that
/// ended later than one with a higher id ..
const LOOK_BACK: i64 = 10_000;
/// .. and from the very beginning so often, for what lies before that; but for one part in so many of the time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_SHARE: u32 = 20;

/// How some relaying ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Stopped,
    LeaseLost,
}

pub(super) enum Failure {
    Store(StoreError),
    /// The broker has closed the channel, and only that: it does not want one of the messages.
    Channel(anyhow::Error),
    Link(anyhow::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The way to the broker.
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
    /// On their way, in the order in which they were read.
    windows: VecDeque<Window>,
    /// Events whose fate is known and not written yet.
    settled: Vec<(Row, Fate)>,
    /// Events in a window now. After the broker has closed a channel, one alone: when it does so again it is known
    /// because of which.
    width: i64,
    /// Where the last window ended, and whether there was more.
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
            failed: counter(
                "jaego_outbox_publish_failures",
                "Messages that the broker did not take, to be tried again",
            ),
        }
    }

    /// Relays until `stop`, or until another replica leads.
    pub(super) async fn lead(&mut self, line: &Line<'_>, stop: &CancellationToken) -> Result<Ended, Failure> {
        // What was on its way on another channel is read again.
        self.windows.clear();
        self.look_from_the_beginning();
        let mut stopping = false;
        loop {
            if stop.is_cancelled() && !stopping {
                // What was committed before the stop is published.
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

    /// Another replica leads: what it holds, it tells.
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
        // What is published to a blocked connection only waits in this process.
        self.windows.len() < windows_max && !line.is_blocked()
    }

    /// What is to be read now; nothing when its limit is zero.
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
            // Alone: when the broker closes the channel, it is known because of which.
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

    /// One round trip: writes down what became of events, reads others, renews the lease. Then publishes what was read.
    /// False when another replica leads.
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

    /// All events of the key are wanted again.
    fn release(&mut self, key: &str) {
        self.held.release(key);
        self.look_from_the_beginning();
    }

    async fn publish(&mut self, line: &Line<'_>, mut window: Window) -> Result<(), Failure> {
        let published = window.publish(&line.channel).await;
        // Kept although it failed: a channel that is closed now is closed because of one of these.
        self.windows.push_back(window);
        match published {
            Ok(()) => Ok(()),
            Err(Unconfirmed::Late) => Err(Failure::Link(anyhow::anyhow!("the broker does not read"))),
            Err(Unconfirmed::Broken(error)) => Err(self.broken(line, error.into())),
        }
    }

    /// Until something may have changed.
    async fn wait(&mut self, line: &Line<'_>, stop: &CancellationToken, stopping: bool) -> Result<(), Failure> {
        let relay = self.relay;
        // While a probe waits for the windows before it to end, nothing else is read: only a confirm changes that.
        let reads_by_clock = self.has_room(line) && (self.windows.is_empty() || self.held.due().is_none());
        let next = self.held.next_probe().map_or(self.look_at, |probe_at| probe_at.min(self.look_at));
        let confirmed = tokio::select! {
            Some(confirmed) = OptionFuture::from(self.windows.front_mut().map(Window::confirmed)) => confirmed,
            // The first event after a pause goes at once. While they come all the time, each look gathers what has come
            // since the one before, instead of costing a window for every commit.
            () = relay.outbox.rung() => {
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
            // Of a link that is gone the heartbeats tell.
            (Err(Unconfirmed::Late), Some(front)) => front.give_up(),
            (Err(Unconfirmed::Late), None) | (Ok(()), _) => {}
        }
        Ok(())
    }

    /// Takes complete windows from the front, and notes what is to be written of them.
    fn settle(&mut self) {
        if !self.windows.front().is_some_and(Window::is_complete) {
            return;
        }
        // The client hands a returned message to whichever confirm comes next on the channel: one that is here already.
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
                // Confirmed or not: one of its queues may have none of it. The first of a key tells for all.
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

    /// The link is gone, or only the channel: then because of one of the events on their way. When there is only one, it
    /// waits by itself, and others of its key, which may be as bad, are tried one by one while the rest goes on.
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
