//! One batch: load and lock, or what is known, decide, write set-wise, commit; then the answers.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use futures::join;
use shared::contracts::order;
use shared::contracts::order::{OrderLineSummary, OrderSummary};
use shared::db::Pipeline;
use shared::idempotency::{self, Kept, KeptFor};
use shared::ids::{OrderId, RequestId, Sku};
use shared::outbox::{self, OutgoingMessage};
use shared::problem::{Problem, ProblemKind};
use shared::trace::TraceContext;

use super::known::{KnownShelves, Written};
use super::repeats::Repeats;
use super::{Decided, OrderRequest, Render, restock_eta};
use crate::commands::{Answered, Context, write};
use crate::domain::intake::{BatchDecision, DecidedOrder, UnknownProducts, decide_orders};
use crate::domain::order::OrderStatus;
use crate::domain::stock::Figures;
use crate::store::orders::OrderToInsert;
use crate::store::shelves::{self, Loaded};
use crate::store::stock::{self, Hand};
use crate::store::{StoreError, orders, replenishments};

type Answer = Result<Answered, Problem>;

/// Decides all requests; one answer each, in their order. Nothing is half done: either a round is
/// committed, or every answer in it is a problem that says to try again.
pub(super) async fn take(
    context: &Context,
    render: &Render,
    requests: &[OrderRequest],
    new_id: &mut (dyn FnMut() -> RequestId + Send),
    memory: &mut Memory,
) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = requests.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..requests.len()).collect();
    // Mostly one round. A key that comes twice in one batch is decided once: the others follow it,
    // or, with another body, are looked at in the next round, when its answer is kept.
    while !waiting.is_empty() {
        let (leaders, followers) = by_key(requests, &waiting);
        decide_round(context, render, requests, leaders, &mut answers, new_id, memory).await;
        waiting.clear();
        for (index, leader) in followers {
            if requests[index].fingerprint() == requests[leader].fingerprint() {
                let answer = answers[leader].clone();
                answers[index] = answer.map(|first| first.map(|first| Answered { is_replay: true, ..first }));
            } else {
                waiting.push(index);
            }
        }
    }
    let unanswered = || Err(Problem::internal("an order was left without an answer"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
}

/// Of these requests: the first with each key (and those without one), and the others with their first.
fn by_key(requests: &[OrderRequest], waiting: &[usize]) -> (Vec<usize>, Vec<(usize, usize)>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let (mut leaders, mut followers) = (Vec::new(), Vec::new());
    for index in waiting.iter().copied() {
        let leader = requests[index].key.as_ref().map_or(index, |used| *first.entry(&used.key).or_insert(index));
        if leader == index {
            leaders.push(index);
        } else {
            followers.push((index, leader));
        }
    }
    (leaders, followers)
}

/// What one batch leaves to the next.
#[derive(Debug)]
pub(super) struct Memory {
    repeats: Repeats,
    shelves: KnownShelves,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { repeats: Repeats::default(), shelves: KnownShelves::new() }
    }
}

/// So often a round is decided anew because another replica has just used one of its keys.
const ROUNDS_MAX: u32 = 10;

/// Decides requests with distinct keys and puts their answers in their places.
async fn decide_round(
    context: &Context,
    render: &Render,
    requests: &[OrderRequest],
    mut undecided: Vec<usize>,
    answers: &mut [Option<Answer>],
    new_id: &mut (dyn FnMut() -> RequestId + Send),
    memory: &mut Memory,
) {
    let mut rounds = 0;
    let result = loop {
        rounds += 1;
        let look_first = memory.repeats.are_expected();
        let round = Round { context, render, requests, look_first };
        match round.decide_and_write(&mut undecided, answers, new_id, &mut memory.shelves).await {
            // Nothing was written: with the kept answers at hand, the rest is decided again.
            Err(error) if error.violates(idempotency::PRIMARY_KEY) && rounds < ROUNDS_MAX => memory.repeats.found(),
            // The next round looks.
            Ok(None) => {}
            Ok(Some(decided)) => {
                if decided.found_kept {
                    memory.repeats.found();
                }
                break Ok(decided.answers);
            }
            Err(error) => break Err(error),
        }
    };
    memory.repeats.batch_ended();
    match result {
        Ok(decided) => {
            context.outbox.wake();
            for (index, answer) in undecided.iter().zip(decided) {
                answers[*index] = Some(answer);
            }
        }
        Err(error) => {
            let problem = Problem::from(error);
            for index in undecided {
                answers[index] = Some(Err(problem.clone()));
            }
        }
    }
}

/// What a round works with.
struct Round<'a> {
    context: &'a Context,
    render: &'a Render,
    requests: &'a [OrderRequest],
    look_first: bool,
}

/// What became of a round.
struct RoundDecided {
    /// Of what was left undecided, in its order.
    answers: Vec<Answer>,
    found_kept: bool,
}

impl Round<'_> {
    /// One transaction. Where its shelves are known it is one round trip, which locks them as they are known and
    /// writes; otherwise two: everything is loaded in the first and written in the second.
    /// Requests whose answer is kept already get it, and leave `undecided`. None when somebody else has written what
    /// was known: then nothing came of it.
    async fn decide_and_write(
        &self,
        undecided: &mut Vec<usize>,
        answers: &mut [Option<Answer>],
        new_id: &mut (dyn FnMut() -> RequestId + Send),
        shelves: &mut KnownShelves,
    ) -> Result<Option<RoundDecided>, StoreError> {
        let now = write::now();
        let skus: BTreeSet<Sku> = undecided.iter().flat_map(|index| self.requests[*index].skus()).cloned().collect();
        let transaction = Pipeline::new(self.context.pool.get().await?);
        let known = if self.look_first { None } else { shelves.take(&skus, now) };
        let is_known = known.is_some();
        let (loaded, found_kept) = match known {
            Some(known) => (known, false),
            None => self.load(&transaction, &skus, undecided, answers, now).await?,
        };
        let requests: Vec<&OrderRequest> = undecided.iter().map(|index| &self.requests[*index]).collect();
        let batch = Batch::decide(loaded, requests, now, new_id);
        let decided = batch.answers(self.render);
        let held = batch.write(&transaction, &decided, is_known).await?;
        let Some(transaction) = held else {
            shelves.disappoint();
            return Ok(None);
        };
        if is_known {
            shelves.confirm();
        } else {
            shelves.have_looked();
        }
        shelves.keep(batch.written(transaction));
        Ok(Some(RoundDecided { answers: decided, found_kept }))
    }

    /// The first of two round trips: begins, locks and looks. Whether answers were kept already, too.
    async fn load(
        &self,
        transaction: &Pipeline,
        skus: &BTreeSet<Sku>,
        undecided: &mut Vec<usize>,
        answers: &mut [Option<Answer>],
        now: DateTime<Utc>,
    ) -> Result<(Loaded, bool), StoreError> {
        let connection = transaction.connection();
        let (begun, loaded, kept) =
            join!(transaction.begin(), shelves::lock(connection, skus, now), self.kept(connection, undecided));
        begun?;
        let (loaded, mut kept) = (loaded?, kept?);
        let found_kept = !kept.is_empty();
        undecided.retain(|index| {
            let Some(used) = &self.requests[*index].key else { return true };
            let Some(kept) = kept.remove(&used.key) else { return true };
            let answer = kept.for_body(&used.fingerprint);
            answers[*index] = Some(answer.map(|answer| Answered { answer, is_replay: true }));
            false
        });
        Ok((loaded, found_kept))
    }

    async fn kept(
        &self,
        connection: &AsyncPgConnection,
        undecided: &[usize],
    ) -> Result<HashMap<String, Kept>, StoreError> {
        let used = undecided.iter().filter_map(|index| self.requests[*index].key.as_ref());
        let keys: Vec<String> = used.clone().map(|used| used.key.clone()).collect();
        match used.map(|used| used.endpoint).next() {
            Some(endpoint) if self.look_first => idempotency::find(connection, endpoint, "", &keys).await,
            _ => Ok(HashMap::new()),
        }
    }
}

/// Decided orders, before they are written.
struct Batch<'a> {
    requests: Vec<&'a OrderRequest>,
    loaded: Loaded,
    decision: BatchDecision,
    /// Shelves whose figures are others now.
    changed: BTreeSet<Sku>,
    /// Shelves for which more was ordered or proposed.
    replenished: BTreeSet<Sku>,
    now: DateTime<Utc>,
}

impl<'a> Batch<'a> {
    fn decide(
        mut loaded: Loaded,
        requests: Vec<&'a OrderRequest>,
        now: DateTime<Utc>,
        new_id: &mut dyn FnMut() -> RequestId,
    ) -> Self {
        let before: Vec<Figures> = loaded.shelves.values().map(|shelf| shelf.figures).collect();
        let decision = decide_orders(&mut loaded.shelves, requests.iter().map(|request| &request.order), new_id);
        let changed = loaded.shelves.iter().zip(before).filter(|((_, shelf), before)| shelf.figures != *before);
        let changed = changed.map(|((sku, _), _)| sku.clone()).collect();
        let replenished = decision.replenishments.iter().map(|new| new.sku.clone()).collect();
        Self { requests, loaded, decision, changed, replenished, now }
    }

    fn answers(&self, render: &Render) -> Vec<Answer> {
        let ordered_now: BTreeSet<&Sku> =
            self.decision.replenishments.iter().filter(|new| !new.is_proposal).map(|new| &new.sku).collect();
        let eta = |sku: &Sku| restock_eta(self.loaded.expected.get(sku), ordered_now.contains(sku), self.now);
        let answer = |(request, decided): (&&OrderRequest, &Result<DecidedOrder, UnknownProducts>)| match decided {
            Ok(order) => {
                let restock_etas = order.lines.iter().map(|line| eta(&line.sku)).collect();
                let decided = Decided { request, order, restock_etas, at: self.now };
                Ok(Answered { answer: render(&decided), is_replay: false })
            }
            Err(UnknownProducts(skus)) => Err(unknown_products(skus)),
        };
        self.requests.iter().zip(&self.decision.orders).map(answer).collect()
    }

    /// Writes everything and commits; shelves that are only known are locked before. Answers the transaction; None
    /// when somebody has written those shelves since ([`shelves::hold`]).
    async fn write(
        &self,
        transaction: &Pipeline,
        answers: &[Answer],
        is_known: bool,
    ) -> Result<Option<i64>, StoreError> {
        let (decision, now, connection) = (&self.decision, self.now, transaction.connection());
        let traces = traces_of_replenishments(&self.requests, decision);
        let replenishments: Vec<_> = decision.replenishments.iter().zip(traces).collect();
        let orders: Vec<OrderToInsert<'_>> = self
            .requests
            .iter()
            .zip(&decision.orders)
            .filter_map(|(request, decided)| to_insert(request, decided))
            .collect();
        let keys: Vec<KeptFor<'_>> = self
            .requests
            .iter()
            .zip(answers)
            .filter_map(|(request, answer)| Some((request.key.as_ref()?, &answer.as_ref().ok()?.answer)))
            .collect();
        let hand = Hand { actor: "shop", at: now, note: None };
        // With a proposal no figure changes, yet the shelf does, and others must see it.
        let written = self.changed.union(&self.replenished);
        let figures: Vec<(&Sku, Figures)> =
            written.filter_map(|sku| Some((sku, self.loaded.shelves.get(sku)?.figures))).collect();
        let changed = figures.iter().filter(|(sku, _)| self.changed.contains(*sku));

        let batch_trace = self.requests.first().map_or_else(TraceContext::new_root, |request| request.trace);
        let mut events = write::replenishment_events(&replenishments, now);
        events.extend(order_events(decision, batch_trace));
        events.extend(changed.map(|(sku, figures)| write::stock_changed(sku, figures, now, batch_trace)));

        let messages: Vec<OutgoingMessage> = events.into_iter().map(Into::into).collect();
        let rows = write::replenishment_rows(&replenishments, now);
        let (_, movements) = stock::inserting_movements(&decision.movements, hand, OrderId::to_string);
        // Each statement costs its own way there and back between two processes: one is cheaper than seven.
        let all = idempotency::keeping(&keys)
            .together()
            .and(orders::inserting(&orders, now))
            .and(orders::inserting_lines(&orders))
            .and(orders::inserting_replenishments(&orders))
            .and(movements)
            .and(stock::writing_figures(&figures))
            .and(outbox::appending(&messages));
        let begin = async {
            if !is_known {
                return Ok(Some(self.loaded.transaction));
            }
            let (begun, held) = join!(transaction.begin(), shelves::hold(connection, &self.loaded.versions));
            begun?;
            held
        };
        let (held, replenishments, written, committed) =
            join!(begin, replenishments::insert(connection, &rows), all.run(connection), transaction.commit());
        let Some(transaction) = held? else { return Ok(None) };
        replenishments?;
        written?;
        committed?;
        Ok(Some(transaction))
    }

    /// What is known after `transaction` has written it.
    fn written(self, transaction: i64) -> Written {
        let loaded = Loaded { transaction, ..self.loaded };
        Written { loaded, changed: self.changed, replenished: self.replenished }
    }
}

fn to_insert<'a>(
    request: &'a OrderRequest,
    decided: &'a Result<DecidedOrder, UnknownProducts>,
) -> Option<OrderToInsert<'a>> {
    let decided = decided.as_ref().ok()?;
    Some(OrderToInsert { decided, customer: request.customer.as_deref(), traceparent: request.trace.to_string() })
}

/// Each replenishment belongs to the trace of the first order that names it.
fn traces_of_replenishments(requests: &[&OrderRequest], decision: &BatchDecision) -> Vec<TraceContext> {
    let trace_of = |id: RequestId| {
        let named = |decided: &Result<DecidedOrder, UnknownProducts>| {
            decided.as_ref().is_ok_and(|order| order.replenishments.contains(&id))
        };
        let mut pairs = requests.iter().zip(&decision.orders);
        pairs.find(|(_, decided)| named(decided)).map_or_else(TraceContext::new_root, |(request, _)| request.trace)
    };
    decision.replenishments.iter().map(|new| trace_of(new.id)).collect()
}

fn order_events(decision: &BatchDecision, trace: TraceContext) -> Vec<shared::contracts::OutgoingEvent> {
    let kinds = [
        (OrderStatus::Confirmed, &order::CONFIRMED),
        (OrderStatus::Backordered, &order::BACKORDERED),
        (OrderStatus::Rejected, &order::REJECTED),
    ];
    let of = |status: OrderStatus| -> Vec<OrderSummary> {
        decision.orders.iter().flatten().filter(|order| order.status == status).map(summary).collect()
    };
    kinds.into_iter().flat_map(|(status, kind)| write::orders_changed(kind, of(status), trace)).collect()
}

fn summary(order: &DecidedOrder) -> OrderSummary {
    let lines = order.lines.iter().map(|line| OrderLineSummary {
        sku: line.sku.clone(),
        quantity: line.quantity.get(),
        filled: line.filled,
    });
    OrderSummary { id: order.id, lines: lines.collect() }
}

fn unknown_products(skus: &[Sku]) -> Problem {
    let list: Vec<&str> = skus.iter().map(Sku::as_str).collect();
    let detail = format!("Not on sale here: {}. Take them out of the order.", list.join(", "));
    Problem::new(ProblemKind::UnknownProduct, detail).with("skus", list)
}
