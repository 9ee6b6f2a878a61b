//! A product's figures, and the ledger entries that explain every change of them.

use jaego_contracts::ids::Sku;

/// The figures of one product, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Units in the warehouse; never below zero.
    pub on_hand: i64,
    /// Units sold and waiting for stock; zero while anything is on hand.
    pub backordered: i64,
    /// Units ordered from a factory and not yet received.
    pub on_order: i64,
}

impl Figures {
    /// Inventory position: on hand + on order - backordered.
    pub fn position(&self) -> i64 {
        self.on_hand + self.on_order - self.backordered
    }

    /// Reduces `on_order` by `open`, never below zero.
    pub fn release_on_order(&mut self, open: i64) {
        self.on_order = (self.on_order - open).max(0);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Units sold from stock.
    Sale,
    /// Units given back by a cancelled order.
    Cancellation,
    /// Goods from a factory.
    Receipt,
    /// Units handed to an order that was waiting for them.
    BackorderFill,
    /// A count differed from the ledger.
    CycleCount,
    /// Units broken or lost.
    Damage,
    /// Units returned by a customer.
    Return,
    /// Correction of an earlier entry.
    Correction,
}

impl Cause {
    pub const ALL: [Cause; 8] = [
        Cause::Sale,
        Cause::Cancellation,
        Cause::Receipt,
        Cause::BackorderFill,
        Cause::CycleCount,
        Cause::Damage,
        Cause::Return,
        Cause::Correction,
    ];

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Sale => "sale",
            Cause::Cancellation => "cancellation",
            Cause::Receipt => "receipt",
            Cause::BackorderFill => "backorder_fill",
            Cause::CycleCount => "cycle_count",
            Cause::Damage => "damage",
            Cause::Return => "return",
            Cause::Correction => "correction",
        }
    }
}

/// One ledger entry: on hand went from `before` to `before + delta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement<R> {
    pub sku: Sku,
    pub cause: Cause,
    /// Signed units.
    pub delta: i64,
    /// On hand before the entry.
    pub before: i64,
    /// The order, receipt or adjustment that the entry belongs to.
    pub reference: R,
}

impl<R> Movement<R> {
    /// On hand after the entry.
    pub fn after(&self) -> i64 {
        self.before + self.delta
    }
}
