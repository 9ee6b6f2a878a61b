//! Combined intake: many orders decided together, exactly as if they had come one by one.

use std::collections::BTreeMap;

use shared::ids::{FactoryId, OrderId, Quantity, RequestId, Sku};

use super::policy::{self, Mode, Need, Policy, Shortage};
use super::stock::{Cause, Figures, Movement};

/// A product as intake sees it while a batch is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// Its figures; they change as orders are decided.
    pub figures: Figures,
    /// Its replenishment policy.
    pub policy: Policy,
    /// Who makes it.
    pub factory_id: FactoryId,
    /// Price of a unit, minor units of the shop's currency.
    pub unit_price: i64,
    /// Whether shoppers may order it.
    pub on_sale: bool,
    /// Replenishments that are under way, or proposed.
    pub open_replenishments: Vec<RequestId>,
    /// A proposal waits for an operator: there is no second one.
    pub has_proposal: bool,
    /// Cooling down after a refusal, or snoozed: nothing is ordered by itself.
    pub is_paused: bool,
}

/// All products that a batch touches.
pub type Shelves = BTreeMap<Sku, Shelf>;

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

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// All units were taken from stock.
    Confirmed,
    /// Sold; some units wait.
    Backordered,
    /// Refused: no stock was taken.
    Rejected,
}

impl OrderStatus {
    /// Its name, in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            OrderStatus::Confirmed => "confirmed",
            OrderStatus::Backordered => "backordered",
            OrderStatus::Rejected => "rejected",
        }
    }
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

/// More is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplenishment {
    /// Its id, and the production request's.
    pub id: RequestId,
    /// What.
    pub sku: Sku,
    /// Who makes it.
    pub factory_id: FactoryId,
    /// Only proposed (mode manual), or ordered at once.
    pub is_proposal: bool,
    /// How many and why.
    pub need: Need,
}

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
pub fn decide_orders(
    shelves: &mut Shelves,
    orders: &[NewOrder],
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
        let replenishment = if must_reject && !is_short { None } else { replenish(sku, shelf, is_short, new_id) };
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
    let status = if must_reject {
        OrderStatus::Rejected
    } else if lines.iter().any(|line| line.waiting > 0) {
        OrderStatus::Backordered
    } else {
        OrderStatus::Confirmed
    };
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

/// Evaluates the policy after a change; what is ordered counts in the figures at once, so one
/// shortfall is answered once.
pub fn replenish(
    sku: &Sku,
    shelf: &mut Shelf,
    is_short: bool,
    new_id: &mut dyn FnMut() -> RequestId,
) -> Option<NewReplenishment> {
    let is_proposal = match shelf.policy.mode() {
        Mode::Auto => false,
        Mode::Manual if !shelf.has_proposal => true,
        Mode::Manual | Mode::Off => return None,
    };
    if shelf.is_paused {
        return None;
    }
    let need = policy::need(&shelf.figures, &shelf.policy, is_short)?;
    let id = new_id();
    if is_proposal {
        shelf.has_proposal = true;
    } else {
        shelf.figures.on_order += need.quantity.get();
    }
    shelf.open_replenishments.push(id);
    Some(NewReplenishment { id, sku: sku.clone(), factory_id: shelf.factory_id.clone(), is_proposal, need })
}
