//! Order status and its transitions.

/// An order's choice for the case that stock is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnShortage {
    /// Refuse the whole order.
    Reject,
    /// Let the missing units wait for stock.
    Backorder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// All units were taken from stock.
    Confirmed,
    /// Sold; some units are waiting for stock.
    Backordered,
    /// Refused: no stock was taken.
    Rejected,
    /// Sold, then taken back.
    Cancelled,
}

/// Only a sold order can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSold;

impl OrderStatus {
    pub const ALL: [OrderStatus; 4] =
        [OrderStatus::Confirmed, OrderStatus::Backordered, OrderStatus::Rejected, OrderStatus::Cancelled];

    /// Name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            OrderStatus::Confirmed => "confirmed",
            OrderStatus::Backordered => "backordered",
            OrderStatus::Rejected => "rejected",
            OrderStatus::Cancelled => "cancelled",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Returns whether a cancellation has anything to give back; it has not the second time.
    pub fn cancel(self) -> Result<bool, NotSold> {
        match self {
            OrderStatus::Confirmed | OrderStatus::Backordered => Ok(true),
            OrderStatus::Cancelled => Ok(false),
            OrderStatus::Rejected => Err(NotSold),
        }
    }

    /// Status of a sold order whose lines wait for `waiting` units in total.
    pub fn of_sold(waiting: i64) -> Self {
        if waiting > 0 { OrderStatus::Backordered } else { OrderStatus::Confirmed }
    }
}
