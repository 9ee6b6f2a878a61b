//! One batch: lock and load, decide, write set-wise, commit; then the answers.

use std::collections::{BTreeSet, HashMap, HashSet};

use diesel_async::AsyncPgConnection;
use futures::join;
use jaego_contracts::ids::{FactoryId, ReceiptId, RequestId};
use jaego_net::patience::Backoff;
use jaego_pg::{Pipeline, StoreError};
use jaego_web::problem::Problem;

use super::writes::Writes;
use super::{Answer, Callback};
use crate::commands::check_source::Sources;
use crate::commands::{Context, now};
use crate::domain::batch::{Arrival, Identity, Known, Outcome, decide_together};
use crate::domain::policy::Policy;
use crate::store::requests::{Held, IfHeld};
use crate::store::{self, requests};

/// A request that a batch takes for new may be added by somebody else meanwhile: then it is looked at
/// again, this often at most.
const TRIES_MAX: usize = 4;

/// What batches are taken with.
pub(super) struct Taker {
    pub(super) context: Context,
    pub(super) policy: Policy,
}

/// What became of a callback in a batch.
#[derive(Debug, Clone)]
pub(super) enum Taken {
    /// This is durable.
    Answered(Answer),
    /// Nothing yet: somebody else holds its request.
    Held,
    /// Nothing yet: the store was away, or something held what it needs.
    NotNow,
    /// The store will never take it.
    Failed(Problem),
}

/// Takes all callbacks; one result each, in their order. One that the store cannot take does not hurt the
/// others: what fails together is halved until it fails alone.
pub(super) async fn take(taker: &Taker, callbacks: &[&Callback], if_held: IfHeld) -> Vec<Taken> {
    let mut results = Vec::with_capacity(callbacks.len());
    let mut parts = vec![callbacks];
    while let Some(part) = parts.pop() {
        match taker.take_together(part, if_held).await {
            Ok(taken) => results.extend(taken),
            Err(error @ (StoreError::Unavailable(_) | StoreError::Busy(_))) => {
                tracing::warn!(%error, callbacks = part.len(), "the store does not take callbacks now");
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

    async fn take_together(&self, callbacks: &[&Callback], if_held: IfHeld) -> Result<Vec<Taken>, StoreError> {
        for _ in 0..TRIES_MAX {
            match self.decide_and_write(callbacks, if_held).await {
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
        Err(StoreError::Unavailable("requests of these callbacks are added by others all the time".to_owned()))
    }

    /// One transaction, two round trips: everything is loaded in the first and written in the second.
    async fn decide_and_write(&self, callbacks: &[&Callback], if_held: IfHeld) -> Result<Vec<Taken>, StoreError> {
        let transaction = Pipeline::new(self.context.pool.get().await?);
        let (begun, loaded) = join!(transaction.begin(), Loaded::read(transaction.connection(), callbacks, if_held));
        begun?;
        let Loaded { held, held_elsewhere, sources, mut known } = loaded?;
        // First who is not decided upon at all: what they tell has no effect.
        let aside = |callback: &Callback| {
            let message = &callback.message;
            if held_elsewhere.contains(&message.request_id) {
                return Some(Taken::Held);
            }
            let is_allowed =
                sources.get(message.order.factory_id.as_str()).is_none_or(|list| list.allow(message.address));
            (!is_allowed).then_some(Taken::Answered(Answer::SourceNotAllowed))
        };
        let asides: Vec<Option<Taken>> = callbacks.iter().map(|callback| aside(callback)).collect();
        let decided =
            || callbacks.iter().zip(&asides).filter(|(_, aside)| aside.is_none()).map(|(callback, _)| *callback);

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
        let taken = asides.into_iter().map(|aside| aside.or_else(|| answers.next().map(Taken::Answered)));
        taken.collect::<Option<_>>().ok_or_else(|| store::unreadable("a callback was left without an answer"))
    }
}

fn answer_of(outcome: Outcome) -> Result<Answer, StoreError> {
    Ok(match outcome {
        Outcome::Received { booked, .. } => Answer::Received { booked, again: false },
        Outcome::Duplicate(booked) => {
            let booked = booked.ok_or_else(|| store::unreadable("a received delivery has no receipt"))?;
            Answer::Received { booked, again: true }
        }
        Outcome::Quarantined { reason, .. } => Answer::Quarantined { reason, again: false },
        Outcome::QuarantinedBefore(reason) => Answer::Quarantined { reason, again: true },
        Outcome::Refused => Answer::Refused,
    })
}

/// What the store knows of the callbacks of a batch.
struct Loaded<'a> {
    /// Their requests, locked; those that are new are not among them.
    held: HashMap<RequestId, Held>,
    /// Requests that another transaction holds.
    held_elsewhere: HashSet<RequestId>,
    /// Where callbacks of their factories may come from.
    sources: HashMap<String, Sources>,
    /// For the decision.
    known: Known<'a>,
}

impl<'a> Loaded<'a> {
    async fn read(
        connection: &AsyncPgConnection,
        callbacks: &[&'a Callback],
        if_held: IfHeld,
    ) -> Result<Self, StoreError> {
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
        // Done one after the other, first the locks: what is read after them cannot change any more.
        let (held, sources, entries, told) = join!(
            requests::hold(connection, &ids, if_held),
            store::factories::callback_sources(connection, &factories),
            store::quarantine::of_tokens(connection, &jtis),
            store::deliveries::find_first(connection, &identities),
        );
        let (held, sources, entries, told) = (held?, sources?, entries?, told?);
        // Seldom asked: mostly every request is known and nobody else holds one. What is added between the
        // locks and here counts as held elsewhere, what is added later makes the insert fail.
        let missing: Vec<RequestId> = ids.into_iter().filter(|id| !held.contains_key(id)).collect();
        let held_elsewhere = match if_held {
            IfHeld::Skip if !missing.is_empty() => requests::existing(connection, &missing).await?,
            _ => HashSet::new(),
        };

        let mut known = Known {
            requests: held.iter().map(|(id, held)| (*id, held.progress)).collect(),
            told: told.into_iter().collect(),
            entries: HashMap::new(),
        };
        for (jti, entry) in entries {
            known.entries.entry(jti).or_default().push(entry);
        }
        let sources = sources.into_iter().map(|(id, texts)| (id, Sources::read(&texts))).collect();
        Ok(Self { held, held_elsewhere, sources, known })
    }
}
