//! The leader's loop: reads a window, publishes it, waits for the confirms of the first window, settles what has been
//! confirmed and reads the next.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jaego_amqp::connection;
use jaego_amqp::health::CONNECTION;
use lapin::{Channel, Connection};
use opentelemetry::metrics::Counter;
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::held::Held;
use super::lease::Lease;
use super::publish::{Failure, NO_QUEUE, Probe, Window, probe};
use super::rows::{self, Fate, Row, Wanted};

const BLOCKED: &str = "the broker accepts no messages now: it is short of memory or disk";
/// Events are deleted at the front of the table, and until it has been vacuumed, a read from the first id passes over
/// all the deleted rows. A read therefore starts where the last one ended, or this many ids before that, to find
/// transactions that committed after one with a higher id.
const LOOK_BACK: i64 = 10_000;
/// Interval of reads from the first id, which find rows that committed even later. They take at most one part in
/// `SWEEP_SHARE` of the time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_SHARE: u32 = 20;
/// Maximum probes in flight.
const PROBES_MAX: usize = 32;

/// Connection to the broker, and what is on its way there.
struct Line<'l> {
    link: &'l Connection,
    channel: Channel,
    /// Probes of held keys, each on a channel of its own.
    probes: FuturesUnordered<BoxFuture<'l, Probe>>,
}

impl Line<'_> {
    fn is_blocked(&self) -> bool {
        self.link.status().blocked()
    }

    fn can_probe(&self) -> bool {
        self.probes.len() < PROBES_MAX && !self.is_blocked()
    }
}

pub(super) struct Leader<'a> {
    relay: &'a Relay,
    pub(super) lease: Lease<'a>,
    held: Held<'a>,
    /// Windows in flight, in the order in which they were read.
    windows: VecDeque<Window>,
    /// Message ids of events in flight that the broker has returned.
    returned: Vec<String>,
    /// Events whose fate is known but not written yet.
    settled: Vec<(Row, Fate)>,
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
            returned: Vec::new(),
            settled: Vec::new(),
            cursor: 0,
            is_full: false,
            looked_at: now,
            look_at: now,
            sweep_at: now,
            published: counter("jaego_outbox_published", "Messages confirmed by the broker"),
            failed: counter("jaego_outbox_publish_failures", "Messages that the broker did not accept, to be retried"),
        }
    }

    /// Relays until `stop`, or until another replica leads; fails when the connection is lost or hangs.
    pub(super) async fn lead(&mut self, link: &Connection, stop: &CancellationToken) -> anyhow::Result<()> {
        // Events that were in flight on another connection are read again.
        self.windows.clear();
        self.held.probe_all();
        let channel = self.open_channel(link).await?;
        let mut line = Line { link, channel, probes: FuturesUnordered::new() };
        let mut stopping = false;
        loop {
            if stop.is_cancelled() && !stopping {
                // Events that were committed before the stop are still published.
                (stopping, self.look_at) = (true, Instant::now());
            }
            match self.step(&mut line, stop, stopping).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Failure::Store(error)) => {
                    tracing::warn!(%error, "relay cannot use the outbox");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(self.relay.poll()) => {}
                    }
                }
                Err(failure) => self.recover(&mut line, failure).await?,
            }
        }
    }

    /// Opens the channel for the windows, and reads from the first id: no event is in flight on it.
    async fn open_channel(&mut self, link: &Connection) -> anyhow::Result<Channel> {
        self.returned.clear();
        self.look_from_the_beginning();
        connection::confirming_channel(link, &self.relay.amqp).await
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

    /// Does what is to be done now, or waits. False when the relay is stopped or another replica leads.
    async fn step<'l>(&mut self, line: &mut Line<'l>, stop: &CancellationToken, stopping: bool) -> Result<bool, Failure>
    where
        'a: 'l,
    {
        if !line.channel.status().connected() {
            return Err(Failure::Broken("the channel is closed".to_owned()));
        }
        if line.is_blocked() {
            self.relay.broker.fail(CONNECTION, BLOCKED);
        } else {
            self.relay.broker.pass(CONNECTION);
        }
        while self.windows.front().is_some_and(Window::is_complete) {
            self.settle();
        }
        let wanted = self.wanted(line);
        if wanted.limit > 0 || !self.settled.is_empty() || self.lease.must_be_renewed() {
            return self.turn(line, wanted).await;
        }
        if stopping && self.windows.is_empty() {
            return Ok(false);
        }
        self.wait(line, stop, stopping).await?;
        Ok(true)
    }

    fn has_room(&self, line: &Line<'_>) -> bool {
        // Messages that are published to a blocked connection only wait in this process.
        self.windows.len() < self.relay.settings.windows && !line.is_blocked()
    }

    /// Events to read now; a limit of zero reads nothing.
    fn wanted(&self, line: &Line<'_>) -> Wanted {
        let mut wanted = Wanted {
            after: 0,
            limit: 0,
            in_flight: self.windows.iter().map(|window| window.span).collect(),
            held: self.held.keys(),
            probed: None,
        };
        let now = Instant::now();
        if line.can_probe()
            && let Some((key, width)) = self.held.due()
        {
            (wanted.probed, wanted.limit) = (Some(key), width);
        } else if self.has_room(line) && now >= self.look_at {
            wanted.limit = self.relay.settings.window;
            let behind = if self.is_full { 0 } else { LOOK_BACK };
            wanted.after = if now >= self.sweep_at { 0 } else { (self.cursor - behind).max(0) };
        }
        wanted
    }

    /// Writes outcomes, reads events and renews the lease in one round trip. Then publishes the events that were
    /// read. False when another replica leads.
    async fn turn(&mut self, line: &mut Line<'_>, wanted: Wanted) -> Result<bool, Failure> {
        let relay = self.relay;
        let begun = Instant::now();
        let (limit, after, probed) = (wanted.limit, wanted.after, wanted.probed.clone());
        let renewing = self.lease.must_be_renewed().then(|| self.lease.renewing());
        let turn = rows::turn(&relay.pool, &self.settled, wanted, renewing).await?;
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
        if let Some(key) = probed {
            if turn.rows.is_empty() {
                self.held.release(&key);
                self.look_from_the_beginning();
            } else {
                self.held.probing(&key);
                // A probe waits longer than others, because nothing else waits for it.
                let window = Window::new(turn.rows, relay.limit() * 2);
                line.probes.push(probe(line.link, relay.amqp.clone(), key, window).boxed());
            }
            return Ok(true);
        }
        self.is_full = i64::try_from(turn.rows.len()).is_ok_and(|taken| taken >= limit);
        self.cursor = turn.rows.last().map_or(self.cursor, |row| row.id);
        self.looked_at = begun;
        self.look_at = if self.is_full { begun } else { begun + relay.poll() };
        if after == 0 {
            self.sweep_at = Instant::now() + SWEEP_EVERY.max(begun.elapsed() * SWEEP_SHARE);
        }
        if !turn.rows.is_empty() {
            let mut window = Window::new(turn.rows, relay.limit() / 2);
            let published = window.publish(&line.channel).await;
            // The window is kept although publishing failed: if the channel is closed, one of its events may be the
            // cause.
            self.windows.push_back(window);
            published?;
        }
        Ok(true)
    }

    /// Waits until something may have changed.
    async fn wait(&mut self, line: &mut Line<'_>, stop: &CancellationToken, stopping: bool) -> Result<(), Failure> {
        let relay = self.relay;
        let probe_at = self.held.next_probe().filter(|_| line.can_probe());
        let look_at = self.has_room(line).then_some(self.look_at);
        let next = [probe_at, look_at].into_iter().flatten().fold(Instant::now() + relay.poll(), Instant::min);
        tokio::select! {
            Some(confirmed) = OptionFuture::from(self.windows.front_mut().map(Window::confirmed)) => match confirmed {
                Err(Failure::Late) if line.is_blocked() => self.windows.iter_mut().for_each(Window::wait_longer),
                confirmed => confirmed?,
            },
            Some(probe) = line.probes.next() => self.note_probe(line, probe),
            // The first event after a pause is read at once. Under steady load each read collects the events
            // committed since the previous one, instead of spending a window on every commit.
            () = relay.outbox.signalled() => {
                let paced = self.looked_at + Duration::from_millis(relay.settings.pace_ms);
                self.look_at = self.look_at.min(paced);
            }
            () = tokio::time::sleep_until(next.into()) => {}
            () = stop.cancelled(), if !stopping => {}
        }
        Ok(())
    }

    /// Queues the fates of all events whose outcome is known, to be written.
    fn settle(&mut self) {
        let known: Vec<_> = self.windows.iter_mut().flat_map(Window::take_known).collect();
        // The client attaches a returned message to whichever confirm comes next on the channel. That confirm may
        // belong to another event, but it has arrived before that of the returned one.
        for window in &mut self.windows {
            window.take_ready();
            for (id, key) in window.returned.drain(..) {
                self.held.hold(&key, NO_QUEUE);
                self.returned.push(id);
            }
        }
        self.windows.retain(|window| !window.is_empty());
        if let Some(front) = self.windows.front_mut() {
            front.wait_longer();
        }
        self.judge(known);
    }

    /// Queues these fates, and returns the number of events that were not published.
    fn judge(&mut self, known: Vec<(Row, Fate)>) -> usize {
        let (all, mut published) = (known.len(), 0);
        let mut recorded = BTreeSet::new();
        for (row, mut fate) in known {
            if let Some(place) = self.returned.iter().position(|id| *id == row.message_id) {
                self.returned.swap_remove(place);
                fate = Fate::Held(NO_QUEUE.to_owned());
            }
            if let Fate::Held(error) = &fate {
                self.held.hold(&row.key(), error);
                // The first event of a key records the error for all.
                if !recorded.insert(row.key()) {
                    continue;
                }
            }
            published += usize::from(matches!(fate, Fate::Published));
            self.settled.push((row, fate));
        }
        self.published.add(published as u64, &[]);
        self.failed.add((all - published) as u64, &[]);
        all - published
    }

    /// Settles a probe, and releases its key if the broker has taken it.
    fn note_probe(&mut self, line: &Line<'_>, probe: Probe) {
        let Probe { key, mut window, result } = probe;
        if let Err(failure) = &result {
            let error = failure.to_string();
            self.held.hold(&key, &error);
            if matches!(failure, Failure::Late) {
                window.give_up(&Fate::Held(error));
            } else if line.link.status().connected() && window.span.0 == window.span.1 {
                // The broker closed the channel because of this event.
                window.give_up(&Fate::Refused(error));
            }
        }
        self.returned.extend(window.returned.drain(..).map(|(id, _)| id));
        let failures = self.judge(window.take_known());
        let published = (failures == 0 && result.is_ok()).then_some(window.span.1);
        if self.held.probed(&key, published, self.relay.settings.window) {
            self.look_from_the_beginning();
        }
    }

    /// Gives up the events in flight, to be read again, and opens another channel if the connection still works.
    async fn recover(&mut self, line: &mut Line<'_>, failure: Failure) -> anyhow::Result<()> {
        // Confirmed events are settled first: the first call finds the confirms, the second settles their events.
        self.settle();
        self.settle();
        let error = failure.to_string();
        if matches!(failure, Failure::Late) && !line.is_blocked() {
            // A queue that hangs blocks the whole connection once some tens of messages wait for it. So the connection
            // is given up, and on the next one the keys of the events in flight wait, and are probed.
            self.windows.iter_mut().for_each(|window| window.give_up(&Fate::Held(error.clone())));
            self.settle();
        }
        if matches!(failure, Failure::Late) || !line.link.status().connected() {
            return Err(failure.into());
        }
        tracing::warn!(error, "the broker closed the relay's channel because of one of the events in flight");
        for row in self.windows.drain(..).flat_map(Window::into_rows) {
            self.held.suspect(&row.key(), row.id, &error);
        }
        line.channel = self.open_channel(line.link).await?;
        Ok(())
    }
}
