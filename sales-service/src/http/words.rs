//! Texts that are one of a few words.

jaego_web::words! {
    /// Where an order stands.
    OrderStatus: "confirmed", "backordered", "rejected", "cancelled";
    /// How a shopper finds a product.
    ProductStatus: "in_stock", "low", "backorder", "sold_out";
    /// Why on hand changed.
    MovementCause: "sale", "receipt", "backorder_fill", "cancellation", "cycle_count", "damage", "return", "correction";
    /// Where a replenishment stands.
    ReplenishmentStatus: "proposed", "open", "stalled", "complete", "closed_short", "refused", "cancelled";
    /// What set a replenishment off.
    ReplenishmentReason: "reorder_point", "shortage", "manual";
    /// What the policy would do.
    DecisionAnswer: "order", "propose", "none";
}
