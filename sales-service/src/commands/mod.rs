//! What the service does: begin, load, decide, save with the outbox, commit.

pub mod adjust_stock;
pub mod apply_outcome;
pub mod cancel_order;
pub mod change_replenishment;
pub mod look_up;
pub mod note_factory;
pub mod prune;
pub mod put_product;
pub mod receive_goods;
pub mod receive_goods_together;
pub mod snooze_stock;
pub mod sweep_stock;
pub mod take_orders;
pub mod timeline;
mod write;

use shared::db::{Pool, Refused};
pub use shared::operation::{Answered, Asked};
use shared::outbox::Outbox;

use crate::settings::Replenishment;

/// What every command needs.
#[derive(Clone)]
pub struct Context {
    /// The service's database.
    pub pool: Pool,
    /// Rung after each commit that wrote events.
    pub outbox: Outbox,
    /// Pauses after refusals.
    pub replenishment: Replenishment,
}
