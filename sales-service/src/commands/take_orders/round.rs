//! A round of orders through the database: a [`Batch`] is decided on cached or freshly read products, written whole
//! or not at all, and then answered.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use futures::join;
use jaego_contracts::ids::Sku;
use jaego_pg::Pipeline;
use jaego_service::idempotency;
use jaego_service::idempotency::KeyUse;
use jaego_web::problem::{Problem, ProblemKind};
use opentelemetry::KeyValue;

use super::OrderRequest;
use super::batch::Batch;
use super::known::{KnownProducts, Remembered};
use super::queues::{Lane, Reply, Taken, Waiter};
use super::settle::was_written;
use super::worker::Desk;
use crate::commands::Answered;
use crate::store::orders::KEY;
use crate::store::{StoreError, orders, product_states};

/// State carried over from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: KnownProducts,
    /// Number of batches that still look up stored answers before they decide. Most requests are new, so that looking
    /// up every key would be wasteful, but repeated requests usually come in numbers.
    repeats_expected: u32,
}

/// Number of batches that look for repeated requests after one was seen.
const REPEATS_EXPECTED: u32 = 64;
/// Maximum attempts of a batch whose keys or products another replica has just used, or that conflicted with another
/// transaction.
const ATTEMPTS_MAX: u32 = 10;

/// Why a batch was not written.
enum Failure {
    /// A product was changed since it was cached, so it must be read again.
    Stale,
    /// Another order has one of the keys, so its answer must be looked up.
    KeyUsed,
    /// A lock wait or another wait in the database timed out.
    Busy(StoreError),
    /// The database refused the statement or could not be reached.
    Refused(StoreError),
    /// The result of the commit is unknown.
    Lost(Box<Batch>),
}

/// Decides these orders of a queue and answers them. A round is written whole or not at all.
pub(super) async fn run(desk: &Arc<Desk>, lane: Lane<'_>, waiters: Vec<Waiter>, memory: &mut Memory) {
    let mut waiting = waiters;
    let mut look = memory.repeats_expected > 0;
    memory.repeats_expected = memory.repeats_expected.saturating_sub(1);
    for attempt in 1.. {
        if attempt > 1 {
            waiting = desk.still_in_time(waiting);
        }
        if waiting.is_empty() {
            return;
        }
        // Usually takes one round. A key that comes twice in one batch is decided once: requests with the same body
        // get the first one's answer, and those with another body go to the next round, when that answer is stored.
        let mut round = Round::new(std::mem::take(&mut waiting));
        match round.decide_and_write(desk, lane, memory, look).await {
            Ok(()) => {
                desk.context.outbox.wake();
                waiting = round.answer(desk);
                look = true;
            }
            Err(Failure::Stale) if attempt < ATTEMPTS_MAX => (waiting, look) = (round.into_waiters(), true),
            Err(Failure::KeyUsed) if attempt < ATTEMPTS_MAX => {
                memory.repeats_expected = REPEATS_EXPECTED;
                (waiting, look) = (round.into_waiters(), true);
            }
            Err(Failure::Busy(error)) => match desk.held(&round.skus()).await {
                Ok(held) if !held.is_empty() => {
                    desk.open_lanes(held);
                    return desk.push_back_first(round.into_waiters());
                }
                _ if attempt < ATTEMPTS_MAX => (waiting, look) = (round.into_waiters(), true),
                _ => return round.refuse(&error.into()),
            },
            Err(Failure::Stale | Failure::KeyUsed) => return round.refuse(&busy()),
            Err(Failure::Refused(error)) => return round.refuse(&error.into()),
            Err(Failure::Lost(batch)) => {
                // A different server may answer next and lack data that this one had, so the cache is dropped.
                memory.known = KnownProducts::default();
                let desk = desk.clone();
                desk.tasks.clone().spawn(async move { settle(&desk, round, *batch).await });
                return;
            }
        }
    }
}

fn busy() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The same products are being changed constantly; send the request again.")
}

/// Answers a batch once its result is known; orders that were not written are queued again. If the result cannot be
/// found out in time, the orders are answered `outcome-unknown`.
async fn settle(desk: &Desk, mut round: Round, batch: Batch) {
    let Some(deadline) = round.waiters.iter().map(|waiter| waiter.deadline).max() else { return };
    match was_written(&desk.pool, &batch.ids(), &round.skus(), deadline).await {
        Some(true) => {
            desk.context.outbox.wake();
            drop(round.decided(batch));
            desk.push_back_first(round.answer(desk));
        }
        Some(false) => desk.push_back_first(round.into_waiters()),
        None => tracing::error!(orders = round.waiters.len(), "it is not known whether these orders were taken"),
    }
}

/// The stored answers under these keys, by key.
pub(super) async fn kept_answers(
    desk: &Desk,
    keys: &[KeyUse],
) -> Result<HashMap<String, Result<Answered, Problem>>, StoreError> {
    let transaction = Pipeline::new(desk.pool.get().await?);
    let mut kept = HashMap::new();
    let (begun, found) = join!(transaction.begin(), find_kept(transaction.connection(), keys));
    begun?;
    let found = found?;
    transaction.commit().await?;
    for (used, order) in keys.iter().zip(found) {
        if let Some(order) = order {
            kept.insert(used.key.clone(), replay(desk, used, order)?);
        }
    }
    Ok(kept)
}

async fn find_kept(
    connection: &AsyncPgConnection,
    keys: &[KeyUse],
) -> Result<Vec<Option<orders::KeptOrder>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let hashes: Vec<Vec<u8>> = keys.iter().map(orders::key_hash).collect();
    let found = orders::kept(connection, hashes.clone()).await?;
    let mut found: HashMap<Vec<u8>, orders::KeptOrder> =
        found.into_iter().map(|order| (order.key_hash.clone(), order)).collect();
    Ok(hashes.iter().map(|hash| found.remove(hash)).collect())
}

/// The original answer, or the problem that the key was used for another request.
fn replay(desk: &Desk, used: &KeyUse, kept: orders::KeptOrder) -> Result<Result<Answered, Problem>, StoreError> {
    if kept.fingerprint != used.fingerprint {
        return Ok(Err(idempotency::reused()));
    }
    let answer = kept.into_answer(|order| desk.render.confirmed(order))?;
    Ok(Ok(Answered { answer, is_replay: true }))
}

/// Runs a read with `intake.wait_max_ms` as its time limit.
async fn in_time<T>(desk: &Desk, reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    let late = |_| Err(StoreError::Unavailable("no answer in time".to_owned()));
    let read = tokio::time::timeout(desk.wait_max, reading).await.unwrap_or_else(late);
    read.map_err(|error| match error {
        error @ StoreError::Busy(_) => Failure::Busy(error),
        error => Failure::Refused(error),
    })
}

/// The orders of one pass through the database.
#[derive(Default)]
struct Round {
    waiters: Vec<Waiter>,
    answers: Vec<Option<Reply>>,
    /// Indices of the waiters to be decided: the first with each key, and those without a key.
    leaders: Vec<usize>,
    /// The other waiters, each with the index of its leader.
    followers: Vec<(usize, usize)>,
    first_with_key: HashMap<String, usize>,
}

impl Round {
    fn new(waiters: Vec<Waiter>) -> Self {
        let mut round = Self::default();
        for waiter in waiters {
            round.add(waiter);
        }
        round
    }

    fn add(&mut self, waiter: Waiter) {
        let index = self.waiters.len();
        let key = waiter.request.key.as_ref().map(|used| used.key.clone());
        match key.map_or(index, |key| *self.first_with_key.entry(key).or_insert(index)) {
            leader if leader == index => self.leaders.push(index),
            leader => self.followers.push((index, leader)),
        }
        self.waiters.push(waiter);
        self.answers.push(None);
    }

    fn request(&self, index: usize) -> &OrderRequest {
        &self.waiters[index].request
    }

    /// All products ordered in this round.
    fn skus(&self) -> BTreeSet<Sku> {
        self.leaders.iter().flat_map(|index| self.request(*index).skus()).cloned().collect()
    }

    fn into_waiters(self) -> Vec<Waiter> {
        self.waiters
    }

    fn refuse(self, problem: &Problem) {
        self.waiters.into_iter().for_each(|waiter| waiter.answer(Err(problem.clone())));
    }

    /// Decides and writes in one transaction. If all products are cached, it is a single statement, which locks their
    /// rows under the condition that their versions are the cached ones, and writes. Otherwise everything is read
    /// under locks first. Requests with a stored answer get that answer.
    async fn decide_and_write(
        &mut self,
        desk: &Desk,
        lane: Lane<'_>,
        memory: &mut Memory,
        look: bool,
    ) -> Result<(), Failure> {
        let skus = self.skus();
        let remembered = if look { None } else { memory.known.take(&skus) };
        let is_known = remembered.is_some();
        let connection = desk.pool.get().await.map_err(|error| Failure::Refused(error.into()))?;
        let transaction = Pipeline::new(connection);
        let remembered = match remembered {
            Some(remembered) => remembered,
            None => self.look(desk, lane, &transaction, &skus, memory).await?,
        };
        let requests = self.leaders.iter().map(|index| self.waiters[*index].request.clone()).collect();
        let batch = Batch::decide(remembered, self.leaders.clone(), requests, desk);
        let writing =
            async { if is_known { batch.write_alone(&transaction).await } else { batch.write(&transaction).await } };
        let written = tokio::time::timeout(desk.wait_max, writing).await;
        let count = |state| desk.metrics.batches.add(1, &[KeyValue::new("state", state)]);
        match written {
            Ok(Ok(())) => {
                count(if is_known { "known" } else { "read" });
                memory.known.keep(self.decided(batch));
                Ok(())
            }
            Ok(Err(error)) if product_states::is_stale(&error) => {
                count("changed");
                Err(Failure::Stale)
            }
            Ok(Err(error)) => match StoreError::from(error) {
                error if error.violates(KEY) => Err(Failure::KeyUsed),
                error @ StoreError::Busy(_) => Err(Failure::Busy(error)),
                StoreError::Unavailable(cause) => {
                    tracing::warn!(%cause, "the response to the commit of a batch was lost; its outcome is looked up");
                    Err(Failure::Lost(Box::new(batch)))
                }
                error @ StoreError::Query(_) => Err(Failure::Refused(error)),
            },
            Err(_) => {
                tracing::warn!("the database does not answer in time; the outcome of a batch is looked up");
                Err(Failure::Lost(Box::new(batch)))
            }
        }
    }

    /// Begins the transaction, locks and reads. Orders of the same products that arrived while it waited for the
    /// locks then join the batch.
    async fn look(
        &mut self,
        desk: &Desk,
        lane: Lane<'_>,
        transaction: &Pipeline,
        skus: &BTreeSet<Sku>,
        memory: &mut Memory,
    ) -> Result<Remembered, Failure> {
        let connection = transaction.connection();
        let keys = self.keys(0);
        let reading = async {
            let (begun, loaded, kept) =
                join!(transaction.begin(), product_states::lock(connection, skus), find_kept(connection, &keys));
            begun?;
            Ok((loaded?, kept?))
        };
        let (loaded, kept) = in_time(desk, reading).await?;
        self.answer_kept(desk, memory, &keys, kept)?;
        let first_added = self.waiters.len();
        for waiter in desk.take_of(lane, skus, desk.batch_max.saturating_sub(first_added)) {
            self.add(waiter);
        }
        if memory.repeats_expected > 0 {
            let keys = self.keys(first_added);
            let kept = in_time(desk, find_kept(connection, &keys)).await?;
            self.answer_kept(desk, memory, &keys, kept)?;
        }
        self.leaders.retain(|index| self.answers[*index].is_none());
        Ok(memory.known.compare(loaded))
    }

    /// The keys of its leaders, from the waiter with index `first` on.
    fn keys(&self, first: usize) -> Vec<KeyUse> {
        let leaders = self.leaders.iter().filter(|index| **index >= first);
        leaders.filter_map(|index| self.request(*index).key.clone()).collect()
    }

    /// Gives requests their stored answers.
    fn answer_kept(
        &mut self,
        desk: &Desk,
        memory: &mut Memory,
        keys: &[KeyUse],
        kept: Vec<Option<orders::KeptOrder>>,
    ) -> Result<(), Failure> {
        for (used, kept) in keys.iter().zip(kept) {
            let Some(kept) = kept else { continue };
            memory.repeats_expected = REPEATS_EXPECTED;
            let answer = replay(desk, used, kept).map_err(Failure::Refused)?;
            if let Some(index) = self.first_with_key.get(&used.key) {
                self.answers[*index] = Some(answer.map(Taken::Rendered));
            }
        }
        Ok(())
    }

    /// Takes the results of a batch that was written; returns the products as they are now.
    fn decided(&mut self, batch: Batch) -> Remembered {
        let (results, remembered) = batch.into_results();
        for (index, reply) in results {
            self.answers[index] = Some(reply);
        }
        remembered
    }

    /// Sends the answers. Returns the requests that repeat a key of this round with another body.
    fn answer(mut self, desk: &Desk) -> Vec<Waiter> {
        for (index, leader) in std::mem::take(&mut self.followers) {
            if self.request(index).fingerprint() == self.request(leader).fingerprint() {
                let first = self.answers[leader].clone();
                self.answers[index] = first.map(|first| first.map(Taken::repeated));
            }
        }
        let mut rest = Vec::new();
        for (waiter, answer) in self.waiters.into_iter().zip(self.answers) {
            let Some(answer) = answer else {
                rest.push(waiter);
                continue;
            };
            if let Some(status) = answer.as_ref().ok().and_then(Taken::decided_status) {
                desk.metrics.decided.add(1, &[KeyValue::new("status", i64::from(status))]);
            }
            waiter.answer(answer);
        }
        rest
    }
}
