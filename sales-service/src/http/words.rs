//! Strings with a fixed set of values.

jaego_web::words! {
    /// Status of an order.
    OrderStatus: "confirmed", "backordered", "rejected", "cancelled";
    /// Availability of a product in the shop.
    ProductStatus: "in_stock", "low", "backorder", "sold_out";
    /// Cause of a change of the stock on hand.
    MovementCause: "sale", "receipt", "backorder_fill", "cancellation", "cycle_count", "damage", "return", "correction";
    /// Status of a replenishment.
    ReplenishmentStatus: "proposed", "open", "stalled", "complete", "closed_short", "refused", "cancelled";
    /// Reason for a replenishment.
    ReplenishmentReason: "reorder_point", "shortage", "manual";
    /// Action that the policy would take.
    DecisionAnswer: "order", "propose", "none";
}
