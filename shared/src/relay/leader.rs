//! What the leader does: read a window, publish it, wait for the first window's confirms, settle it, read the next.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures::future::OptionFuture;
use lapin::{Channel, Connection};
use opentelemetry::metrics::Counter;
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::held::Held;
use super::lease::Lease;
use super::position::{Look, Position};
use super::publish::{Outcome, Unconfirmed, Window};
use super::rows::{self, Fate, Row, Wanted};
use crate::amqp::health::CONNECTION;
use crate::db::StoreError;

/// What is told of a broker that has stopped reading.
const BLOCKED: &str = "the broker takes no messages now: it is short of memory or disk";

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

/// What outlives a channel.
pub(super) struct Memory<'a> {
    held: Held<'a>,
    /// Events whose fate is known and not written yet.
    settled: Vec<(Row, Fate)>,
    /// Events in a window now. After the broker has closed a channel, one alone: when it does so again it is known
    /// because of which.
    width: i64,
    published: Counter<u64>,
    failed: Counter<u64>,
}

impl<'a> Memory<'a> {
    pub(super) fn new(relay: &'a Relay) -> Self {
        let meter = opentelemetry::global::meter("jaego");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            held: Held::new(&relay.broker),
            settled: Vec::new(),
            width: relay.settings.window,
            published: counter("jaego_outbox_published", "Messages confirmed by the broker"),
            failed: counter("jaego_outbox_publish_failures", "Messages that the broker did not take, to be tried again"),
        }
    }
}

/// Leads on one channel.
pub(super) struct Leader<'a, 'l> {
    relay: &'a Relay,
    link: &'a Connection,
    channel: Channel,
    lease: &'a mut Lease<'l>,
    memory: &'a mut Memory<'l>,
    position: Position,
    /// On their way, in the order in which they were read.
    windows: VecDeque<Window>,
    looked_at: Instant,
    look_at: Instant,
}

/// What is to be read.
enum Reading {
    Nothing,
    Next(Look),
    /// One event of a held key.
    Probe(String),
}

impl<'a, 'l> Leader<'a, 'l> {
    pub(super) fn new(
        relay: &'a Relay,
        link: &'a Connection,
        channel: Channel,
        lease: &'a mut Lease<'l>,
        memory: &'a mut Memory<'l>,
    ) -> Self {
        let now = Instant::now();
        let position = Position::new(now);
        Self { relay, link, channel, lease, memory, position, windows: VecDeque::new(), looked_at: now, look_at: now }
    }

    pub(super) async fn lead(&mut self, stop: &CancellationToken) -> Result<Ended, Failure> {
        let mut stopping = false;
        loop {
            if stop.is_cancelled() && !stopping {
                // What was committed before the stop is published.
                (stopping, self.look_at) = (true, Instant::now());
            }
            self.check()?;
            self.settle();
            let reading = self.reading();
            if !matches!(reading, Reading::Nothing) || !self.memory.settled.is_empty() || self.lease.must_be_renewed() {
                if !self.turn(reading).await? {
                    return Ok(Ended::LeaseLost);
                }
                continue;
            }
            if stopping && self.windows.is_empty() {
                return Ok(Ended::Stopped);
            }
            self.wait(stop, stopping).await?;
        }
    }

    /// Fails when there is no channel any more, and tells of a broker that takes nothing.
    fn check(&mut self) -> Result<(), Failure> {
        if !self.channel.status().connected() {
            return Err(self.broken(anyhow::anyhow!("the channel is closed")));
        }
        if self.link.status().blocked() {
            self.relay.broker.fail(CONNECTION, BLOCKED);
        } else {
            self.relay.broker.pass(CONNECTION);
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        // What is published to a blocked connection only waits in this process.
        let windows_max = if self.memory.width < self.relay.settings.window { 1 } else { self.relay.settings.windows };
        self.windows.len() < windows_max && !self.link.status().blocked()
    }

    fn reading(&mut self) -> Reading {
        if !self.has_room() {
            return Reading::Nothing;
        }
        let now = Instant::now();
        match self.memory.held.due() {
            // Alone: when the broker closes the channel, it is known because of which.
            Some(key) if self.windows.is_empty() => Reading::Probe(key),
            None if now >= self.look_at => Reading::Next(self.position.look(now)),
            Some(_) | None => Reading::Nothing,
        }
    }

    /// One round trip: writes down what became of events, reads others, renews the lease. Then publishes what was read.
    /// False when another replica leads.
    async fn turn(&mut self, reading: Reading) -> Result<bool, Failure> {
        let begun = Instant::now();
        let mut wanted = Wanted {
            after: 0,
            limit: 0,
            in_flight: self.windows.iter().map(Window::span).collect(),
            held: self.memory.held.keys(),
            probed: None,
        };
        match &reading {
            Reading::Nothing => {}
            Reading::Next(look) => (wanted.after, wanted.limit) = (look.after(), self.memory.width),
            Reading::Probe(key) => (wanted.probed, wanted.limit) = (Some(key.clone()), 1),
        }
        let renewing = self.lease.must_be_renewed().then(|| self.lease.renewing());
        let turn = rows::turn(&self.relay.pool, &self.memory.settled, wanted, renewing).await?;
        if let Some(is_ours) = turn.lease_is_ours {
            self.lease.note(is_ours);
        }
        self.memory.settled.clear();
        if turn.lease_is_ours == Some(false) {
            return Ok(false);
        }
        match reading {
            Reading::Nothing => return Ok(true),
            Reading::Next(look) => {
                let is_full = i64::try_from(turn.rows.len()).is_ok_and(|taken| taken >= self.memory.width);
                let now = Instant::now();
                self.position.found(&look, turn.rows.last().map(|row| row.id), is_full, now);
                (self.looked_at, self.look_at) = (begun, if is_full { now } else { begun + self.relay.poll() });
                self.publish(turn.rows, None).await?;
            }
            Reading::Probe(key) if turn.rows.is_empty() => self.release(&key),
            Reading::Probe(key) => {
                self.memory.held.probe(&key);
                self.publish(turn.rows, Some(key)).await?;
            }
        }
        Ok(true)
    }

    /// All of its events are wanted again, from the first.
    fn release(&mut self, key: &str) {
        self.memory.held.release(key);
        (self.position, self.look_at) = (Position::new(Instant::now()), Instant::now());
    }

    async fn publish(&mut self, rows: Vec<Row>, probed: Option<String>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        // Kept before it can fail: a channel that is closed now is closed because of one of these.
        let mut window = Window::new(rows, probed, self.relay.limit());
        let published = window.publish(&self.channel).await;
        self.windows.push_back(window);
        match published {
            Ok(()) => Ok(()),
            Err(Unconfirmed::Late) => Err(Failure::Link(anyhow::anyhow!("the broker does not read"))),
            Err(Unconfirmed::Broken(error)) => Err(self.broken(error.into())),
        }
    }

    /// Until something may have changed.
    async fn wait(&mut self, stop: &CancellationToken, stopping: bool) -> Result<(), Failure> {
        let relay = self.relay;
        let pace = Duration::from_millis(relay.settings.pace_ms);
        let has_room = self.has_room();
        let next = self.memory.held.next_probe().map_or(self.look_at, |probe_at| probe_at.min(self.look_at));
        let confirmed = tokio::select! {
            Some(confirmed) = OptionFuture::from(self.windows.front_mut().map(Window::confirmed)) => confirmed,
            // The first event after a pause goes at once. While they come all the time, each look gathers what has come
            // since the one before, instead of costing a window for every commit.
            () = relay.outbox.rung() => {
                self.look_at = self.look_at.min(self.looked_at + pace);
                Ok(())
            }
            () = tokio::time::sleep_until(next.into()), if has_room => Ok(()),
            () = tokio::time::sleep(relay.poll()) => Ok(()),
            () = stop.cancelled(), if !stopping => Ok(()),
        };
        let is_blocked = self.link.status().blocked();
        match (confirmed, self.windows.front_mut()) {
            (Err(Unconfirmed::Broken(error)), _) => return Err(self.broken(error.into())),
            (Err(Unconfirmed::Late), Some(front)) if is_blocked => front.wait_longer(),
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
                self.memory.held.hold(&key, &error);
            }
        }
        while self.windows.front().is_some_and(Window::is_complete) {
            let Some(window) = self.windows.pop_front() else { return };
            let (probed, rows) = window.into_rows();
            if let Some(key) = probed
                && self.memory.held.is_taken(&key)
            {
                self.release(&key);
            }
            self.settle_rows(rows);
            self.memory.width = (self.memory.width * 2).min(self.relay.settings.window);
        }
    }

    fn settle_rows(&mut self, rows: Vec<(Row, Outcome)>) {
        let (mut confirmed, mut failed) = (0, 0);
        let mut told = BTreeSet::new();
        for (row, outcome) in rows {
            let fate = match outcome {
                Outcome::Refused(error) => Some(Fate::Refused(error)),
                // Confirmed or not: one of its queues may have none of it.
                _ if !self.memory.held.is_empty() && self.memory.held.error(&row.key()).is_some() => {
                    // The first of a key tells for all.
                    let error = self.memory.held.error(&row.key()).unwrap_or_default().to_owned();
                    told.insert(row.key()).then_some(Fate::Held(error))
                }
                Outcome::Confirmed => Some(Fate::Published),
                Outcome::Waiting | Outcome::NotTaken => None,
            };
            match fate {
                Some(Fate::Published) => confirmed += 1,
                _ => failed += 1,
            }
            self.memory.settled.extend(fate.map(|fate| (row, fate)));
        }
        self.memory.published.add(confirmed, &[]);
        self.memory.failed.add(failed, &[]);
    }

    /// The link is gone, or only the channel: then because of an event.
    fn broken(&mut self, error: anyhow::Error) -> Failure {
        if !self.link.status().connected() {
            return Failure::Link(error);
        }
        self.refuse(&format!("{error:#}"));
        Failure::Channel(error)
    }

    /// The broker has closed the channel because of one of the events on their way: when there is one, that one.
    fn refuse(&mut self, error: &str) {
        self.memory.width = 1;
        let is_one = self.windows.len() == 1 && self.windows.front().is_some_and(|window| window.len() == 1);
        if is_one && let Some(window) = self.windows.pop_front() {
            let (_, rows) = window.into_rows();
            for (row, _) in rows {
                // Others of its key may be as bad: they are tried one by one, while the rest goes on.
                self.memory.held.hold(&row.key(), error);
                self.memory.settled.push((row, Fate::Refused(error.to_owned())));
            }
        }
    }
}
