//! What browsers are told of an event.

use std::time::Duration;

use actix_web::web::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// Orders of one event that the console is shown; it is told how many there were.
const ORDERS_SHOWN_MAX: usize = 20;
/// sales-service hears of other services' events when we do; what it makes of them is there a moment later.
const HEARD_BY_SALES_AFTER: Duration = Duration::from_millis(700);

/// A CloudEvent, as far as browsers are told of it.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    specversion: String,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: Option<String>,
    data: Value,
}

/// What the console is told.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    time: Option<&'a str>,
    data: &'a Value,
}

impl Event {
    /// None when it is no CloudEvent: there is nobody to tell, and who must handle it keeps it as a dead letter.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|event: &Self| event.specversion == "1.0")
    }

    /// The orders that it is about.
    pub(super) fn orders(&self) -> impl Iterator<Item = Uuid> {
        let orders = self.data["orders"].as_array().into_iter().flatten();
        orders.filter_map(|order| order["id"].as_str()?.parse().ok())
    }

    /// The product that a shopper may want to look at again, and when.
    pub(super) fn product(&self, routing_key: &str) -> Option<(&str, Duration)> {
        let sku = self.data["sku"].as_str()?;
        let delay = if routing_key == "stock.changed" { Duration::ZERO } else { HEARD_BY_SALES_AFTER };
        Some((sku, delay))
    }

    /// For a shopper who follows this order. No more than that there is something new.
    pub(super) fn for_shopper(&self, order: Uuid) -> Bytes {
        message("order", &json!({ "id": order, "type": self.kind }))
    }

    /// For the console, under its routing key; long lists are cut.
    pub(super) fn for_console(&self, routing_key: &str) -> Bytes {
        let shown = self.data["orders"].as_array().map(|orders| {
            let first = &orders[..orders.len().min(ORDERS_SHOWN_MAX)];
            json!({ "count": orders.len(), "orders": first })
        });
        let data = shown.as_ref().unwrap_or(&self.data);
        message(routing_key, &Told { kind: &self.kind, id: &self.id, time: self.time.as_deref(), data })
    }
}

/// For shoppers: look at this product again. No figures, because some of them are not for the public.
pub(super) fn look_again(sku: &str) -> Bytes {
    message("stock", &json!({ "sku": sku }))
}

/// The broker is away, or back.
pub(super) fn broker(is_online: bool) -> Bytes {
    message(if is_online { "online" } else { "offline" }, &json!({}))
}

/// One message of the stream. JSON has no line breaks of its own.
fn message(name: &str, data: &impl Serialize) -> Bytes {
    // A name with a line break would be another message; there is no such routing key.
    let name: String = name.chars().filter(|character| !character.is_control()).collect();
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &Value) -> Event {
        let body = json!({
            "specversion": "1.0", "id": "7", "type": "jaego.order.fulfilled.v1", "source": "/jaego/sales-service",
            "time": "2026-01-01T00:00:00Z", "data": data,
        });
        Event::parse(body.to_string().as_bytes()).expect("an event")
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let orders: Vec<Value> = (0..100).map(|_| json!({ "id": Uuid::now_v7(), "lines": [] })).collect();
        let event = event(&json!({ "orders": orders }));
        assert_eq!(event.orders().count(), 100);
        let told = event.for_console("order.fulfilled");
        let text = std::str::from_utf8(&told).expect("text");
        let data = text.strip_prefix("event: order.fulfilled\ndata: ").expect("named");
        let data: Value = serde_json::from_str(data.trim_end()).expect("JSON");
        assert_eq!((&data["data"]["count"], data["data"]["orders"].as_array().map(Vec::len)), (&json!(100), Some(20)));
        assert_eq!(data["time"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn shoppers_are_told_no_figures() {
        let event = event(&json!({ "sku": "CP-1", "on_hand": 5, "backordered": 3 }));
        assert_eq!(event.product("stock.changed"), Some(("CP-1", Duration::ZERO)));
        assert_eq!(event.product("production.accepted"), Some(("CP-1", HEARD_BY_SALES_AFTER)));
        assert_eq!(look_again("CP-1"), "event: stock\ndata: {\"sku\":\"CP-1\"}\n\n");
    }

    #[test]
    fn what_is_no_event_is_nothing() {
        for body in ["", "{}", "[]", r#"{"specversion":"0.3","id":"1","type":"t","data":{}}"#] {
            assert!(Event::parse(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_message_is_one_message() {
        let told = message("a\nevent: b", &json!({ "text": "line\n\nevent: x" }));
        assert_eq!(String::from_utf8_lossy(&told).matches('\n').count(), 3, "{told:?}");
    }
}
