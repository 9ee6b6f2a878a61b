//! Incoming units: receipts, returns, corrections. They fill waiting orders first, oldest first; the rest goes on
//! hand. If more lines are waiting than one transaction fills, the remaining units count as on order until they are
//! handed out.

use jaego_contracts::ids::{OrderId, Sku};

use super::stock::{Cause, Figures, Movement};

/// A line of a backordered order that is still waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingLine {
    pub order_id: OrderId,
    /// Primary key of the line in the store.
    pub line_id: i64,
    /// Units that the line is waiting for.
    pub waiting: i64,
}

/// Units assigned to a waiting line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    pub order_id: OrderId,
    /// Primary key of the line in the store.
    pub line_id: i64,
    pub units: i64,
}

/// Origin of a ledger entry for incoming goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The receipt or adjustment itself.
    Incoming,
    /// An order that received the units.
    Order(OrderId),
}

/// Changes caused by incoming units, besides the figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Units assigned to each waiting line.
    pub fills: Vec<Fill>,
    pub movements: Vec<Movement<Source>>,
    /// Units still to be handed out, because more lines are waiting than were loaded. They count as on order.
    pub left: i64,
}

/// Units that come in (or go out, if negative) for a reason other than a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub cause: Cause,
    /// Signed. If negative, at least as many units are on hand.
    pub units: i64,
    /// Units that are no longer waited for: the waiting part of a cancelled order.
    pub given_up: i64,
}

/// Fewer units are on hand than the adjustment takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOnHand;

impl Arrival {
    pub fn of_adjustment(figures: &Figures, cause: Cause, delta: i64) -> Result<Self, NotOnHand> {
        if figures.on_hand + delta < 0 {
            return Err(NotOnHand);
        }
        Ok(Self { cause, units: delta, given_up: 0 })
    }
}

/// Adds the units to stock, then fills the `waiting` lines. They are ordered oldest first, and may be only the first
/// of many.
pub fn take_in(sku: &Sku, figures: &mut Figures, arrival: Arrival, waiting: &[WaitingLine]) -> Incoming {
    figures.backordered -= arrival.given_up;
    let mut incoming = Incoming::default();
    let takes: i64 = waiting.iter().map(|line| line.waiting).sum();
    // On hand and backordered are never both above zero, so units not taken by these lines belong to later ones.
    if takes < figures.backordered {
        incoming.left = (arrival.units - takes).max(0);
        figures.on_order += incoming.left;
    }
    let mut enter = |figures: &mut Figures, cause, delta, reference| {
        incoming.movements.push(Movement { sku: sku.clone(), cause, delta, before: figures.on_hand, reference });
        figures.on_hand += delta;
    };
    let units = arrival.units - incoming.left;
    if units != 0 {
        enter(figures, arrival.cause, units, Source::Incoming);
    }
    let mut fills = Vec::new();
    for line in waiting {
        let units = line.waiting.min(figures.on_hand);
        if units <= 0 {
            break;
        }
        enter(figures, Cause::BackorderFill, -units, Source::Order(line.order_id));
        figures.backordered -= units;
        fills.push(Fill { order_id: line.order_id, line_id: line.line_id, units });
    }
    incoming.fills = fills;
    incoming
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line_id: i64, waiting: i64) -> WaitingLine {
        WaitingLine { order_id: OrderId::generate(), line_id, waiting }
    }

    #[test]
    fn five_backorders_of_three_are_filled_strictly_oldest_first() {
        let sku: Sku = "CP-1".parse().expect("sku");
        let mut figures = Figures { backordered: 15, ..Figures::default() };
        let mut lines: Vec<WaitingLine> = (1..=5).map(|id| line(id, 3)).collect();
        let mut filled = Vec::new();
        for units in [4, 4, 4, 10] {
            let arrival = Arrival { cause: Cause::Receipt, units, given_up: 0 };
            let incoming = take_in(&sku, &mut figures, arrival, &lines);
            for fill in &incoming.fills {
                filled.push((fill.line_id, fill.units));
                if let Some(line) = lines.iter_mut().find(|line| line.line_id == fill.line_id) {
                    line.waiting -= fill.units;
                }
            }
            lines.retain(|line| line.waiting > 0);
            assert!(figures.on_hand == 0 || figures.backordered == 0);
        }
        assert_eq!(filled, [(1, 3), (2, 1), (2, 2), (3, 2), (3, 1), (4, 3), (5, 3)]);
        assert_eq!((figures.on_hand, figures.backordered), (7, 0));
    }

    #[test]
    fn units_that_a_slice_does_not_fill_stay_on_order() {
        let sku: Sku = "CP-1".parse().expect("sku");
        let mut figures = Figures { backordered: 15, ..Figures::default() };
        let lines: Vec<WaitingLine> = (1..=5).map(|id| line(id, 3)).collect();
        let arrival = |units| Arrival { cause: Cause::Receipt, units, given_up: 0 };
        let first = take_in(&sku, &mut figures, arrival(20), &lines[..2]);
        assert_eq!((first.left, figures), (14, Figures { on_hand: 0, backordered: 9, on_order: 14 }));
        assert_eq!(first.movements[0].delta, 6, "the ledger has what was handed out");
        figures.on_order -= first.left;
        let last = take_in(&sku, &mut figures, arrival(first.left), &lines[2..]);
        assert_eq!((last.left, figures), (0, Figures { on_hand: 5, backordered: 0, on_order: 0 }));
    }
}
