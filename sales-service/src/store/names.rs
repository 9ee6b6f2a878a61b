//! How the domain's enumerations are written in the database and in JSON: the same words.

use crate::domain::intake::OrderStatus;
use crate::domain::policy::{Mode, Shortage};

/// The word for a mode.
pub fn of_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Manual => "manual",
        Mode::Off => "off",
    }
}

/// The mode of a word.
pub fn mode(word: &str) -> Option<Mode> {
    [Mode::Auto, Mode::Manual, Mode::Off].into_iter().find(|mode| of_mode(*mode) == word)
}

/// The word for what becomes of an order that stock cannot fill.
pub fn of_shortage(shortage: Shortage) -> &'static str {
    match shortage {
        Shortage::Reject => "reject",
        Shortage::Backorder => "backorder",
    }
}

/// What a word says should become of an order that stock cannot fill.
pub fn shortage(word: &str) -> Option<Shortage> {
    [Shortage::Reject, Shortage::Backorder].into_iter().find(|shortage| of_shortage(*shortage) == word)
}

/// The word for an order's status.
pub fn of_order_status(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Confirmed => "confirmed",
        OrderStatus::Backordered => "backordered",
        OrderStatus::Rejected => "rejected",
    }
}
