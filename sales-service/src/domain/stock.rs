//! A product's figures, and the ledger entries that explain every change of them.

use jaego_contracts::ids::Sku;

/// The figures of one product, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// In the warehouse; never below zero.
    pub on_hand: i64,
    /// Sold, waiting for stock; never above zero while something is on hand.
    pub backordered: i64,
    /// Requested from a factory, not yet received.
    pub on_order: i64,
}

impl Figures {
    /// On hand + on order - backordered.
    pub fn position(&self) -> i64 {
        self.on_hand + self.on_order - self.backordered
    }

    /// Takes `open` units off on order, never below zero.
    pub fn release_on_order(&mut self, open: i64) {
        self.on_order = (self.on_order - open).max(0);
    }
}

/// Why stock changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Taken by an order.
    Sale,
    /// Given back by a cancelled order.
    Cancellation,
    /// Goods arrived.
    Receipt,
    /// Taken by an order that had waited for it.
    BackorderFill,
    /// Counted differently.
    CycleCount,
    /// Broken or lost.
    Damage,
    /// Brought back by a customer.
    Return,
    /// An earlier entry was wrong.
    Correction,
}

impl Cause {
    /// All causes.
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

    /// The one of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Its name in the ledger.
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
    /// Which product.
    pub sku: Sku,
    /// Why.
    pub cause: Cause,
    /// Units, signed.
    pub delta: i64,
    /// On hand before.
    pub before: i64,
    /// What it belongs to: an order, a receipt.
    pub reference: R,
}

impl<R> Movement<R> {
    /// On hand after.
    pub fn after(&self) -> i64 {
        self.before + self.delta
    }
}
