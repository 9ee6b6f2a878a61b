//! One batch: load and lock, decide, write set-wise, commit; then the answers.

use std::collections::{BTreeSet, HashMap};

use diesel_async::AsyncConnection;
use shared::contracts::order;
use shared::contracts::order::{OrderLineSummary, OrderSummary};
use shared::idempotency::{self, KeptAnswer, KeyUse};
use shared::ids::{RequestId, Sku};
use shared::outbox;
use shared::problem::{Problem, ProblemKind};
use shared::trace::TraceContext;

use super::{Decided, OrderRequest, Render, restock_eta};
use crate::commands::{Answered, Context, write};
use crate::domain::intake::{BatchDecision, DecidedOrder, NewOrder, UnknownProducts, decide_orders};
use crate::domain::order::OrderStatus;
use crate::domain::stock::Figures;
use crate::store::orders::OrderToInsert;
use crate::store::stock::Hand;
use crate::store::{StoreError, orders, stock};

type Answer = Result<Answered, Problem>;

/// Decides all requests; one answer each, in their order. Nothing is half done: either a round is
/// committed, or every answer in it is a problem that says to try again.
pub(super) async fn take(
    context: &Context,
    render: &Render,
    requests: &[OrderRequest],
    new_id: &mut (dyn FnMut() -> RequestId + Send),
) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = requests.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..requests.len()).collect();
    // Mostly one round. A key that comes twice in one batch is decided once: the others follow it,
    // or, with another body, are looked at in the next round, when its answer is kept.
    while !waiting.is_empty() {
        let (leaders, followers) = by_key(requests, &waiting);
        decide_round(context, render, requests, leaders, &mut answers, new_id).await;
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

/// Decides requests with distinct keys and puts their answers in their places.
async fn decide_round(
    context: &Context,
    render: &Render,
    requests: &[OrderRequest],
    mut undecided: Vec<usize>,
    answers: &mut [Option<Answer>],
    new_id: &mut (dyn FnMut() -> RequestId + Send),
) {
    // Keys are only looked up when one collides: most requests are new.
    let result = loop {
        match decide_and_write(context, render, requests, &undecided, new_id).await {
            Err(error) if error.violates(idempotency::PRIMARY_KEY) => {
                let before = undecided.len();
                match answer_known_keys(context, requests, &mut undecided, answers).await {
                    Ok(()) if undecided.is_empty() => break Ok(Vec::new()),
                    Ok(()) if undecided.len() < before => {}
                    Ok(()) => break Err(error),
                    Err(error) => break Err(error),
                }
            }
            other => break other,
        }
    };
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

/// Answers the requests whose keys are kept already, and takes them out of `undecided`.
async fn answer_known_keys(
    context: &Context,
    requests: &[OrderRequest],
    undecided: &mut Vec<usize>,
    answers: &mut [Option<Answer>],
) -> Result<(), StoreError> {
    let keys: Vec<&KeyUse> = undecided.iter().filter_map(|index| requests[*index].key.as_ref()).collect();
    let Some(endpoint) = keys.first().map(|used| used.endpoint) else { return Ok(()) };
    let texts: Vec<String> = keys.iter().map(|used| used.key.clone()).collect();
    let mut connection = context.pool.get().await?;
    let mut kept = idempotency::find(&mut connection, endpoint, "", &texts).await?;
    undecided.retain(|index| {
        let Some(used) = &requests[*index].key else { return true };
        let Some(kept) = kept.remove(&used.key) else { return true };
        let answer = kept.for_body(&used.fingerprint);
        answers[*index] = Some(answer.map(|answer| Answered { answer, is_replay: true }));
        false
    });
    Ok(())
}

async fn decide_and_write(
    context: &Context,
    render: &Render,
    requests: &[OrderRequest],
    undecided: &[usize],
    new_id: &mut (dyn FnMut() -> RequestId + Send),
) -> Result<Vec<Answer>, StoreError> {
    let requests: Vec<&OrderRequest> = undecided.iter().map(|index| &requests[*index]).collect();
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async move |connection| {
            let now = write::now();
            let skus: BTreeSet<Sku> =
                requests.iter().flat_map(|request| request.order.lines.iter().map(|(sku, _)| sku.clone())).collect();
            let mut loaded = stock::lock_shelves(connection, &skus, now).await?;
            let before: HashMap<Sku, Figures> =
                loaded.shelves.iter().map(|(sku, shelf)| (sku.clone(), shelf.figures)).collect();
            let new_orders: Vec<NewOrder> = requests.iter().map(|request| request.order.clone()).collect();
            let decision = decide_orders(&mut loaded.shelves, &new_orders, &mut *new_id);

            let traces = traces_of_replenishments(&requests, &decision);
            let batch_trace = requests.first().map_or_else(TraceContext::new_root, |request| request.trace);
            let decided_now: Vec<_> = decision.replenishments.iter().zip(traces).collect();
            let mut events = write::write_replenishments(connection, &decided_now, now).await?;

            let to_insert: Vec<OrderToInsert<'_>> = requests
                .iter()
                .zip(&decision.orders)
                .filter_map(|(request, decided)| {
                    let decided = decided.as_ref().ok()?;
                    let traceparent = request.trace.to_string();
                    Some(OrderToInsert { decided, customer: request.customer.as_deref(), traceparent })
                })
                .collect();
            orders::insert(connection, &to_insert, now).await?;
            orders::insert_replenishments(connection, &to_insert).await?;
            let hand = Hand { actor: "shop", at: now, note: None };
            stock::insert_movements(connection, &decision.movements, hand, ToString::to_string).await?;
            let changed: Vec<(&Sku, Figures)> = loaded
                .shelves
                .iter()
                .filter(|(sku, shelf)| before.get(*sku) != Some(&shelf.figures))
                .map(|(sku, shelf)| (sku, shelf.figures))
                .collect();
            stock::write_figures(connection, &changed).await?;

            events.extend(order_events(&decision, batch_trace));
            events.extend(changed.iter().map(|(sku, figures)| write::stock_changed(sku, figures, now, batch_trace)));
            outbox::append(connection, events).await?;

            let ordered_now: BTreeSet<&Sku> =
                decision.replenishments.iter().filter(|new| !new.is_proposal).map(|new| &new.sku).collect();
            let answer = |request: &OrderRequest, decided: &Result<DecidedOrder, UnknownProducts>| match decided {
                Ok(order) => {
                    let eta = |sku: &Sku| restock_eta(loaded.expected.get(sku), ordered_now.contains(sku), now);
                    let restock_etas = order.lines.iter().map(|line| eta(&line.sku)).collect();
                    Ok(Answered {
                        answer: render(&Decided { request, order, restock_etas, at: now }),
                        is_replay: false,
                    })
                }
                Err(UnknownProducts(skus)) => Err(unknown_products(skus)),
            };
            let answers: Vec<Answer> =
                requests.iter().zip(&decision.orders).map(|(request, decided)| answer(request, decided)).collect();
            let kept: Vec<(KeyUse, KeptAnswer)> = requests
                .iter()
                .zip(&answers)
                .filter_map(|(request, answer)| Some((request.key.clone()?, answer.as_ref().ok()?.answer.clone())))
                .collect();
            idempotency::keep(connection, &kept).await?;
            Ok::<_, StoreError>(answers)
        })
        .await
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
