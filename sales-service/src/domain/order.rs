//! What can become of an order.

/// What an order wants done when stock is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnShortage {
    /// Nothing of it is sold.
    Reject,
    /// What is missing waits for stock.
    Backorder,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// All units were taken from stock.
    Confirmed,
    /// Sold; some units wait.
    Backordered,
    /// Refused: no stock was taken.
    Rejected,
    /// Sold, then taken back.
    Cancelled,
}

/// Only what was sold can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSold;

impl OrderStatus {
    /// All of them.
    pub const ALL: [OrderStatus; 4] =
        [OrderStatus::Confirmed, OrderStatus::Backordered, OrderStatus::Rejected, OrderStatus::Cancelled];

    /// Its name, in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            OrderStatus::Confirmed => "confirmed",
            OrderStatus::Backordered => "backordered",
            OrderStatus::Rejected => "rejected",
            OrderStatus::Cancelled => "cancelled",
        }
    }

    /// The one of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether a cancellation has anything to give back: not a second time.
    pub fn cancel(self) -> Result<bool, NotSold> {
        match self {
            OrderStatus::Confirmed | OrderStatus::Backordered => Ok(true),
            OrderStatus::Cancelled => Ok(false),
            OrderStatus::Rejected => Err(NotSold),
        }
    }

    /// What a sold order becomes when its lines wait for `waiting` units in all.
    pub fn of_sold(waiting: i64) -> Self {
        if waiting > 0 { OrderStatus::Backordered } else { OrderStatus::Confirmed }
    }
}
