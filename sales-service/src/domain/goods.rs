//! Units that come in: receipts, returns, corrections. Waiting orders take them first, the oldest
//! before the younger; what is left goes on hand.

use shared::ids::{OrderId, Sku};

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
}

/// Puts `units` in stock, then lets waiting lines (oldest first) take theirs.
pub fn take_in(sku: &Sku, figures: &mut Figures, cause: Cause, units: i64, waiting: &[WaitingLine]) -> Incoming {
    let mut incoming = Incoming::default();
    let mut enter = |figures: &mut Figures, cause, delta, reference| {
        incoming.movements.push(Movement { sku: sku.clone(), cause, delta, before: figures.on_hand, reference });
        figures.on_hand += delta;
    };
    enter(figures, cause, units, Source::Incoming);
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

/// What a receipt leaves open of its replenishment, and what it takes off on order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Units to take off on order.
    pub off_order: i64,
    /// Whether all units have come.
    pub is_complete: bool,
}

/// Books `units` against a replenishment of `quantity` of which `received` came before;
/// `is_open` when its open quantity still counts as on order.
pub fn settle(quantity: i64, received: i64, units: i64, is_open: bool) -> Settlement {
    let open = (quantity - received).max(0);
    Settlement { off_order: if is_open { units.min(open) } else { 0 }, is_complete: received + units >= quantity }
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
            let incoming = take_in(&sku, &mut figures, Cause::Receipt, units, &lines);
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
    fn on_order_gives_up_no_more_than_is_open() {
        assert_eq!(settle(100, 0, 60, true), Settlement { off_order: 60, is_complete: false });
        assert_eq!(settle(100, 60, 60, true), Settlement { off_order: 40, is_complete: true });
        assert_eq!(settle(100, 100, 5, false), Settlement { off_order: 0, is_complete: true });
    }
}
