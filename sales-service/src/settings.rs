//! Settings; `config/default.toml` explains each key.

use jaego_pg::settings::Database;
use jaego_service::settings::Common;
use serde::Deserialize;

use crate::domain::product_state::Limits;
use crate::domain::replenishment::RefusalPause;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Sections that every service has.
    #[serde(flatten)]
    pub common: Common,
    pub intake: Intake,
    pub shop: Shop,
    pub replenishment: Replenishment,
    pub retention: Retention,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Retention {
    /// Retention of refused orders, days; 0 keeps them forever.
    pub refused_orders_days: u32,
    /// Retention of answers stored under an Idempotency-Key, days; at least 30.
    pub kept_answers_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Intake {
    /// Maximum queued orders; any more are answered 503.
    pub queue_max: usize,
    /// Maximum orders in one transaction.
    pub batch_max: usize,
    /// Longest wait for an answer, milliseconds; then 503.
    pub wait_max_ms: u64,
    /// Longest wait for a product's row lock, milliseconds; then its orders are queued separately.
    pub lock_wait_ms: u64,
    /// Maximum queued orders of one locked product; any more are answered 503.
    pub lane_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Shop {
    /// ISO 4217 code of all prices.
    pub currency: String,
    /// Maximum units of a product in one shopper's order, unless the product has its own limit.
    pub max_per_order: i64,
    /// Highest limit that a product may have.
    pub max_per_order_ceiling: i64,
    /// Maximum units of a product that may wait, unless its policy has its own limit.
    pub max_backordered: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Replenishment {
    /// Pause of automatic orders after a refusal, seconds; doubled with each consecutive refusal.
    pub refusal_pause_s: i64,
    /// Longest such pause, seconds.
    pub refusal_pause_max_s: i64,
    /// Interval at which the policy of every product is evaluated, seconds.
    pub sweep_every_s: u64,
    /// Time without news after which a replenishment is requested again, seconds.
    pub ask_again_s: u64,
    /// Maximum open automatic requests per product.
    pub open_max: usize,
    /// Maximum units on order per product without an operator's approval.
    pub auto_units_max: i64,
}

impl Replenishment {
    pub fn refusal_pause(&self) -> RefusalPause {
        RefusalPause { base_s: self.refusal_pause_s, max_s: self.refusal_pause_max_s }
    }
}

impl Settings {
    pub fn limits(&self) -> Limits {
        Limits {
            open_max: self.replenishment.open_max,
            auto_units_max: self.replenishment.auto_units_max,
            max_backordered: self.shop.max_backordered,
            max_per_order: self.shop.max_per_order,
        }
    }

    /// Database settings of the intake, where no lock or statement waits longer than an order may.
    pub fn intake_database(&self, connections: usize) -> Database {
        Database {
            pool_size: connections,
            lock_timeout_ms: self.intake.lock_wait_ms,
            statement_timeout_ms: self.intake.wait_max_ms,
            ..self.common.database.clone()
        }
    }
}

impl jaego_settings::Settings for Settings {
    type Common = Common;

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        require((1..=1_000_000).contains(&self.intake.queue_max), "intake.queue_max: must be 1 to 1000000");
        require((1..=10_000).contains(&self.intake.batch_max), "intake.batch_max: must be 1 to 10000");
        require((1..=600_000).contains(&self.intake.wait_max_ms), "intake.wait_max_ms: must be 1 to 600000");
        require((1..=60_000).contains(&self.intake.lock_wait_ms), "intake.lock_wait_ms: must be 1 to 60000");
        require(
            self.intake.lock_wait_ms <= self.intake.wait_max_ms,
            "intake.lock_wait_ms: must not be above intake.wait_max_ms",
        );
        require((1..=1_000_000).contains(&self.intake.lane_max), "intake.lane_max: must be 1 to 1000000");
        require((1..=1000).contains(&self.replenishment.open_max), "replenishment.open_max: must be 1 to 1000");
        require(
            (0..=1_000_000_000).contains(&self.replenishment.auto_units_max),
            "replenishment.auto_units_max: must be 0 to 1000000000",
        );
        let currency = &self.shop.currency;
        let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
        let ceiling = self.shop.max_per_order_ceiling;
        require((1..=1_000_000).contains(&ceiling), "shop.max_per_order_ceiling: must be 1 to 1000000");
        require(
            (1..=ceiling).contains(&self.shop.max_per_order),
            "shop.max_per_order: must be 1 to shop.max_per_order_ceiling",
        );
        require((0..=1_000_000).contains(&self.shop.max_backordered), "shop.max_backordered: must be 0 to 1000000");
        require(is_code, "shop.currency: must be three capital letters (ISO 4217)");
        require(
            (1..=86_400).contains(&self.replenishment.ask_again_s),
            "replenishment.ask_again_s: must be 1 to 86400",
        );
        require(self.retention.refused_orders_days <= 36_500, "retention.refused_orders_days: must be 0 to 36500");
        require(
            (30..=36_500).contains(&self.retention.kept_answers_days),
            "retention.kept_answers_days: must be 30 to 36500",
        );
        require(self.replenishment.refusal_pause_s >= 0, "replenishment.refusal_pause_s: must be 0 or more");
        require(
            (1..=86_400).contains(&self.replenishment.sweep_every_s),
            "replenishment.sweep_every_s: must be 1 to 86400",
        );
        require(
            self.replenishment.refusal_pause_max_s <= 31_536_000,
            "replenishment.refusal_pause_max_s: must be at most 31536000 (a year)",
        );
        require(
            self.replenishment.refusal_pause_max_s >= self.replenishment.refusal_pause_s,
            "replenishment.refusal_pause_max_s: must not be below refusal_pause_s",
        );
    }
}
