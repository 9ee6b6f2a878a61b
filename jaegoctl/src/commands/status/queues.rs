//! Queue depths, and for how long the queues have not been empty.

use chrono::Utc;
use jaego_contracts::topology::QUEUES;
use serde::Serialize;
use serde_json::Value;

use crate::{
    broker::Broker,
    failure::{Failure, Result},
    output::{Output, Rows},
};

/// Age and interval of the broker's samples, seconds: what it keeps by default.
const SAMPLES_BACK_S: &str = "3600";
const SAMPLES_APART_S: &str = "60";

/// A queue of the topology and its number of dead letters.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Queue {
    #[serde(rename = "queue")]
    name: &'static str,
    exists: bool,
    messages: u64,
    unacknowledged: u64,
    consumers: u64,
    /// Null when the queue is empty or the broker keeps no samples.
    not_empty_for_s: Option<u64>,
    /// True when no sample shows the queue empty, so the time may be longer.
    or_longer: bool,
    dead_letters: u64,
}

impl Queue {
    /// True when the queue is missing, has no consumer, or has dead letters.
    pub(super) fn is_off(&self) -> bool {
        !self.exists || self.consumers == 0 || self.dead_letters > 0
    }
}

/// All queues of the topology; `None` when no broker is configured.
pub(super) async fn ask(broker: Option<&Broker>) -> Result<Option<Vec<Queue>>> {
    let Some(broker) = broker else { return Ok(None) };
    let query = [
        ("lengths_age", SAMPLES_BACK_S),
        ("lengths_incr", SAMPLES_APART_S),
        ("columns", "name,messages,messages_unacknowledged,consumers,messages_details.samples"),
    ];
    let answer = broker.get("queues", &query).await?;
    let found = answer.as_array().ok_or_else(|| Failure::not_understood("the broker", "no list of queues"))?;
    let now_ms = Utc::now().timestamp_millis();
    Ok(Some(QUEUES.iter().map(|queue| one(queue.name, &queue.dead_letter_queue(), found, now_ms)).collect()))
}

fn one(name: &'static str, dead_letter_queue: &str, found: &[Value], now_ms: i64) -> Queue {
    let named = |name: &str| found.iter().find(|queue| queue["name"] == name);
    let (queue, dead) = (named(name), named(dead_letter_queue));
    let number = |queue: Option<&Value>, field: &str| queue.and_then(|queue| queue[field].as_u64()).unwrap_or_default();
    let messages = number(queue, "messages");
    let waited = queue.filter(|_| messages > 0).and_then(|queue| not_empty_for(queue, now_ms));
    Queue {
        name,
        exists: queue.is_some() && dead.is_some(),
        messages,
        unacknowledged: number(queue, "messages_unacknowledged"),
        consumers: number(queue, "consumers"),
        not_empty_for_s: waited.map(|(seconds, _)| seconds),
        or_longer: waited.is_some_and(|(_, or_longer)| or_longer),
        dead_letters: number(dead, "messages"),
    }
}

/// Seconds since the last sample that shows the queue empty, and true when there is none. Reading the oldest
/// message itself would count as a delivery of it.
fn not_empty_for(queue: &Value, now_ms: i64) -> Option<(u64, bool)> {
    let samples = queue["messages_details"]["samples"].as_array()?;
    let mut samples: Vec<(i64, u64)> =
        samples.iter().filter_map(|sample| Some((sample["timestamp"].as_i64()?, sample["sample"].as_u64()?))).collect();
    samples.sort_unstable();
    let last_empty = samples.iter().rev().find(|(_, messages)| *messages == 0);
    let (since_ms, _) = last_empty.or_else(|| samples.first())?;
    let seconds = u64::try_from((now_ms - since_ms).max(0) / 1000).unwrap_or_default();
    Some((seconds, last_empty.is_none()))
}

pub(super) fn show(output: Output, queues: Option<&[Queue]>, source: Option<&str>) {
    let (Some(queues), Some(source)) = (queues, source) else {
        if source.is_none() {
            output.line("Queues were not checked: the broker's URL is set by RABBITMQ_MANAGEMENT_URL or --broker-url.");
        }
        return;
    };
    let mut table = Rows::new(["QUEUE", "MESSAGES", "IN FLIGHT", "CONSUMERS", "NOT EMPTY FOR", "DEAD LETTERS"]);
    for queue in queues {
        if !queue.exists {
            table.row([queue.name, "missing: jaegoctl topology apply", "", "", "", ""]);
            continue;
        }
        let readers = if queue.consumers == 0 { "none".to_owned() } else { queue.consumers.to_string() };
        let waited = match (queue.messages, queue.not_empty_for_s) {
            (0, _) => "-".to_owned(),
            (_, None) => "?".to_owned(),
            (_, Some(seconds)) => format!("{}{}", if queue.or_longer { "more than " } else { "" }, span(seconds)),
        };
        let (messages, in_hand, dead) =
            (queue.messages.to_string(), queue.unacknowledged.to_string(), queue.dead_letters.to_string());
        table.row([queue.name, &messages, &in_hand, &readers, &waited, &dead]);
    }
    output.table(&table);
    for queue in queues.iter().filter(|queue| queue.exists && queue.consumers == 0) {
        output.line(format!("{} has no consumer: is its service running?", queue.name));
    }
    if queues.iter().any(|queue| queue.dead_letters > 0) {
        output.line("Dead letters wait in queues: jaegoctl dlq groups");
    }
    output.line(format!("{} queues, from the broker at {source}", queues.len()));
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(samples: &[(i64, u64)]) -> Option<(u64, bool)> {
        let samples: Vec<Value> =
            samples.iter().map(|(at, count)| json!({"timestamp": at * 1000, "sample": count})).collect();
        not_empty_for(&json!({"messages_details": {"samples": samples}}), 1_000_000)
    }

    #[test]
    fn a_queue_waits_since_it_was_last_empty() {
        assert_eq!(seen(&[(990, 3), (930, 1), (870, 0), (810, 5)]), Some((130, false)));
        assert_eq!(seen(&[(990, 0), (930, 1)]), Some((10, false)));
        assert_eq!(seen(&[(990, 3), (930, 1)]), Some((70, true)));
        assert_eq!(seen(&[]), None);
        assert_eq!(not_empty_for(&json!({}), 1), None);
    }

    #[test]
    fn missing_or_unread_queues_are_violations() {
        let found = json!([
            {"name": "a", "messages": 2, "consumers": 1, "messages_unacknowledged": 1},
            {"name": "a.dlq", "messages": 0, "consumers": 0}
        ]);
        let found = found.as_array().expect("a list");
        assert!(!one("a", "a.dlq", found, 0).is_off());
        assert!(one("b", "b.dlq", found, 0).is_off());
        assert!(one("a", "b.dlq", found, 0).is_off());
        assert!(one("a.dlq", "a.dlq", found, 0).is_off(), "nobody reads it");
        assert!(one("a", "a", found, 0).is_off(), "dead letters");
    }
}
