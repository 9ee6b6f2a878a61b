//! Combined intake: many orders decided together, exactly as if they had come one by one.

use shared::ids::{OrderId, Quantity, RequestId, Sku};

use super::order::OrderStatus;
use super::policy::Shortage;
use super::shelf::{NewReplenishment, Shelf, Shelves};
use super::stock::{Cause, Movement};

/// An order to be decided. Its SKUs are distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Its id.
    pub id: OrderId,
    /// What, and how many.
    pub lines: Vec<(Sku, Quantity)>,
    /// What to do when stock is short; None for each product's policy.
    pub on_shortage: Option<Shortage>,
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
    /// Price of a unit, minor units.
    pub unit_price: i64,
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
    /// The replenishments that it caused, and for lines that were short those that answer them.
    pub replenishments: Vec<RequestId>,
}

impl DecidedOrder {
    /// Price of all lines, minor units. At most 50 lines of 10^6 units of 10^9: it fits.
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity.get() * line.unit_price).sum()
    }
}

/// An order that names products which are not there; it leaves no trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownProducts(pub Vec<Sku>);

/// Everything that a batch changes, beside the shelves.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BatchDecision {
    /// One result per order, in the order of their arrival.
    pub orders: Vec<Result<DecidedOrder, UnknownProducts>>,
    /// Ledger entries, in order.
    pub movements: Vec<Movement<OrderId>>,
    /// Replenishments, in order.
    pub replenishments: Vec<NewReplenishment>,
}

/// Decides orders in the order of their arrival; `shelves` holds the figures before and after.
pub fn decide_orders<'a>(
    shelves: &mut Shelves,
    orders: impl IntoIterator<Item = &'a NewOrder>,
    new_id: &mut dyn FnMut() -> RequestId,
) -> BatchDecision {
    let mut decision = BatchDecision::default();
    for order in orders {
        let decided = decide_order(shelves, order, new_id, &mut decision);
        decision.orders.push(decided);
    }
    decision
}

fn decide_order(
    shelves: &mut Shelves,
    order: &NewOrder,
    new_id: &mut dyn FnMut() -> RequestId,
    decision: &mut BatchDecision,
) -> Result<DecidedOrder, UnknownProducts> {
    let is_known = |sku: &Sku| shelves.get(sku).is_some_and(|shelf| shelf.on_sale);
    let unknown: Vec<Sku> = order.lines.iter().map(|(sku, _)| sku).filter(|sku| !is_known(sku)).cloned().collect();
    if !unknown.is_empty() {
        return Err(UnknownProducts(unknown));
    }
    let must_reject = order
        .lines
        .iter()
        .any(|(sku, quantity)| shelves.get(sku).is_none_or(|shelf| !can_sell(shelf, *quantity, order.on_shortage)));
    let mut lines = Vec::with_capacity(order.lines.len());
    let mut replenishments = Vec::new();
    for (sku, quantity) in &order.lines {
        let Some(shelf) = shelves.get_mut(sku) else { continue };
        let available = shelf.figures.on_hand;
        let is_short = quantity.get() > available;
        let filled = if must_reject { 0 } else { quantity.get().min(available) };
        let waiting = if must_reject { 0 } else { quantity.get() - filled };
        if filled > 0 {
            let movement = Movement {
                sku: sku.clone(),
                cause: Cause::Sale,
                delta: -filled,
                before: available,
                reference: order.id,
            };
            decision.movements.push(movement);
        }
        shelf.figures.on_hand -= filled;
        shelf.figures.backordered += waiting;
        // A refused order that this line had no part in changes nothing here.
        let replenishment = if must_reject && !is_short { None } else { shelf.replenish(sku, is_short, new_id) };
        if is_short {
            replenishments.extend(&shelf.open_replenishments);
        } else {
            replenishments.extend(replenishment.as_ref().map(|replenishment| replenishment.id));
        }
        decision.replenishments.extend(replenishment);
        let line = DecidedLine {
            sku: sku.clone(),
            quantity: *quantity,
            filled,
            waiting,
            available,
            unit_price: shelf.unit_price,
        };
        lines.push(line);
    }
    let waiting = lines.iter().map(|line| line.waiting).sum();
    let status = if must_reject { OrderStatus::Rejected } else { OrderStatus::of_sold(waiting) };
    Ok(DecidedOrder { id: order.id, status, lines, replenishments })
}

fn can_sell(shelf: &Shelf, quantity: Quantity, on_shortage: Option<Shortage>) -> bool {
    let missing = quantity.get() - shelf.figures.on_hand;
    if missing <= 0 {
        return true;
    }
    let may_wait = on_shortage.unwrap_or(shelf.policy.shortage()) == Shortage::Backorder;
    let fits = shelf.policy.max_backordered().is_none_or(|most| shelf.figures.backordered + missing <= most);
    may_wait && fits
}
