//! One batch: lock and load, decide, write set-wise, commit; then the answers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use futures::join;
use jaego_contracts::ids::{FactoryId, ReceiptId, RequestId};
use jaego_net::patience::Backoff;
use jaego_pg::{Pipeline, StoreError, within};
use jaego_web::problem::Problem;

use super::writes::Writes;
use super::{Answer, Callback, CallbackMetrics};
use crate::commands::check_source::Sources;
use crate::commands::{Context, now};
use crate::domain::batch::{Arrival, Identity, Known, Outcome, decide_together};
use crate::domain::policy::Policy;
use crate::store::requests::Held;
use crate::store::{self, requests};

/// Maximum attempts of a batch when another transaction inserts a request that the batch took for new.
const TRIES_MAX: usize = 4;
/// A batch that waits too long for a lock is halved this often at most, to find the callback that waits. If everything
/// waits, as for a table that a migration holds, all of it is retried later.
const BUSY_SPLITS_MAX: usize = 12;
/// Longest time for one transaction, whatever the server or the link to it does: less than a sender is held.
const LIMIT: Duration = Duration::from_secs(15);

pub(super) struct Taker {
    pub(super) context: Context,
    pub(super) policy: Policy,
    pub(super) metrics: CallbackMetrics,
}

/// Result of a callback in a batch.
#[derive(Debug, Clone)]
pub(super) enum Taken {
    /// Decided and durable.
    Answered(Answer),
    /// No result yet: another transaction holds its request.
    Held,
    /// No result yet: the store was unavailable, or something holds what the callback needs.
    NotNow,
    /// The store will never accept it.
    Failed(Problem),
}

/// Takes all callbacks and returns one result for each, in their order. A callback that the store cannot take does
/// not affect the others: a batch that fails is halved until the failing callback is alone.
pub(super) async fn take(taker: &Taker, callbacks: &[&Callback]) -> Vec<Taken> {
    let mut results = Vec::with_capacity(callbacks.len());
    let mut parts = vec![callbacks];
    let mut splits_left = BUSY_SPLITS_MAX;
    while let Some(part) = parts.pop() {
        match taker.take_together(part).await {
            Ok(taken) => results.extend(taken),
            // Perhaps another transaction is about to insert the request of only one of them.
            Err(StoreError::Busy(_)) if splits_left > 0 => {
                splits_left -= 1;
                if part.iter().all(|callback| callback.message.request_id == part[0].message.request_id) {
                    results.extend(part.iter().map(|_| Taken::Held));
                } else {
                    let (first, rest) = part.split_at(part.len() / 2);
                    parts.extend([rest, first]);
                }
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Busy(_))) => {
                tracing::warn!(%error, callbacks = part.len(), "the database does not store callbacks now");
                results.extend(part.iter().map(|_| Taken::NotNow));
            }
            Err(StoreError::Query(_)) if part.len() > 1 => {
                let (first, rest) = part.split_at(part.len() / 2);
                parts.extend([rest, first]);
            }
            Err(error) => results.push(Taken::Failed(error.into())),
        }
    }
    results
}

impl Taker {
    /// Waits while the outbox is full: each receipt adds an event.
    pub(super) async fn wait_for_room(&self) {
        let mut backoff = Backoff::default();
        while self.context.outbox.admit().is_err() {
            backoff.wait().await;
        }
    }

    async fn take_together(&self, callbacks: &[&Callback]) -> Result<Vec<Taken>, StoreError> {
        for _ in 0..TRIES_MAX {
            let deciding = self.decide_and_write(callbacks);
            match within(LIMIT, &self.context.pool, deciding).await {
                Err(error) if error.violates(requests::PRIMARY_KEY) => {}
                Ok(taken) => {
                    let is_new =
                        |taken: &Taken| matches!(taken, Taken::Answered(Answer::Received { again: false, .. }));
                    if taken.iter().any(is_new) {
                        self.context.outbox.wake();
                    }
                    return Ok(taken);
                }
                other => return other,
            }
        }
        Err(StoreError::Unavailable("others keep adding the requests of these callbacks".to_owned()))
    }

    /// One transaction in two round trips: the first loads everything, the second writes everything.
    async fn decide_and_write(&self, callbacks: &[&Callback]) -> Result<Vec<Taken>, StoreError> {
        let transaction = Pipeline::new(self.context.pool.get().await?);
        let (begun, loaded) = join!(transaction.begin(), Loaded::read(transaction.connection(), callbacks));
        begun?;
        let Loaded { held, held_elsewhere, sources, mut known } = loaded?;
        // Callbacks that are not decided at all are sorted out first, so that they have no effect.
        let blocked = |callback: &Callback| {
            let message = &callback.message;
            if held_elsewhere.contains(&message.request_id) {
                return Some(Taken::Held);
            }
            let is_allowed =
                sources.get(message.order.factory_id.as_str()).is_none_or(|list| list.allow(message.address));
            (!is_allowed).then_some(Taken::Answered(Answer::SourceNotAllowed))
        };
        let blocked_callbacks: Vec<Option<Taken>> = callbacks.iter().map(|callback| blocked(callback)).collect();
        let decided = || {
            callbacks
                .iter()
                .zip(&blocked_callbacks)
                .filter(|(_, blocked)| blocked.is_none())
                .map(|(callback, _)| *callback)
        };

        let arrivals: Vec<Arrival<'_>> = decided().map(Callback::arrival).collect();
        let outcomes = decide_together(&mut known, &arrivals, self.policy, &mut ReceiptId::generate);

        let mut writes = Writes::new(self.context.source, now());
        let mut answers = Vec::with_capacity(outcomes.len());
        for (callback, outcome) in decided().zip(outcomes) {
            let traceparent = held.get(&callback.message.request_id).and_then(|held| held.traceparent.as_deref());
            writes.add(callback, outcome, traceparent)?;
            answers.push(answer_of(outcome)?);
        }
        writes.add_requests(decided(), &held, &known);
        writes.write(&transaction).await?;

        let mut answers = answers.into_iter();
        let taken =
            blocked_callbacks.into_iter().map(|blocked| blocked.or_else(|| answers.next().map(Taken::Answered)));
        taken.collect::<Option<_>>().ok_or_else(|| store::unreadable("a callback was left without an answer"))
    }
}

fn answer_of(outcome: Outcome) -> Result<Answer, StoreError> {
    Ok(match outcome {
        Outcome::Received { booked, .. } => Answer::Received { booked, again: false },
        Outcome::Duplicate { booked, is_own } => {
            let booked = booked.ok_or_else(|| store::unreadable("a received delivery has no receipt"))?;
            Answer::Received { booked, again: !is_own }
        }
        Outcome::Quarantined { reason, .. } => Answer::Quarantined { reason, again: false },
        Outcome::QuarantinedBefore { reason, is_own } => Answer::Quarantined { reason, again: !is_own },
        Outcome::Refused => Answer::Refused,
    })
}

/// Stored state that the callbacks of a batch need.
struct Loaded<'a> {
    /// Known requests, locked; new ones are missing.
    held: HashMap<RequestId, Held>,
    /// Requests that another transaction holds.
    held_elsewhere: HashSet<RequestId>,
    /// Allowed sources of callbacks, by factory.
    sources: HashMap<String, Sources>,
    /// Input of the decision.
    known: Known<'a>,
}

impl<'a> Loaded<'a> {
    async fn read(connection: &AsyncPgConnection, callbacks: &[&'a Callback]) -> Result<Self, StoreError> {
        let ids: BTreeSet<RequestId> = callbacks.iter().map(|callback| callback.message.request_id).collect();
        let ids: Vec<RequestId> = ids.into_iter().collect();
        let factories: BTreeSet<&FactoryId> =
            callbacks.iter().map(|callback| &callback.message.order.factory_id).collect();
        let identities: HashSet<Identity<'a>> =
            callbacks.iter().map(|callback| callback.arrival().identity()).collect();
        let jtis: HashSet<&'a str> = callbacks.iter().map(|callback| callback.message.jti.as_str()).collect();

        let factories: Vec<&FactoryId> = factories.into_iter().collect();
        let jtis: Vec<&'a str> = jtis.into_iter().collect();
        let identities: Vec<Identity<'a>> = identities.into_iter().collect();
        // The connection runs these in order, the locks first: whatever is read after them can no longer change.
        let (held, sources, entries, earlier) = join!(
            requests::hold(connection, &ids),
            store::factories::callback_sources(connection, &factories),
            store::quarantine::of_tokens(connection, &jtis),
            store::deliveries::find_first(connection, &identities),
        );
        let ((held, held_elsewhere), sources, entries, earlier) = (held?, sources?, entries?, earlier?);
        let mut known = Known {
            requests: held.iter().map(|(id, held)| (*id, held.progress)).collect(),
            deliveries: earlier.into_iter().collect(),
            entries: HashMap::new(),
        };
        for (jti, entry) in entries {
            known.entries.entry(jti).or_default().push(entry);
        }
        let sources = sources.into_iter().map(|(id, texts)| (id, Sources::read(&texts))).collect();
        Ok(Self { held, held_elsewhere, sources, known })
    }
}
