//! The kinds of steps: one list for the whole chain, so that every client can name each of them.

use serde::Serialize;
use utoipa::ToSchema;

/// Kind of a step; the part before the dot names the thing that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum TimelineKind {
    /// Accepted: all units were in stock.
    #[serde(rename = "order.confirmed")]
    OrderConfirmed,
    /// Accepted: some units had to wait for stock.
    #[serde(rename = "order.backordered")]
    OrderBackordered,
    /// Refused: stock could not fill it.
    #[serde(rename = "order.rejected")]
    OrderRejected,
    /// The last unit that it waited for was taken from stock.
    #[serde(rename = "order.fulfilled")]
    OrderFulfilled,
    /// An operator cancelled it.
    #[serde(rename = "order.cancelled")]
    OrderCancelled,
    /// A ledger entry: `cause`, signed `quantity`, `before` and `after`.
    #[serde(rename = "stock.moved")]
    StockMoved,
    /// The policy would order, and waits for an operator's approval.
    #[serde(rename = "replenishment.proposed")]
    ReplenishmentProposed,
    /// Requested: by the policy, by hand, or because a proposal was approved.
    #[serde(rename = "replenishment.ordered")]
    ReplenishmentOrdered,
    /// sales-service learned that a factory has accepted it.
    #[serde(rename = "replenishment.accepted")]
    ReplenishmentAccepted,
    /// sales-service learned that its production request is a dead letter.
    #[serde(rename = "replenishment.stalled")]
    ReplenishmentStalled,
    /// All units were received.
    #[serde(rename = "replenishment.complete")]
    ReplenishmentComplete,
    /// An operator closed it before all units were received.
    #[serde(rename = "replenishment.closed_short")]
    ReplenishmentClosedShort,
    /// sales-service learned that no factory makes it.
    #[serde(rename = "replenishment.refused")]
    ReplenishmentRefused,
    /// sales-service learned that its production was cancelled.
    #[serde(rename = "replenishment.cancelled")]
    ReplenishmentCancelled,
    /// production-service received the request.
    #[serde(rename = "production.requested")]
    ProductionRequested,
    /// A call to the factory; without `duration_ms`, it is in progress or its end was never recorded.
    #[serde(rename = "production.attempted")]
    ProductionAttempted,
    /// The factory accepted it.
    #[serde(rename = "production.accepted")]
    ProductionAccepted,
    /// The whole retry schedule failed.
    #[serde(rename = "production.dead_lettered")]
    ProductionDeadLettered,
    /// No factory makes it.
    #[serde(rename = "production.refused")]
    ProductionRefused,
    /// It was cancelled.
    #[serde(rename = "production.cancelled")]
    ProductionCancelled,
    /// Accepted, and not received in full in time.
    #[serde(rename = "production.overdue")]
    ProductionOverdue,
    /// Goods were received for it; `received` is their total.
    #[serde(rename = "production.received")]
    ProductionReceived,
    /// restock-service received the request: goods may arrive.
    #[serde(rename = "restock.expected")]
    RestockExpected,
    /// restock-service learned that it was cancelled: goods that still arrive are kept for an operator.
    #[serde(rename = "restock.called_off")]
    RestockCalledOff,
    /// Goods were booked, by a callback, by hand (`actor`), or from the quarantine.
    #[serde(rename = "receipt.booked")]
    ReceiptBooked,
    /// sales-service added a receipt's units to stock.
    #[serde(rename = "receipt.applied")]
    ReceiptApplied,
    /// A delivery, or a part of it, was kept for an operator.
    #[serde(rename = "quarantine.kept")]
    QuarantineKept,
    /// An operator accepted it, and it was booked.
    #[serde(rename = "quarantine.accepted")]
    QuarantineAccepted,
    /// An operator discarded it; nothing was booked.
    #[serde(rename = "quarantine.discarded")]
    QuarantineDiscarded,
    /// A message became a dead letter, and needs an operator.
    #[serde(rename = "dead_letter.kept")]
    DeadLetterKept,
    /// An operator sent it back to its queue; `outcome` is the result.
    #[serde(rename = "dead_letter.redriven")]
    DeadLetterRedriven,
    /// It needs no operator any more: `status` says whether it was processed or discarded.
    #[serde(rename = "dead_letter.settled")]
    DeadLetterSettled,
    /// An operator requested `action`.
    #[serde(rename = "operator.acted")]
    OperatorActed,
}
