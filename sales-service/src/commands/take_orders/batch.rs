//! A batch: orders decided on their products, and written by one set-based statement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::join;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{OrderId, RequestId, Sku};
use jaego_contracts::order;
use jaego_contracts::order::{OrderLineSummary, OrderSummary};
use jaego_contracts::trace::TraceContext;
use jaego_pg::Pipeline;
use jaego_postbox::outbox;
use jaego_service::idempotency::KeptAnswer;
use jaego_web::problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use uuid::Uuid;

use super::known::Remembered;
use super::queues::{Reply, Taken};
use super::worker::Desk;
use super::{Decided, OrderRequest};
use crate::commands::{Answered, write};
use crate::domain::intake::{BatchDecision, CausedReplenishment, DecidedOrder, Unacceptable, decide_orders};
use crate::domain::order::OrderStatus;
use crate::store::orders::{OrderKey, OrderToInsert};
use crate::store::stock::{self, Changed, Hand};
use crate::store::{orders, product_states, replenishments};

/// Decided orders that are not written yet.
pub(super) struct Batch {
    /// Indices of the orders in their round.
    pub(super) leaders: Vec<usize>,
    requests: Vec<Arc<OrderRequest>>,
    /// The products as changed by the orders.
    pub(super) remembered: Remembered,
    /// The row versions that the decision is based on.
    held: BTreeMap<Sku, i64>,
    changed: BTreeSet<Sku>,
    decision: BatchDecision,
    /// The answers to store with their orders. A confirmed order's answer can be rendered again from the order.
    answers: Vec<Option<KeptAnswer>>,
    at: DateTime<Utc>,
}

impl Batch {
    /// Decides these orders, which have the indices `leaders` in their round.
    pub(super) fn decide(
        mut remembered: Remembered,
        leaders: Vec<usize>,
        requests: Vec<Arc<OrderRequest>>,
        desk: &Desk,
    ) -> Self {
        let loaded = &mut remembered.loaded;
        let at = write::not_before(write::now(), &loaded.states);
        let before: Vec<_> = loaded.states.values().map(|state| state.figures).collect();
        let decision = decide_orders(
            &mut loaded.states,
            requests.iter().map(|request| &request.order),
            desk.context.limits,
            product_states::moment(at),
            &mut RequestId::generate,
        );
        let changed = loaded.states.iter().zip(before).filter(|((_, state), before)| state.figures != *before);
        let mut changed: BTreeSet<Sku> = changed.map(|((sku, _), _)| sku.clone()).collect();
        // A proposal changes no figure, but other replicas must notice it.
        changed.extend(decision.replenishments.iter().map(|caused| caused.new.sku.clone()));
        let held = loaded.versions.clone();
        for sku in &changed {
            let (state, version) = (loaded.states.get_mut(sku), loaded.versions.get_mut(sku));
            if let (Some(state), Some(version)) = (state, version) {
                state.changed_at = product_states::moment(at);
                *version += 1;
            }
        }
        let answer = |(request, decided): (&Arc<OrderRequest>, &Result<DecidedOrder, Unacceptable>)| {
            let order = decided.as_ref().ok().filter(|order| order.status != OrderStatus::Confirmed)?;
            Some(desk.render.decided(&Decided { request, order, at }))
        };
        let answers = requests.iter().zip(&decision.orders).map(answer).collect();
        Self { leaders, requests, remembered, held, changed, decision, answers, at }
    }

    /// Ids of the orders to be written. Either all of them are written or none is.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.decision.orders.iter().flatten().map(|order| order.id.0).collect()
    }

    /// The results of the leaders, with their indices in the round, and the products as they are now.
    pub(super) fn into_results(self) -> (impl Iterator<Item = (usize, Reply)>, Remembered) {
        let Self { leaders, decision, answers, at, remembered, .. } = self;
        let reply = move |(decided, answer)| match (decided, answer) {
            (Ok(_), Some(answer)) => Ok(Taken::Rendered(Answered { answer, is_replay: false })),
            (Ok(order), None) => Ok(Taken::Confirmed { order, at, is_replay: false }),
            (Err(Unacceptable::UnknownProducts(skus)), _) => Err(unknown_products(&skus)),
            (Err(Unacceptable::TooMany(lines)), _) => Err(too_many(&lines)),
        };
        let replies = decision.orders.into_iter().zip(answers).map(reply);
        (leaders.into_iter().zip(replies), remembered)
    }

    fn is_empty(&self) -> bool {
        self.decision.orders.iter().all(Result::is_err)
    }

    /// Writes the batch by a single statement, which is a transaction of its own.
    pub(super) async fn write_alone(&self, transaction: &Pipeline) -> diesel::QueryResult<()> {
        if self.is_empty() {
            return Ok(());
        }
        transaction.single(self.statement(transaction)).await
    }

    /// Writes the batch as the last statement of a transaction that has locked the products, and commits.
    pub(super) async fn write(&self, transaction: &Pipeline) -> diesel::QueryResult<()> {
        if self.is_empty() {
            return transaction.commit().await;
        }
        let (written, committed) = join!(self.statement(transaction), transaction.commit());
        written?;
        committed
    }

    /// One statement for everything, because each statement costs a round trip: one is cheaper than eight.
    async fn statement(&self, transaction: &Pipeline) -> diesel::QueryResult<()> {
        let Self { decision, at, .. } = self;
        let trace_of = |order: usize| self.requests.get(order).map_or_else(TraceContext::new_root, |order| order.trace);
        let replenishments: Vec<_> =
            decision.replenishments.iter().map(|caused| (&caused.new, trace_of(caused.cause))).collect();
        let orders: Vec<OrderToInsert<'_>> = self.orders_to_insert();
        let hand = Hand { actor: "shop", at: *at, note: None };
        let loaded = &self.remembered.loaded;
        let changed = self.changed.iter().filter_map(|sku| {
            Some(Changed { sku, state: loaded.states.get(sku)?, version: *loaded.versions.get(sku)? })
        });
        let changed: Vec<Changed<'_>> = changed.collect();

        let batch_trace = trace_of(0);
        let mut events = write::replenishment_events(&replenishments, *at);
        events.extend(order_events(decision, batch_trace));
        events.extend(changed.iter().map(|changed| write::stock_changed(*changed, *at, batch_trace)));
        let (_, movements) = stock::inserting_movements(&decision.movements, hand, OrderId::to_string);
        let all = product_states::holding(&self.held)
            .together()
            .and(replenishments::inserting(&write::replenishment_rows(&replenishments, *at)))
            .and(orders::inserting(&orders, *at))
            .and(orders::inserting_lines(&orders))
            .and(orders::inserting_replenishments(&orders, &self.set_off()))
            .and(movements)
            .and(stock::writing(&changed))
            .and(outbox::appending(&events));
        all.run(transaction.connection()).await.map(drop)
    }

    /// The replenishments with the order of this batch that made them necessary.
    fn set_off(&self) -> Vec<(OrderId, RequestId)> {
        let link = |caused: &CausedReplenishment| Some((self.requests.get(caused.cause)?.order.id, caused.new.id));
        self.decision.replenishments.iter().filter_map(link).collect()
    }

    fn orders_to_insert(&self) -> Vec<OrderToInsert<'_>> {
        let all = self.requests.iter().zip(&self.decision.orders).zip(&self.answers);
        all.filter_map(|((request, decided), answer)| {
            let decided = decided.as_ref().ok()?;
            Some(OrderToInsert {
                decided,
                customer: request.customer.as_deref(),
                traceparent: request.trace.to_string(),
                key: request.key.as_ref().map(|key| OrderKey { key, answer: answer.as_ref() }),
            })
        })
        .collect()
    }
}

fn order_events(decision: &BatchDecision, trace: TraceContext) -> Vec<OutgoingEvent> {
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
    let detail = format!("Not on sale: {}. Remove these products from the order.", list.join(", "));
    Problem::new(ProblemKind::UnknownProduct, detail).with("skus", list)
}

fn too_many(lines: &[(Sku, i64)]) -> Problem {
    let list: Vec<String> = lines.iter().map(|(sku, most)| format!("at most {most} of {sku}")).collect();
    let detail = format!("One order may contain {}. Order fewer units.", list.join(", "));
    let lines: Vec<Value> = lines.iter().map(|(sku, most)| json!({"sku": sku, "max_per_order": most})).collect();
    Problem::new(ProblemKind::InvalidRequest, detail).with("lines", lines)
}
