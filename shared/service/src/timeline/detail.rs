//! What is particular to a step.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Facts about a step, in the words of the services' own answers. A member that does not apply is left out.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(example = json!({"number": 1, "factory_id": "FF-500293", "outcome": "accepted", "http_status": 201}))]
pub struct TimelineDetail {
    /// Where the thing stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What came of it: a call's `accepted`, `retry`, `refused`, `unknown`; a redrive's `processed`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, in a word or in the words of whoever decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, with the figures that it was decided on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// The operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What the operator asked for, as the audit log names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Which factory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factory_id: Option<String>,
    /// The factory's own id for the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factory_job_id: Option<String>,
    /// The factory that refused, or from which the request was withdrawn, before this one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_from: Option<String>,
    /// The factory's name for the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// The product that a delivery named, when it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_sku: Option<String>,
    /// An order's lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<TimelineLine>>,
    /// The replenishments that an order caused, or waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_ids: Option<Vec<Uuid>>,
    /// The orders that were decided together with a replenishment and wanted it; at most 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_ids: Option<Vec<Uuid>>,
    /// The production request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// The goods receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_id: Option<Uuid>,
    /// Why on hand changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// On hand before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// On hand after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// The inventory position that was decided on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_before: Option<i64>,
    /// What was on order then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_order_before: Option<i64>,
    /// Units that came so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
    /// Which call, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    /// Status of the factory's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<i32>,
    /// Why there was no answer, or what a message died of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The answer's first 2 KiB, callback URLs as `<callback:jti>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Tries of a message that died, redrives included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// A dead letter's queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A dead letter's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What is in the way of the next call: `factory_disabled` or `breaker_open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When sales-service asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<DateTime<Utc>>,
    /// When restock-service booked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<DateTime<Utc>>,
    /// When a message first died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<DateTime<Utc>>,
}

/// A line of an order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineLine {
    /// What.
    #[schema(example = "CP-502101")]
    pub sku: String,
    /// Ordered.
    #[schema(example = 3)]
    pub quantity: i64,
    /// Taken from stock when it was ordered.
    #[schema(example = 1)]
    pub filled: i64,
}
