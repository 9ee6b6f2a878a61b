//! Decides what the factory does with one request, from the request and the faults, without a clock or a
//! socket.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::faults::{DropConnection, Faults, at_origin};

/// Number of stages of a job.
pub const STAGES: u8 = 4;

const PRODUCT_ID: &str = "MessageAttributeProductId";
const COUNT: &str = "MessageAttributeProductCnt";
const OTHER_COUNT: &str = "OrderStockCnt";
const REQUESTER: &str = "MessageAttributeRequester";
const CALLBACK_URL: &str = "CallbackUrl";
const DELIVERY_ID: &str = "DeliveryId";

/// Everything that follows from one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Delay before the response.
    pub delay_ms: u64,
    pub answer: Answer,
    /// `None` when nothing is made.
    pub job: Option<Job>,
}

/// The response to the requester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A status with a JSON body.
    Status {
        status: u16,
        /// Value of the `Retry-After` header.
        retry_after: Option<String>,
        body: String,
    },
    /// The connection is cut.
    Nothing,
}

/// Goods to be made, and the callbacks that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The factory's own id of the job.
    pub id: Uuid,
    /// Duration of each stage.
    pub stage_ms: u64,
    /// URL that all callbacks are sent to.
    pub callback_url: String,
    /// Sent after the last stage, in this order.
    pub callbacks: Vec<PlannedCallback>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCallback {
    /// Pause after the callback before it (the first: after the last stage).
    pub pause_ms: u64,
    #[serde(with = "text")]
    pub body: Vec<u8>,
}

/// Stores bodies as text: they were read or written as JSON, so they are UTF-8.
mod text {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        std::str::from_utf8(body).map_err(S::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}

/// `new_id` returns the ids of the job and of its deliveries.
pub fn plan(faults: &Faults, stage_ms_default: u64, body: &[u8], mut new_id: impl FnMut() -> Uuid) -> Plan {
    let stage_ms = faults.stage_ms.unwrap_or(stage_ms_default);
    let without_job = |answer| Plan { delay_ms: faults.delay_ms, answer, job: None };
    if faults.drop_connection == Some(DropConnection::BeforeAccepting) {
        return without_job(Answer::Nothing);
    }
    if let Some(status) = faults.refuse_status {
        let body = json!({ "message": "the factory refuses, as configured" }).to_string();
        return without_job(Answer::Status { status, retry_after: faults.retry_after.clone(), body });
    }
    let order = match read_order(body) {
        Ok(order) => order,
        Err(sentence) => {
            let body = json!({ "message": sentence }).to_string();
            return without_job(Answer::Status { status: 400, retry_after: None, body });
        }
    };

    let id = new_id();
    let answer = match faults.drop_connection {
        Some(_) => Answer::Nothing,
        None => Answer::Status { status: 201, retry_after: None, body: acceptance(id, &order, body) },
    };
    let callbacks = if faults.never_call_back { Vec::new() } else { callbacks(faults, &order, body, stage_ms, new_id) };
    let callback_url = at_origin(order.callback_url, faults.callback_via.as_deref());
    let job = Job { id, stage_ms, callback_url, callbacks };
    Plan { delay_ms: faults.delay_ms, answer, job: Some(job) }
}

struct Order {
    fields: Map<String, Value>,
    count: Option<u64>,
    callback_url: String,
}

fn read_order(body: &[u8]) -> Result<Order, String> {
    let fields: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON object: {error}"))?;
    for name in [PRODUCT_ID, COUNT, CALLBACK_URL] {
        if matches!(fields.get(name), None | Some(Value::Null)) {
            return Err(format!("{name} is missing"));
        }
    }
    let callback_url = match fields.get(CALLBACK_URL) {
        Some(Value::String(url)) if !url.is_empty() => url.clone(),
        _ => return Err(format!("{CALLBACK_URL} must be a URL")),
    };
    let count = match fields.get(COUNT) {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    Ok(Order { fields, count, callback_url })
}

/// The misspelling `reqestor` is the factory's. The request is echoed byte for byte.
fn acceptance(id: Uuid, order: &Order, body: &[u8]) -> String {
    let requester = order.fields.get(REQUESTER).unwrap_or(&Value::Null);
    format!(r#"{{"data":{{"id":"{id}","reqestor":{requester},"data":{}}}}}"#, String::from_utf8_lossy(body))
}

fn callbacks(
    faults: &Faults,
    order: &Order,
    body: &[u8],
    stage_ms: u64,
    mut new_id: impl FnMut() -> Uuid,
) -> Vec<PlannedCallback> {
    let total = order.count.map(|count| count.saturating_add(faults.deliver_extra));
    let counts: Vec<Option<u64>> = match (faults.split, total) {
        (Some(split), Some(total)) => share(total, split.parts).into_iter().map(Some).collect(),
        _ => vec![total],
    };
    let delivery_ids = faults.with_delivery_id || faults.split.is_some_and(|split| split.delivery_ids);

    let mut planned = Vec::new();
    for (index, count) in counts.into_iter().enumerate() {
        let delivery_id = delivery_ids.then(&mut new_id);
        let body = if echoes(faults) { body.to_vec() } else { changed_body(faults, order, count, delivery_id) };
        let pause_ms = if index == 0 { 0 } else { stage_ms };
        planned.push(PlannedCallback { pause_ms, body: body.clone() });
        if faults.callback_twice {
            planned.push(PlannedCallback { pause_ms: 0, body });
        }
    }
    planned
}

/// True when no fault changes the body, which is then echoed byte for byte.
fn echoes(faults: &Faults) -> bool {
    faults.split.is_none()
        && faults.deliver_extra == 0
        && !faults.count_as_number
        && !faults.count_under_order_stock_cnt
        && faults.leave_out.is_empty()
        && !faults.with_delivery_id
}

fn changed_body(faults: &Faults, order: &Order, count: Option<u64>, delivery_id: Option<Uuid>) -> Vec<u8> {
    let mut fields = order.fields.clone();
    // A count that is not a number is sent back unchanged.
    let as_it_came = fields.remove(COUNT).unwrap_or(Value::Null);
    let value = match count {
        Some(count) if faults.count_as_number => Value::from(count),
        Some(count) => Value::from(count.to_string()),
        None => as_it_came,
    };
    let name = if faults.count_under_order_stock_cnt { OTHER_COUNT } else { COUNT };
    fields.insert(name.to_owned(), value);
    for left_out in &faults.leave_out {
        fields.remove(left_out.field());
    }
    if let Some(id) = delivery_id {
        fields.insert(DELIVERY_ID.to_owned(), Value::from(id.to_string()));
    }
    Value::Object(fields).to_string().into_bytes()
}

/// Parts that add up to `total`, differ by at most one, and are not zero unless `total` is.
fn share(total: u64, parts: u32) -> Vec<u64> {
    let parts = u64::from(parts).min(total).max(1);
    (0..parts).map(|index| total / parts + u64::from(index < total % parts)).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
