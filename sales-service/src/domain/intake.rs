//! Combined intake: many orders decided together. Each gets what it would have got alone, in the order of arrival;
//! what is short in a product is answered by one decision for all of them.

use std::collections::BTreeMap;

use jaego_contracts::ids::{OrderId, Quantity, RequestId, Sku};

use super::order::{OnShortage, OrderStatus};
use super::shelf::{Limits, Moment, NewReplenishment, Shelf, Shelves};
use super::stock::{Cause, Movement};

/// An order to be decided. Its SKUs are distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Its id.
    pub id: OrderId,
    /// What, and how many.
    pub lines: Vec<(Sku, Quantity)>,
    /// What to do when stock is short; None for each product's policy.
    pub on_shortage: Option<OnShortage>,
    /// Whether it may have no more than `max_per_order` of a product: not where operators order.
    pub is_limited: bool,
}

/// A line of a decided order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedLine {
    /// What.
    pub sku: Sku,
    /// Ordered.
    pub quantity: Quantity,
    /// Taken from stock.
    pub filled: i64,
    /// Sold and waiting for stock.
    pub waiting: i64,
    /// On hand when the line was looked at.
    pub available: i64,
    /// Units that others waited for then.
    pub ahead: i64,
    /// For a line that was short: when what it lacked should be here, behind those who waited before.
    pub restock_eta: Option<Moment>,
    /// Price of a unit, minor units.
    pub unit_price: i64,
}

impl DecidedLine {
    /// Units that were not on hand.
    fn missing(&self) -> i64 {
        (self.quantity.get() - self.available).max(0)
    }
}

/// A decided order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedOrder {
    /// Its id.
    pub id: OrderId,
    /// What became of it.
    pub status: OrderStatus,
    /// Its lines, as ordered.
    pub lines: Vec<DecidedLine>,
    /// The replenishments that cover the units it waits for.
    pub replenishments: Vec<RequestId>,
}

impl DecidedOrder {
    /// Price of all lines, minor units. At most 50 lines of 10^6 units of 10^9: it fits.
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity.get() * line.unit_price).sum()
    }
}

/// Why an order is not looked at further; it leaves no trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unacceptable {
    /// These products are not there.
    UnknownProducts(Vec<Sku>),
    /// More of these products than one order may have, and how many it may.
    TooMany(Vec<(Sku, i64)>),
}

/// A decided replenishment, and the first order of the batch that made it necessary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CausedReplenishment {
    /// The replenishment.
    pub new: NewReplenishment,
    /// The order's place in the batch.
    pub cause: usize,
}

/// Everything that a batch changes, beside the shelves.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BatchDecision {
    /// One result per order, in the order of their arrival.
    pub orders: Vec<Result<DecidedOrder, Unacceptable>>,
    /// Ledger entries, in order.
    pub movements: Vec<Movement<OrderId>>,
    /// Replenishments, in order.
    pub replenishments: Vec<CausedReplenishment>,
}

/// A product that asks for more.
struct Asking {
    cause: usize,
    is_short: bool,
}

/// Decides orders in the order of their arrival; `shelves` holds the figures before and after. Then each product is
/// asked once for all that is short in it.
pub fn decide_orders<'a>(
    shelves: &mut Shelves,
    orders: impl IntoIterator<Item = &'a NewOrder>,
    limits: Limits,
    now: Moment,
    new_id: &mut dyn FnMut() -> RequestId,
) -> BatchDecision {
    let mut decision = BatchDecision::default();
    let mut asking = BTreeMap::new();
    for (place, order) in orders.into_iter().enumerate() {
        let decided = decide_order(shelves, order, place, limits, &mut asking, &mut decision.movements);
        decision.orders.push(decided);
    }
    for (sku, Asking { cause, is_short }) in asking {
        let Some(shelf) = shelves.get_mut(&sku) else { continue };
        let decided = shelf.replenish(&sku, is_short, limits, now, new_id);
        decision.replenishments.extend(decided.into_iter().map(|new| CausedReplenishment { new, cause }));
    }
    for order in decision.orders.iter_mut().flatten() {
        promise(shelves, order, now);
    }
    decision
}

fn decide_order(
    shelves: &mut Shelves,
    order: &NewOrder,
    place: usize,
    limits: Limits,
    asking: &mut BTreeMap<Sku, Asking>,
    movements: &mut Vec<Movement<OrderId>>,
) -> Result<DecidedOrder, Unacceptable> {
    let is_known = |sku: &Sku| shelves.get(sku).is_some_and(|shelf| shelf.on_sale);
    let unknown: Vec<Sku> = order.lines.iter().map(|(sku, _)| sku).filter(|sku| !is_known(sku)).cloned().collect();
    if !unknown.is_empty() {
        return Err(Unacceptable::UnknownProducts(unknown));
    }
    let excess = |(sku, quantity): &(Sku, Quantity)| {
        let most = shelves.get(sku)?.max_per_order.unwrap_or(limits.max_per_order);
        (quantity.get() > most).then(|| (sku.clone(), most))
    };
    let too_many: Vec<(Sku, i64)> = order.lines.iter().filter(|_| order.is_limited).filter_map(excess).collect();
    if !too_many.is_empty() {
        return Err(Unacceptable::TooMany(too_many));
    }
    let must_reject = order
        .lines
        .iter()
        .any(|(sku, quantity)| !shelves.get(sku).is_some_and(|shelf| can_sell(shelf, *quantity, order, limits)));
    let mut lines = Vec::with_capacity(order.lines.len());
    for (sku, quantity) in &order.lines {
        let Some(shelf) = shelves.get_mut(sku) else { continue };
        let (available, ahead) = (shelf.figures.on_hand, shelf.figures.backordered);
        let is_short = quantity.get() > available;
        let filled = if must_reject { 0 } else { quantity.get().min(available) };
        let waiting = if must_reject { 0 } else { quantity.get() - filled };
        if filled > 0 {
            let (cause, reference) = (Cause::Sale, order.id);
            movements.push(Movement { sku: sku.clone(), cause, delta: -filled, before: available, reference });
        }
        shelf.figures.on_hand -= filled;
        shelf.figures.backordered += waiting;
        // A refused order that this line had no part in changes nothing here.
        if (is_short || filled > 0) && shelf.is_low(is_short) {
            let asks = asking.entry(sku.clone()).or_insert(Asking { cause: place, is_short });
            asks.is_short |= is_short;
        }
        let (unit_price, restock_eta) = (shelf.unit_price, None);
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

/// Dates and requests of the lines that were short, once all that the batch asks for is on order.
fn promise(shelves: &Shelves, order: &mut DecidedOrder, now: Moment) {
    for line in order.lines.iter_mut().filter(|line| line.missing() > 0) {
        let Some(shelf) = shelves.get(&line.sku) else { continue };
        line.restock_eta = shelf.promised_at(line.ahead, line.missing(), now);
        if line.waiting > 0 {
            order.replenishments.extend(shelf.covering(line.ahead, line.waiting, now));
        }
    }
}

fn can_sell(shelf: &Shelf, quantity: Quantity, order: &NewOrder, limits: Limits) -> bool {
    let missing = quantity.get() - shelf.figures.on_hand;
    missing <= 0 || (shelf.policy.shortage().may_wait(order.on_shortage) && missing <= shelf.backorder_room(limits))
}
