//! The kinds of steps: one list for the whole chain, so that whoever shows it can name each.

use serde::Serialize;
use utoipa::ToSchema;

/// What happened; the part before the dot says to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum TimelineKind {
    /// Taken: all units were there.
    #[serde(rename = "order.confirmed")]
    OrderConfirmed,
    /// Taken: some units had to wait for stock.
    #[serde(rename = "order.backordered")]
    OrderBackordered,
    /// Refused: stock could not fill it.
    #[serde(rename = "order.rejected")]
    OrderRejected,
    /// The last unit that it waited for was there.
    #[serde(rename = "order.fulfilled")]
    OrderFulfilled,
    /// An operator cancelled it.
    #[serde(rename = "order.cancelled")]
    OrderCancelled,
    /// A ledger entry: `cause`, signed `quantity`, `before` and `after`.
    #[serde(rename = "stock.moved")]
    StockMoved,
    /// The policy would order, and waits for an operator's yes.
    #[serde(rename = "replenishment.proposed")]
    ReplenishmentProposed,
    /// Asked for: by the policy, by hand, or because a proposal was approved.
    #[serde(rename = "replenishment.ordered")]
    ReplenishmentOrdered,
    /// sales-service was told that a factory makes it.
    #[serde(rename = "replenishment.accepted")]
    ReplenishmentAccepted,
    /// sales-service was told that its production request is a dead letter.
    #[serde(rename = "replenishment.stalled")]
    ReplenishmentStalled,
    /// All units came.
    #[serde(rename = "replenishment.complete")]
    ReplenishmentComplete,
    /// An operator ended it before all units came.
    #[serde(rename = "replenishment.closed_short")]
    ReplenishmentClosedShort,
    /// sales-service was told that no factory makes it.
    #[serde(rename = "replenishment.refused")]
    ReplenishmentRefused,
    /// sales-service was told that its production was called off.
    #[serde(rename = "replenishment.cancelled")]
    ReplenishmentCancelled,
    /// production-service knows of it.
    #[serde(rename = "production.requested")]
    ProductionRequested,
    /// A call to the factory; without `duration_ms` it is under way, or its end was never known.
    #[serde(rename = "production.attempted")]
    ProductionAttempted,
    /// The factory took it.
    #[serde(rename = "production.accepted")]
    ProductionAccepted,
    /// The whole retry schedule failed.
    #[serde(rename = "production.dead_lettered")]
    ProductionDeadLettered,
    /// No factory makes it.
    #[serde(rename = "production.refused")]
    ProductionRefused,
    /// It was called off.
    #[serde(rename = "production.cancelled")]
    ProductionCancelled,
    /// Accepted, and not received in full in time.
    #[serde(rename = "production.overdue")]
    ProductionOverdue,
    /// Goods came for it; `received` counts them up.
    #[serde(rename = "production.received")]
    ProductionReceived,
    /// restock-service knows of the request: goods may come.
    #[serde(rename = "restock.expected")]
    RestockExpected,
    /// restock-service knows that it was called off: goods that come all the same are kept for an operator.
    #[serde(rename = "restock.called_off")]
    RestockCalledOff,
    /// Goods arrived, by a callback, by hand (`actor`), or out of the quarantine.
    #[serde(rename = "receipt.booked")]
    ReceiptBooked,
    /// sales-service put a receipt's units in stock.
    #[serde(rename = "receipt.applied")]
    ReceiptApplied,
    /// A delivery, or a part of it, was kept for an operator.
    #[serde(rename = "quarantine.kept")]
    QuarantineKept,
    /// An operator booked it.
    #[serde(rename = "quarantine.accepted")]
    QuarantineAccepted,
    /// An operator booked nothing for it.
    #[serde(rename = "quarantine.discarded")]
    QuarantineDiscarded,
    /// A message needs a person.
    #[serde(rename = "dead_letter.kept")]
    DeadLetterKept,
    /// An operator sent it back to its queue; `outcome` says what came of that.
    #[serde(rename = "dead_letter.redriven")]
    DeadLetterRedriven,
    /// It needs nobody any more: `status` says whether it was processed or discarded.
    #[serde(rename = "dead_letter.settled")]
    DeadLetterSettled,
    /// An operator asked for `action`.
    #[serde(rename = "operator.acted")]
    OperatorActed,
}
