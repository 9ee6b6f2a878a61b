//! Messages that browsers receive about an event.

use std::time::Duration;

use actix_web::web::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// Maximum orders of one event that the console receives; it also receives their number.
const ORDERS_SHOWN_MAX: usize = 20;
/// sales-service receives other services' events at the same time as this program; their effects are visible there
/// only a moment later.
const HEARD_BY_SALES_AFTER: Duration = Duration::from_millis(700);

/// A CloudEvent, as far as browsers need it.
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

/// Message for the console.
#[derive(Serialize)]
struct ShownEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    time: Option<&'a str>,
    data: &'a Value,
}

impl Event {
    /// None if the body is not a CloudEvent. That concerns no browser, and its consumer keeps it as a dead letter.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|event: &Self| event.specversion == "1.0")
    }

    /// The orders of the event.
    pub(super) fn orders(&self) -> impl Iterator<Item = Uuid> {
        let orders = self.data["orders"].as_array().into_iter().flatten();
        orders.filter_map(|order| order["id"].as_str()?.parse().ok())
    }

    /// The product that shoppers may want to reload, and the delay until they should.
    pub(super) fn product(&self, routing_key: &str) -> Option<(&str, Duration)> {
        let sku = self.data["sku"].as_str()?;
        let delay = if routing_key == "stock.changed" { Duration::ZERO } else { HEARD_BY_SALES_AFTER };
        Some((sku, delay))
    }

    /// Message for a shopper who follows this order. It only says that there is something new.
    pub(super) fn for_shopper(&self, order: Uuid) -> Bytes {
        message("order", &json!({ "id": order, "type": self.kind }))
    }

    /// Message for the console, named by the routing key; long lists are cut.
    pub(super) fn for_console(&self, routing_key: &str) -> Bytes {
        let shown = self.data["orders"].as_array().map(|orders| {
            let first = &orders[..orders.len().min(ORDERS_SHOWN_MAX)];
            json!({ "count": orders.len(), "orders": first })
        });
        let data = shown.as_ref().unwrap_or(&self.data);
        message(routing_key, &ShownEvent { kind: &self.kind, id: &self.id, time: self.time.as_deref(), data })
    }
}

/// Message for shoppers to reload this product. It has no figures, because some of them are not public.
pub(super) fn look_again(sku: &str) -> Bytes {
    message("stock", &json!({ "sku": sku }))
}

/// Message that the broker was lost or is back.
pub(super) fn broker(is_online: bool) -> Bytes {
    message(if is_online { "online" } else { "offline" }, &json!({}))
}

/// Formats one message of the stream. JSON contains no line breaks.
fn message(name: &str, data: &impl Serialize) -> Bytes {
    // A line break in the name would start another message, although no such routing key exists.
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
        let sent = event.for_console("order.fulfilled");
        let text = std::str::from_utf8(&sent).expect("text");
        let data = text.strip_prefix("event: order.fulfilled\ndata: ").expect("named");
        let data: Value = serde_json::from_str(data.trim_end()).expect("JSON");
        assert_eq!((&data["data"]["count"], data["data"]["orders"].as_array().map(Vec::len)), (&json!(100), Some(20)));
        assert_eq!(data["time"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn shoppers_receive_no_figures() {
        let event = event(&json!({ "sku": "CP-1", "on_hand": 5, "backordered": 3 }));
        assert_eq!(event.product("stock.changed"), Some(("CP-1", Duration::ZERO)));
        assert_eq!(event.product("production.accepted"), Some(("CP-1", HEARD_BY_SALES_AFTER)));
        assert_eq!(look_again("CP-1"), "event: stock\ndata: {\"sku\":\"CP-1\"}\n\n");
    }

    #[test]
    fn a_body_that_is_no_event_is_ignored() {
        for body in ["", "{}", "[]", r#"{"specversion":"0.3","id":"1","type":"t","data":{}}"#] {
            assert!(Event::parse(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_message_is_one_message() {
        let sent = message("a\nevent: b", &json!({ "text": "line\n\nevent: x" }));
        assert_eq!(String::from_utf8_lossy(&sent).matches('\n').count(), 3, "{sent:?}");
    }
}
