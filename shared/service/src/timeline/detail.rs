//! The details of a step.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Details of a step, with the values of the services' own answers. Members that do not apply are absent.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(example = json!({"number": 1, "factory_id": "FF-500293", "outcome": "accepted", "http_status": 201}))]
pub struct TimelineDetail {
    /// Current status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Outcome: `accepted`, `retry`, `refused` or `unknown` of a call; `processed`, ... of a redrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Reason, as a keyword or as a text of whoever decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Explanation of the decision, with its figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// The operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Action of the operator, as named in the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The factory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factory_id: Option<String>,
    /// The factory's own id of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factory_job_id: Option<String>,
    /// The factory that refused the request, or from which it was withdrawn, before it was handed to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_from: Option<String>,
    /// The factory's id of the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// The product that a delivery named, if not the requested one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_sku: Option<String>,
    /// An order's lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<TimelineLine>>,
    /// The replenishments that an order caused or waits for.
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
    /// Cause of a change of the stock on hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Stock on hand before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Stock on hand after the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// The inventory position at the time of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_before: Option<i64>,
    /// Units on order at the time of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_order_before: Option<i64>,
    /// Units received so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
    /// Number of the call, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    /// HTTP status of the factory's response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<i32>,
    /// Reason why there was no response, or why a message became a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// First 2 KiB of the response, with callback URLs shown as `<callback:jti>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Attempts to handle a message that became a dead letter, redrives included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// A dead letter's queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A dead letter's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Reason why the next call is held back: `factory_disabled` or `breaker_open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Time at which sales-service requested it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<DateTime<Utc>>,
    /// Time at which restock-service booked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<DateTime<Utc>>,
    /// Time at which a message first became a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<DateTime<Utc>>,
}

/// A line of an order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineLine {
    /// The product.
    #[schema(example = "CP-502101")]
    pub sku: String,
    /// Units ordered.
    #[schema(example = 3)]
    pub quantity: i64,
    /// Units taken from stock when it was ordered.
    #[schema(example = 1)]
    pub filled: i64,
}
