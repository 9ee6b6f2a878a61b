//! Messages of one queue that are being handled. Whatever one message is about may be locked for a long time, and only
//! messages about the same thing should have to wait for it.
//!
//! Messages that arrive together are handled together, except those about something that is locked. These, and the
//! messages that must be handled one by one, go to lanes: a lane handles the messages about one subject, in order, and
//! waits for its lock. There are only a few lanes, because each may occupy a connection to the database. When
//! messages wait in memory and no lane has moved for a while, the caller gets them back and stores them in the
//! database, so that there is room for others.

use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use jaego_amqp::connection::Backoff;
use jaego_contracts::{DecodeError, ReceivedEvent};
use jaego_pg::StoreError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::subscription::{Failure, HandleError, Handled, IfHeld, Subscription};

/// Maximum lanes of a queue.
const LANES_MAX: usize = 4;
/// Longest standstill of all lanes while messages wait for them.
const PATIENCE: Duration = Duration::from_millis(500);

/// A message in the form in which the caller received it.
pub(super) trait Incoming: Send + Sync {
    fn body(&self) -> &[u8];
    /// An operator has redriven it.
    fn is_redriven(&self) -> bool;

    fn event(&self) -> Result<ReceivedEvent, DecodeError> {
        let mut event = ReceivedEvent::parse(self.body())?;
        event.is_redriven = self.is_redriven();
        Ok(event)
    }
}

/// A message and the result of its attempt; None if it was handed back without one.
pub(super) type Attempted<M> = (M, Option<Result<Handled, Failure>>);

pub(super) struct Lanes<'a, M> {
    subscription: &'a Subscription,
    stop: &'a CancellationToken,
    /// Maximum number of messages held at a time.
    room: usize,
    running: FuturesUnordered<BoxFuture<'a, (String, Vec<Attempted<M>>)>>,
    /// Subjects of the lanes.
    subjects: HashSet<String>,
    /// Messages in the lanes.
    inside: usize,
    waiting: Vec<(String, M)>,
    /// Time when a lane last began or ended.
    moved_at: Instant,
}

impl<'a, M: Incoming + 'a> Lanes<'a, M> {
    pub(super) fn new(subscription: &'a Subscription, room: usize, stop: &'a CancellationToken) -> Self {
        Self {
            subscription,
            stop,
            room,
            running: FuturesUnordered::new(),
            subjects: HashSet::new(),
            inside: 0,
            waiting: Vec::new(),
            moved_at: Instant::now(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inside == 0 && self.waiting.is_empty()
    }

    /// Number of messages that the caller may still add.
    pub(super) fn free(&self) -> usize {
        self.room.saturating_sub(self.inside + self.waiting.len())
    }

    /// Takes messages; returns those that were handled at once.
    pub(super) async fn add(&mut self, messages: Vec<M>) -> Vec<(M, Handled)> {
        let (mut events, mut together) = (Vec::new(), Vec::new());
        for message in messages {
            let event = message.event();
            let subject = self.subscription.subject(&event);
            match event {
                Ok(event) if self.subscription.takes_batches && !self.has(&subject) => {
                    events.push(event);
                    together.push((subject, message));
                }
                _ => self.waiting.push((subject, message)),
            }
        }
        let mut results = Vec::new().into_iter();
        // A single event needs no batch, unless it would have to wait for a lane.
        if events.len() > 1 || (!events.is_empty() && self.running.len() == self.lanes_max()) {
            match self.subscription.handle(events, IfHeld::LeaveOut).await {
                Ok(handled) => results = handled.into_iter(),
                Err(error) => {
                    let queue = self.subscription.queue.name;
                    tracing::debug!(queue, %error, "events could not be handled together; handling them by subject");
                }
            }
        }
        let mut done = Vec::new();
        for (subject, message) in together {
            match results.next().flatten() {
                Some(handled) => done.push((message, handled)),
                None => self.waiting.push((subject, message)),
            }
        }
        self.fill();
        done
    }

    /// True if messages about this subject are in a lane or wait for one; the next ones must not overtake them.
    fn has(&self, subject: &str) -> bool {
        self.subjects.contains(subject) || self.waiting.iter().any(|(waiting, _)| waiting == subject)
    }

    /// The messages of the next lane that ends, or all that wait for a lane, if the room or the lanes are used up and
    /// no lane has moved for `PATIENCE`.
    pub(super) async fn next(&mut self) -> Vec<Attempted<M>> {
        let is_full = self.free() == 0 || self.running.len() == self.lanes_max();
        tokio::select! {
            Some((subject, attempted)) = self.running.next() => {
                self.subjects.remove(&subject);
                self.inside -= attempted.len();
                self.moved_at = Instant::now();
                self.fill();
                attempted
            }
            () = sleep_until(self.moved_at + PATIENCE), if is_full && !self.waiting.is_empty() => self.take_waiting(),
            else => pending().await,
        }
    }

    /// Hands back the messages that wait for a lane, without an attempt.
    pub(super) fn take_waiting(&mut self) -> Vec<Attempted<M>> {
        std::mem::take(&mut self.waiting).into_iter().map(|(_, message)| (message, None)).collect()
    }

    /// The lanes together occupy at most half of the room.
    fn lanes_max(&self) -> usize {
        LANES_MAX.min(self.room / 2).max(1)
    }

    fn fill(&mut self) {
        let batch_max = if self.subscription.takes_batches { (self.room / 2 / LANES_MAX).max(1) } else { 1 };
        while self.running.len() < self.lanes_max()
            && let Some((subject, _)) = self.waiting.iter().find(|(subject, _)| !self.subjects.contains(subject))
        {
            let subject = subject.clone();
            let mut count = 0;
            let is_next = |(one, _): &mut (String, M)| {
                count += usize::from(*one == subject);
                *one == subject && count <= batch_max
            };
            let batch: Vec<M> = self.waiting.extract_if(.., is_next).map(|(_, message)| message).collect();
            self.inside += batch.len();
            self.subjects.insert(subject.clone());
            self.moved_at = Instant::now();
            let attempting = attempt(self.subscription, batch, self.stop);
            self.running.push(attempting.map(|attempted| (subject, attempted)).boxed());
        }
    }
}

/// Attempts messages about one subject: together, or one by one if that fails. Once one finds the subject locked for
/// too long, those that follow fail with the same error, untried.
async fn attempt<M: Incoming>(
    subscription: &Subscription,
    messages: Vec<M>,
    stop: &CancellationToken,
) -> Vec<Attempted<M>> {
    if messages.len() > 1
        && let Ok(events) = messages.iter().map(Incoming::event).collect()
        && let Ok(handled) = subscription.handle(events, IfHeld::Wait).await
        && let Some(handled) = handled.into_iter().collect::<Option<Vec<_>>>()
    {
        return messages.into_iter().zip(handled).map(|(message, handled)| (message, Some(Ok(handled)))).collect();
    }
    let mut attempted = Vec::with_capacity(messages.len());
    let mut locked: Option<Failure> = None;
    for message in messages {
        let result = match &locked {
            Some(locked) => Some(Err(locked.clone())),
            None => match alone(subscription, &message, stop).await {
                Some(Err(HandleError::Store(busy @ StoreError::Busy(_)))) => {
                    Some(Err(locked.insert(HandleError::Store(busy).into()).clone()))
                }
                result => result.map(|result| result.map_err(Failure::from)),
            },
        };
        attempted.push((message, result));
    }
    attempted
}

/// Attempts one message as soon as the database is available; None when stopped before that.
async fn alone(
    subscription: &Subscription,
    message: &impl Incoming,
    stop: &CancellationToken,
) -> Option<Result<Handled, HandleError>> {
    let mut backoff = Backoff::default();
    loop {
        let handling = async {
            let handled = subscription.handle(vec![message.event()?], IfHeld::Wait).await?.pop().flatten();
            handled.ok_or_else(|| HandleError::Failed("the handler left it out".to_owned()))
        };
        match handling.await {
            Err(HandleError::Store(error)) if error.is_unavailable() => {
                tracing::warn!(queue = subscription.queue.name, %error, "waiting for the database");
            }
            result => return Some(result),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = backoff.wait() => {}
        }
    }
}
