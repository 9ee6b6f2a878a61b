//! Units that come in: receipts, returns, corrections. Waiting orders take them first, the oldest
//! before the younger; what is left goes on hand. While more lines wait than are filled at once, the rest of the
//! units stays on order until its turn.

use jaego_contracts::ids::{OrderId, Sku};

use super::stock::{Cause, Figures, Movement};

/// A line of a backordered order that still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingLine {
    /// Its order.
    pub order_id: OrderId,
    /// Its place in the store.
    pub line_id: i64,
    /// Units that it waits for.
    pub waiting: i64,
}

/// Units that a waiting line gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Its order.
    pub order_id: OrderId,
    /// Its place in the store.
    pub line_id: i64,
    /// How many it gets.
    pub units: i64,
}

/// What a ledger entry of incoming goods belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The receipt or adjustment itself.
    Incoming,
    /// An order that took its units.
    Order(OrderId),
}

/// What incoming units change, beside the figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Who gets how many.
    pub fills: Vec<Fill>,
    /// Ledger entries, in order.
    pub movements: Vec<Movement<Source>>,
    /// Units that are still to be handed out: more lines wait than were looked at. They count as on order.
    pub left: i64,
}

/// Units that come in (or, with a negative count, go out) for another reason than a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Why.
    pub cause: Cause,
    /// How many; at least as many are on hand when it is negative.
    pub units: i64,
    /// Units that nobody waits for any more: a cancelled order's own part.
    pub given_up: i64,
}

/// Not so many are on hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOnHand;

impl Arrival {
    /// An operator's change of on hand, which may not fall below zero.
    pub fn of_adjustment(figures: &Figures, cause: Cause, delta: i64) -> Result<Self, NotOnHand> {
        if figures.on_hand + delta < 0 {
            return Err(NotOnHand);
        }
        Ok(Self { cause, units: delta, given_up: 0 })
    }
}

/// Puts the units in stock, then lets `waiting` lines (oldest first; of many only the first) take theirs.
pub fn take_in(sku: &Sku, figures: &mut Figures, arrival: Arrival, waiting: &[WaitingLine]) -> Incoming {
    figures.backordered -= arrival.given_up;
    let mut incoming = Incoming::default();
    let takes: i64 = waiting.iter().map(|line| line.waiting).sum();
    // On hand and backordered are never both above zero, so what these lines do not take waits for the next ones.
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
    fn what_a_slice_of_the_queue_does_not_take_stays_on_order() {
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
