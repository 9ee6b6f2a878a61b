//! Consumers: one connection a service, one channel a queue, one message at a time in order.
//!
//! A message is acknowledged when its effect (or its failure) is durable in the service's own
//! database. What cannot be understood is dead-lettered at once; what a handler fails on is retried
//! from the database (see [`super::retries`]); while the database is away nothing is consumed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt, try_join_all};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::connection::{self, Backoff};
use super::{retries, topology};
use crate::contracts::{DecodeError, ReceivedEvent};
use crate::db::{Pool, StoreError};
use crate::outbox::{Outbox, OutgoingMessage};
use crate::readiness::Check;
use crate::settings::Amqp;
use crate::trace::TraceContext;

/// Why a handler did not handle a message.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It never will: dead-lettered at once.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store is away: the message waits and no attempt is counted. Other store errors are failures.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It failed: retried, then dead-lettered.
    #[error("{0}")]
    Failed(String),
}

impl From<diesel::result::Error> for HandleError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

impl HandleError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }
}

/// Handles one event; called again for the same event after a failure, a crash or a redrive.
pub type Handler =
    Arc<dyn Fn(ReceivedEvent, TraceContext) -> BoxFuture<'static, Result<(), HandleError>> + Send + Sync>;

/// A queue and who handles it.
#[derive(Clone)]
pub struct Subscription {
    /// Which queue.
    pub queue: &'static topology::Queue,
    /// Its handler.
    pub handler: Handler,
}

impl Subscription {
    /// Wraps an async function as the handler of `queue`.
    pub fn new<F, R>(queue: &'static topology::Queue, handler: F) -> Self
    where
        F: Fn(ReceivedEvent, TraceContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandleError>> + Send + 'static,
    {
        Self { queue, handler: Arc::new(move |event, trace| handler(event, trace).boxed()) }
    }

    pub(super) async fn handle(&self, body: &[u8]) -> Result<(), HandleError> {
        let event = ReceivedEvent::parse(body)?;
        let span = tracing::info_span!("consume", queue = self.queue.name, event = event.kind, event_id = event.id);
        let trace = event.trace().enter(&span);
        (self.handler)(event, trace).instrument(span).await
    }
}

/// A service's consumers.
pub struct Consumers {
    /// The service's name on the broker.
    pub name: &'static str,
    /// The service's database.
    pub pool: Pool,
    /// Rung when a dead letter was written.
    pub outbox: Outbox,
    /// Told how the broker is.
    pub broker: Check,
    /// Broker settings.
    pub amqp: Amqp,
    /// What is consumed.
    pub subscriptions: Vec<Subscription>,
}

impl Consumers {
    /// Consumes until `stop`: connect, check, consume; on any error or end of stream, again.
    pub async fn run(self, stop: CancellationToken) {
        let consumed = opentelemetry::global::meter("jaego")
            .u64_counter("jaego_messages_consumed")
            .with_description("Messages taken from a queue, by outcome")
            .build();
        let retrying = retries::run(&self.pool, &self.outbox, &self.subscriptions, &self.amqp, &stop);
        let consuming = async {
            let mut backoff = Backoff::default();
            while !stop.is_cancelled() {
                let session = async {
                    let connection = connection::connect(&self.amqp, self.name, "consumers").await?;
                    let ended = self.session(&connection, &consumed, &mut backoff, &stop).await;
                    connection::close(connection, &self.amqp).await;
                    ended
                };
                if let Err(error) = session.await {
                    self.broker.fail(&format!("consumers: {error:#}"));
                    tracing::warn!(error = format!("{error:#}"), "consumers lost the broker; connecting again");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = backoff.wait() => {}
                    }
                }
            }
        };
        futures::join!(retrying, consuming);
    }

    async fn session(
        &self,
        connection: &Connection,
        counter: &Counter<u64>,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let opening = self.subscriptions.iter().map(|subscription| self.open(connection, subscription));
        let opened = try_join_all(opening).await?;
        // Only now: a missing queue or right must not be asked for ten times a second.
        self.broker.pass();
        backoff.reset();
        let consuming = self.subscriptions.iter().zip(opened).map(|(subscription, (channel, deliveries))| async move {
            let ended = self.consume(subscription, deliveries, counter, stop).await;
            // The channel was kept until here: dropping it closes it.
            drop(channel);
            ended
        });
        try_join_all(consuming).await.map(drop)
    }

    async fn open(&self, connection: &Connection, subscription: &Subscription) -> anyhow::Result<(Channel, Consumer)> {
        let queue = subscription.queue.name;
        let opening = async {
            let channel = connection.create_channel().await?;
            channel.basic_qos(self.amqp.prefetch, BasicQosOptions::default()).await?;
            let consumer = channel
                .basic_consume(queue.into(), self.name.into(), BasicConsumeOptions::default(), FieldTable::default())
                .await?;
            Ok::<_, lapin::Error>((channel, consumer))
        };
        timeout(Duration::from_millis(self.amqp.timeout_ms), opening)
            .await
            .with_context(|| format!("{queue}: the broker did not answer in time"))?
            .with_context(|| format!("{queue}: cannot consume"))
    }

    async fn consume(
        &self,
        subscription: &Subscription,
        mut deliveries: Consumer,
        counter: &Counter<u64>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let queue = subscription.queue.name;
        let limit = Duration::from_millis(self.amqp.timeout_ms);
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = deliveries.next() => next.with_context(|| format!("{queue}: the broker ended the consumer"))?,
            };
            let delivery = delivery.with_context(|| format!("{queue}: delivery failed"))?;
            let Some(outcome) = self.settle(subscription, &delivery, stop).await else { return Ok(()) };
            let acknowledged = timeout(limit, delivery.acker.ack(BasicAckOptions::default())).await;
            acknowledged.with_context(|| format!("{queue}: acknowledging took too long"))??;
            counter.add(1, &[KeyValue::new("queue", queue), KeyValue::new("outcome", outcome)]);
        }
    }

    /// Makes the message's effect, or its failure, durable; None when stopped before that.
    async fn settle(
        &self,
        subscription: &Subscription,
        delivery: &Delivery,
        stop: &CancellationToken,
    ) -> Option<&'static str> {
        let mut backoff = Backoff::default();
        loop {
            let outcome = match subscription.handle(&delivery.data).await {
                Ok(()) => return Some("handled"),
                Err(error) if error.is_unavailable() => {
                    tracing::warn!(queue = subscription.queue.name, %error, "waiting for the database");
                    None
                }
                Err(HandleError::Decode(error)) => {
                    tracing::warn!(queue = subscription.queue.name, %error, "dead-lettered");
                    let letter = dead_letter(
                        subscription.queue,
                        message_id(delivery),
                        headers(delivery),
                        &delivery.data,
                        &Death::of_decode(&error),
                    );
                    self.keep(retries::dead_letter(&self.pool, letter).await, "dead_lettered")
                }
                Err(error) => {
                    tracing::warn!(queue = subscription.queue.name, %error, "handler failed; kept for a retry");
                    let first_delay = self.amqp.retry_delays()[0];
                    let text = storable(&error.to_string());
                    let parked = retries::park(
                        &self.pool,
                        subscription.queue,
                        message_id(delivery),
                        headers(delivery),
                        &delivery.data,
                        &text,
                        first_delay,
                    );
                    self.keep(parked.await, "parked")
                }
            };
            if outcome.is_some() {
                self.outbox.wake();
                return outcome;
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = backoff.wait() => {}
            }
        }
    }

    fn keep(&self, stored: Result<(), StoreError>, outcome: &'static str) -> Option<&'static str> {
        match stored {
            Ok(()) => Some(outcome),
            Err(error) => {
                tracing::warn!(%error, service = self.name, "cannot keep a failed message; holding it");
                None
            }
        }
    }
}

/// Why and after how many attempts a message died.
pub struct Death<'a> {
    /// A stable word, such as `undecodable`.
    pub reason: &'a str,
    /// The last error in words.
    pub error: &'a str,
    /// How often it was tried.
    pub attempts: i32,
}

impl Death<'_> {
    fn of_decode(error: &DecodeError) -> Death<'_> {
        let text = match error {
            DecodeError::Undecodable(text) | DecodeError::UnknownType(text) => text,
        };
        Death { reason: error.reason(), error: text, attempts: 1 }
    }
}

/// The message as a dead letter of `queue`: body untouched, the cause in its headers.
pub fn dead_letter(
    queue: &topology::Queue,
    message_id: String,
    mut headers: Map<String, Value>,
    body: &[u8],
    death: &Death<'_>,
) -> OutgoingMessage {
    let error: String = storable(death.error).chars().take(1000).collect();
    headers.insert("x-jaego-queue".into(), json!(queue.name));
    headers.insert("x-jaego-reason".into(), json!(death.reason));
    headers.insert("x-jaego-error".into(), json!(error));
    headers.insert("x-jaego-attempts".into(), json!(death.attempts));
    headers.insert("x-jaego-failed-at".into(), json!(chrono::Utc::now()));
    OutgoingMessage {
        message_id,
        exchange: topology::DEAD_LETTERS,
        routing_key: queue.name.to_owned(),
        content_type: crate::contracts::CONTENT_TYPE.to_owned(),
        headers: Value::Object(headers),
        body: body.to_vec(),
        subscriber_required: true,
    }
}

fn message_id(delivery: &Delivery) -> String {
    let id = delivery.properties.message_id().as_ref();
    id.map_or_else(|| crate::ids::EventId::generate().to_string(), |id| storable(id.as_str()))
}

/// PostgreSQL knows no NUL in a text; whoever sent one must not block a queue with it.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// The message's text and number headers; the broker's own are left out.
fn headers(delivery: &Delivery) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value) in delivery.properties.headers().iter().flat_map(FieldTable::inner) {
        let value = match value {
            AMQPValue::LongString(text) => Value::String(storable(&String::from_utf8_lossy(text.as_bytes()))),
            AMQPValue::ShortString(text) => Value::String(storable(text.as_str())),
            AMQPValue::LongLongInt(number) => json!(number),
            AMQPValue::LongInt(number) => json!(number),
            _ => continue,
        };
        headers.insert(storable(name.as_str()), value);
    }
    headers
}
