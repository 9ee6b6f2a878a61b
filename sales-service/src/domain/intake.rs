//! Combined intake: many orders are decided together. Each gets what it would have got alone, in order of arrival; a
//! shortage of a product is answered by one replenishment decision for the whole batch.

use std::collections::BTreeMap;

use jaego_contracts::ids::{OrderId, Quantity, RequestId, Sku};

use super::order::{OnShortage, OrderStatus};
use super::product_state::{Limits, Moment, NewReplenishment, ProductState, ProductStates};
use super::stock::{Cause, Movement};

/// An order to be decided. Its SKUs are distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    pub id: OrderId,
    pub lines: Vec<(Sku, Quantity)>,
    /// Action when stock is short. None leaves it to each product's policy.
    pub on_shortage: Option<OnShortage>,
    /// True if `max_per_order` applies. It does not for orders placed by operators.
    pub is_limited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedLine {
    pub sku: Sku,
    pub quantity: Quantity,
    /// Units taken from stock.
    pub filled: i64,
    /// Units sold and waiting for stock.
    pub waiting: i64,
    /// Units on hand when the line was decided.
    pub available: i64,
    /// Units that other orders were waiting for at that time.
    pub ahead: i64,
    /// Expected arrival of the missing units, behind those that were waiting before. Only set for a short line.
    pub restock_eta: Option<Moment>,
    /// Unit price, minor units.
    pub unit_price: i64,
}

impl DecidedLine {
    fn missing(&self) -> i64 {
        (self.quantity.get() - self.available).max(0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedOrder {
    pub id: OrderId,
    pub status: OrderStatus,
    /// Lines in the order of the request.
    pub lines: Vec<DecidedLine>,
    /// The replenishments that cover the units this order waits for.
    pub replenishments: Vec<RequestId>,
}

impl DecidedOrder {
    /// Total price, minor units. At most 50 lines of 10^6 units at 10^9 each, which fits.
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity.get() * line.unit_price).sum()
    }
}

/// Why an order is not decided. Such an order is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unacceptable {
    /// Products that do not exist or are not on sale.
    UnknownProducts(Vec<Sku>),
    /// Products ordered above their limit per order, with that limit.
    TooMany(Vec<(Sku, i64)>),
}

/// A decided replenishment, and the first order of the batch that made it necessary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CausedReplenishment {
    pub new: NewReplenishment,
    /// Index of the order in the batch.
    pub cause: usize,
}

/// All changes made by a batch, besides the product state.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BatchDecision {
    /// One result per order, in order of arrival.
    pub orders: Vec<Result<DecidedOrder, Unacceptable>>,
    pub movements: Vec<Movement<OrderId>>,
    pub replenishments: Vec<CausedReplenishment>,
}

/// A product whose figures call for a replenishment.
struct Asking {
    cause: usize,
    is_short: bool,
}

/// Decides orders in order of arrival and updates `states` in place. The policy of each product is evaluated once at
/// the end, for the shortage of the whole batch.
pub fn decide_orders<'a>(
    states: &mut ProductStates,
    orders: impl IntoIterator<Item = &'a NewOrder>,
    limits: Limits,
    now: Moment,
    new_id: &mut dyn FnMut() -> RequestId,
) -> BatchDecision {
    let mut decision = BatchDecision::default();
    let mut asking = BTreeMap::new();
    for (place, order) in orders.into_iter().enumerate() {
        let decided = decide_order(states, order, place, limits, &mut asking, &mut decision.movements);
        decision.orders.push(decided);
    }
    for (sku, Asking { cause, is_short }) in asking {
        let Some(state) = states.get_mut(&sku) else { continue };
        let decided = state.replenish(&sku, is_short, limits, now, new_id);
        decision.replenishments.extend(decided.into_iter().map(|new| CausedReplenishment { new, cause }));
    }
    for order in decision.orders.iter_mut().flatten() {
        promise(states, order, now);
    }
    decision
}

fn decide_order(
    states: &mut ProductStates,
    order: &NewOrder,
    place: usize,
    limits: Limits,
    asking: &mut BTreeMap<Sku, Asking>,
    movements: &mut Vec<Movement<OrderId>>,
) -> Result<DecidedOrder, Unacceptable> {
    let is_known = |sku: &Sku| states.get(sku).is_some_and(|state| state.on_sale);
    let unknown: Vec<Sku> = order.lines.iter().map(|(sku, _)| sku).filter(|sku| !is_known(sku)).cloned().collect();
    if !unknown.is_empty() {
        return Err(Unacceptable::UnknownProducts(unknown));
    }
    let excess = |(sku, quantity): &(Sku, Quantity)| {
        let most = states.get(sku)?.max_per_order.unwrap_or(limits.max_per_order);
        (quantity.get() > most).then(|| (sku.clone(), most))
    };
    let too_many: Vec<(Sku, i64)> = order.lines.iter().filter(|_| order.is_limited).filter_map(excess).collect();
    if !too_many.is_empty() {
        return Err(Unacceptable::TooMany(too_many));
    }
    let must_reject = order
        .lines
        .iter()
        .any(|(sku, quantity)| !states.get(sku).is_some_and(|state| can_sell(state, *quantity, order, limits)));
    let mut lines = Vec::with_capacity(order.lines.len());
    for (sku, quantity) in &order.lines {
        let Some(state) = states.get_mut(sku) else { continue };
        let (available, ahead) = (state.figures.on_hand, state.figures.backordered);
        let is_short = quantity.get() > available;
        let filled = if must_reject { 0 } else { quantity.get().min(available) };
        let waiting = if must_reject { 0 } else { quantity.get() - filled };
        if filled > 0 {
            let (cause, reference) = (Cause::Sale, order.id);
            movements.push(Movement { sku: sku.clone(), cause, delta: -filled, before: available, reference });
        }
        state.figures.on_hand -= filled;
        state.figures.backordered += waiting;
        // A refused order changes nothing for a product in which it was not short.
        if (is_short || filled > 0) && state.is_low(is_short) {
            let asks = asking.entry(sku.clone()).or_insert(Asking { cause: place, is_short });
            asks.is_short |= is_short;
        }
        let (unit_price, restock_eta) = (state.unit_price, None);
        let quantity = *quantity;
        lines.push(DecidedLine {
            sku: sku.clone(),
            quantity,
            filled,
            waiting,
            available,
            ahead,
            restock_eta,
            unit_price,
        });
    }
    let waiting = lines.iter().map(|line| line.waiting).sum();
    let status = if must_reject { OrderStatus::Rejected } else { OrderStatus::of_sold(waiting) };
    Ok(DecidedOrder { id: order.id, status, lines, replenishments: Vec::new() })
}

/// Sets dates and covering requests of the short lines, once everything the batch orders is on order.
fn promise(states: &ProductStates, order: &mut DecidedOrder, now: Moment) {
    for line in order.lines.iter_mut().filter(|line| line.missing() > 0) {
        let Some(state) = states.get(&line.sku) else { continue };
        line.restock_eta = state.promised_at(line.ahead, line.missing(), now);
        if line.waiting > 0 {
            order.replenishments.extend(state.covering(line.ahead, line.waiting, now));
        }
    }
}

fn can_sell(state: &ProductState, quantity: Quantity, order: &NewOrder, limits: Limits) -> bool {
    let missing = quantity.get() - state.figures.on_hand;
    missing <= 0 || (state.policy.shortage().may_wait(order.on_shortage) && missing <= state.backorder_room(limits))
}
