//! The commands. Each one begins a transaction, loads, decides, saves together with the outbox, and commits.

pub mod adjust_stock;
pub mod apply_outcome;
pub mod ask_again;
pub mod cancel_order;
pub mod change_replenishment;
pub mod hand_out;
pub mod look_up;
pub mod note_factory;
pub mod prune;
pub mod put_product;
pub mod receive_goods;
pub mod snooze_stock;
mod stock_change;
pub mod sweep_stock;
pub mod take_orders;
pub mod timeline;
mod write;

use std::sync::Arc;

use jaego_pg::Pool;
use jaego_postbox::outbox::Outbox;
use jaego_service::Refused;
pub use jaego_service::operation::{Answered, Asked};
use tokio::sync::Notify;

use crate::domain::product_state::Limits;
use crate::domain::replenishment::RefusalPause;

/// Dependencies of every command.
#[derive(Clone)]
pub struct Context {
    pub pool: Pool,
    /// Woken after each commit that wrote events.
    pub outbox: Outbox,
    pub limits: Limits,
    /// Pauses of automatic orders after refusals.
    pub refusal_pause: RefusalPause,
    /// Notified when units are left to be handed out.
    pub hand_out: Arc<Notify>,
}
