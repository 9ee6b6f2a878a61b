//! Windows on their way, several at once: while the broker confirms some, the next are claimed and published, and
//! what was confirmed is settled, as many windows in one turn as have come together.
//!
//! Three stages that hand windows on in order. A window holds a permit from its claim to its end, so there are never
//! more than `outbox.windows` of them. What fails ends the pipeline: nothing more is claimed, and what is on its way
//! is settled for what it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::OptionFuture;
use futures::stream::FuturesOrdered;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::position::Position;
use super::publish::{Outcome, publish_window};
use super::rows::{self, Row};
use super::subscribers::Subscribers;
use super::{Ended, Failure, Session, Work};
use crate::amqp::health::CONNECTION;
use crate::amqp::topology::Queue;

/// How often all queues are looked at, with or without messages for them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A claim lasts this many times the longest wait for the broker: a window that takes longer failed.
/// (Publishing, the turn before it, looking at the queues of the window.)
const CLAIM_TIMEOUTS: u64 = 4;

/// Rows that were claimed together.
struct Window {
    rows: Vec<Row>,
    permit: OwnedSemaphorePermit,
}

/// Rows whose fate at the broker is known.
struct Published {
    rows: Vec<(Row, Outcome)>,
    permit: OwnedSemaphorePermit,
}

impl Work {
    /// Relays until `stop`, or until something fails, or the broker takes nothing.
    pub(super) async fn relay_windows(
        &self,
        session: &Session<'_>,
        singly: &mut usize,
        stop: &CancellationToken,
    ) -> Result<Ended, Failure> {
        let windows = self.relay.settings.windows;
        let (to_publish, claimed) = channel(windows);
        let (to_settle, published) = channel(windows);
        let failed = CancellationToken::new();
        let (claiming, (), (settling, unsent)) = futures::join!(
            self.claim_windows(session, to_publish, &failed, stop),
            self.publish_windows(session, claimed, to_settle),
            self.settle_windows(session, published, &failed),
        );
        // One of them is to blame, or one that came before them.
        if matches!(settling, Err(Failure::Channel(_))) {
            *singly = unsent.max(1);
        }
        settling.and(claiming).map(|()| Ended::Idle)
    }

    async fn claim_windows(
        &self,
        session: &Session<'_>,
        to_publish: Sender<Window>,
        failed: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let permits = Arc::new(Semaphore::new(self.relay.settings.windows));
        let poll = self.poll();
        let pace = Duration::from_millis(self.relay.settings.pace_ms);
        let mut position = Position::new(poll, Instant::now());
        loop {
            let permit = tokio::select! {
                biased;
                () = failed.cancelled() => return Ok(()),
                permit = permits.clone().acquire_owned() => permit,
            };
            // Nobody closes the semaphore.
            let Ok(permit) = permit else { return Ok(()) };
            if session.link.status().blocked() {
                return Ok(());
            }
            if !session.channels.are_open() {
                return Err(Failure::Broker(anyhow::anyhow!("the channel is closed")));
            }
            // Asked before it is looked: what was committed before the stop is published.
            let stopping = stop.is_cancelled();
            let begun = Instant::now();
            let look = position.look(begun);
            let rows = self.claim(look.after, self.relay.settings.window).await.inspect_err(|_| failed.cancel())?;
            let is_full = i64::try_from(rows.len()).is_ok_and(|taken| taken >= self.relay.settings.window);
            position.found(&look, rows.last().map(|row| row.id), is_full, Instant::now());
            if !rows.is_empty() && to_publish.send(Window { rows, permit }).await.is_err() {
                return Ok(());
            }
            if is_full {
                continue;
            }
            if stopping {
                return Ok(());
            }
            // The first event after a pause goes at once. While they come all the time, each look gathers what has
            // come since the one before, instead of costing a window for every commit.
            let next = async {
                tokio::select! {
                    () = self.relay.outbox.rung() => tokio::time::sleep_until((begun + pace).into()).await,
                    () = tokio::time::sleep(poll) => {}
                }
            };
            tokio::select! {
                () = failed.cancelled() => {}
                () = stop.cancelled() => {}
                () = next => {}
            }
        }
    }

    /// Up to `limit` due rows, taken for as long as a window may take.
    pub(super) async fn claim(&self, after: i64, limit: i64) -> Result<Vec<Row>, Failure> {
        Ok(rows::claim(&self.relay.pool, after, limit, CLAIM_TIMEOUTS * self.relay.amqp.timeout_ms).await?)
    }

    async fn publish_windows(
        &self,
        session: &Session<'_>,
        mut claimed: Receiver<Window>,
        to_settle: Sender<Published>,
    ) {
        let mut on_their_way = FuturesOrdered::new();
        let mut is_open = true;
        while is_open || !on_their_way.is_empty() {
            let next_claimed = OptionFuture::from(is_open.then(|| claimed.recv()));
            tokio::select! {
                Some(window) = next_claimed => match window {
                    Some(Window { rows, permit }) => on_their_way.push_back(async move {
                        Published { rows: self.publish(session, rows).await, permit }
                    }),
                    None => is_open = false,
                },
                Some(published) = on_their_way.next() => {
                    // There is room for as many as there are permits; who settles is there until this ends.
                    to_settle.send(published).await.ok();
                }
                else => {}
            }
        }
    }

    pub(super) async fn publish(&self, session: &Session<'_>, rows: Vec<Row>) -> Vec<(Row, Outcome)> {
        publish_window(&session.channels, rows, self.limit(), |row| session.subscribers.doubt(row)).await
    }

    /// Answers the first failure, and how many rows could not be sent.
    async fn settle_windows(
        &self,
        session: &Session<'_>,
        mut published: Receiver<Published>,
        failed: &CancellationToken,
    ) -> (Result<(), Failure>, usize) {
        let (mut result, mut unsent) = (Ok(()), 0);
        let mut look_at = Instant::now();
        loop {
            let mut turn = Vec::new();
            tokio::select! {
                taken = published.recv_many(&mut turn, self.relay.settings.windows) => {
                    if taken == 0 {
                        return (result, unsent);
                    }
                }
                () = tokio::time::sleep_until(look_at.into()) => {}
            }
            let looks_at_all = Instant::now() >= look_at;
            let (windows, permits): (Vec<_>, Vec<_>) =
                turn.into_iter().map(|window| (window.rows, window.permit)).unzip();
            let mut rows: Vec<(Row, Outcome)> = windows.into_iter().flatten().collect();
            match self.settle(session, &mut rows, looks_at_all).await {
                Ok(()) if result.is_ok() => self.relay.broker.pass(CONNECTION),
                Ok(()) => {}
                Err(failure) => {
                    failed.cancel();
                    unsent += rows.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unsent(_))).count();
                    result = result.and(Err(failure));
                }
            }
            if looks_at_all {
                look_at = Instant::now() + LOOK_EVERY;
            }
            // Only now there is room for more.
            drop(permits);
        }
    }

    /// Looks after confirmed rows, writes down what became of all of them, and says what failed.
    pub(super) async fn settle(
        &self,
        session: &Session<'_>,
        rows: &mut [(Row, Outcome)],
        looks_at_all: bool,
    ) -> Result<(), Failure> {
        let looked = look_after(&session.subscribers, rows, looks_at_all).await;
        let unsent = rows.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Unsent(error) => Some(anyhow::anyhow!("cannot publish: {error}")),
            _ => None,
        });
        let failure = unsent.or(looked.err());
        tell(rows);
        if !rows.is_empty() {
            let settled = rows::settle(&self.relay.pool, rows).await?;
            self.published.add(settled.confirmed, &[]);
            self.failed.add(settled.failed, &[]);
            self.published_so_far.fetch_add(settled.confirmed, Ordering::Relaxed);
        }
        match failure {
            None => Ok(()),
            Some(error) if session.is_refused() => Err(Failure::Channel(error)),
            Some(error) => Err(Failure::Broker(error)),
        }
    }
}

/// A confirmed event counts only when each of its queues is there, after its confirm.
async fn look_after(
    subscribers: &Subscribers<'_>,
    rows: &mut [(Row, Outcome)],
    looks_at_all: bool,
) -> anyhow::Result<()> {
    let is_confirmed = |outcome: &Outcome| matches!(outcome, Outcome::Confirmed);
    let mut queues: Vec<&'static Queue> = if looks_at_all { subscribers.all().to_vec() } else { Vec::new() };
    for (row, _) in rows.iter().filter(|(_, outcome)| is_confirmed(outcome)) {
        for queue in Subscribers::of(row) {
            if !queues.iter().any(|known| known.name == queue.name) {
                queues.push(queue);
            }
        }
    }
    let looked = if queues.is_empty() { Ok(()) } else { subscribers.look(&queues).await };
    for (row, outcome) in rows.iter_mut().filter(|(_, outcome)| is_confirmed(outcome)) {
        match (&looked, subscribers.doubt(row)) {
            (Err(error), _) if Subscribers::of(row).next().is_some() => {
                *outcome = Outcome::Unsent(format!("{error:#}"));
            }
            (Ok(()), Some(error)) => *outcome = Outcome::Held(error),
            _ => {}
        }
    }
    looked
}

/// What the broker refuses is told, once a turn and reason; that the link failed is told once, by the session.
fn tell(rows: &[(Row, Outcome)]) {
    let mut told: BTreeMap<&str, (&Row, usize)> = BTreeMap::new();
    for (row, outcome) in rows {
        if let Outcome::Refused(error) | Outcome::Held(error) = outcome {
            told.entry(error).or_insert((row, 0)).1 += 1;
        }
    }
    for (error, (row, messages)) in told {
        tracing::warn!(
            messages,
            message_id = row.message_id,
            exchange = row.exchange,
            routing_key = row.routing_key,
            error,
            "not published; kept"
        );
    }
}
