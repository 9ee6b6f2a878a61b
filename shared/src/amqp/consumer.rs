//! Consumers: one connection a service, one channel a queue, one message at a time in order.
//!
//! A message is acknowledged when its effect (or its failure) is durable in the service's own
//! database. What cannot be understood is dead-lettered at once; what a handler fails on is retried
//! from the database (see [`super::retries`]); while the database is away nothing is consumed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt, try_join, try_join_all};
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
use super::topology::Queue;
use super::{retries, topology};
use crate::contracts::{DecodeError, ReceivedEvent};
use crate::db::{Pool, StoreError};
use crate::dead_letters::intake::DeadMessage;
use crate::dead_letters::{self, DeadLetters, REDRIVE_HEADER};
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

/// How a message was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// All that it asked for is done.
    Done,
    /// It set off work that goes on. If the message is a redriven dead letter, whoever does the work
    /// says what came of it, by [`crate::dead_letters::resolve`] or another dead letter.
    Underway,
}

impl From<()> for Handled {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// Handles one event; called again for the same event after a failure, a crash or a redrive.
pub type Handler =
    Arc<dyn Fn(ReceivedEvent, TraceContext) -> BoxFuture<'static, Result<Handled, HandleError>> + Send + Sync>;

/// A queue and who handles it.
#[derive(Clone)]
pub struct Subscription {
    /// Which queue.
    pub queue: &'static Queue,
    /// Its handler.
    pub handler: Handler,
}

impl Subscription {
    /// Wraps an async function as the handler of `queue`.
    pub fn new<F, R, H>(queue: &'static Queue, handler: F) -> Self
    where
        F: Fn(ReceivedEvent, TraceContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<H, HandleError>> + Send + 'static,
        H: Into<Handled>,
    {
        let handler = move |event, trace| handler(event, trace).map(|result| result.map(Into::into)).boxed();
        Self { queue, handler: Arc::new(handler) }
    }

    /// Handles a message; one that is a redriven dead letter is told to be processed.
    pub(super) async fn handle(
        &self,
        pool: &Pool,
        headers: &Map<String, Value>,
        body: &[u8],
    ) -> Result<(), HandleError> {
        let event = ReceivedEvent::parse(body)?;
        let span = tracing::info_span!("consume", queue = self.queue.name, event = event.kind, event_id = event.id);
        let trace = event.trace().enter(&span);
        let handled = (self.handler)(event, trace).instrument(span).await?;
        let redriven = headers.get(REDRIVE_HEADER).and_then(Value::as_str).and_then(|id| id.parse().ok());
        if let (Handled::Done, Some(id)) = (handled, redriven) {
            dead_letters::processed(&mut *pool.get().await.map_err(StoreError::from)?, id).await?;
        }
        Ok(())
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
    /// Where dead letters are kept.
    pub dead_letters: DeadLetters,
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
        let opening = self.subscriptions.iter().map(|subscription| async {
            let queue = subscription.queue;
            let messages = self.open(connection, queue.name).await?;
            Ok::<_, anyhow::Error>((messages, self.open(connection, &queue.dead_letter_queue()).await?))
        });
        let opened = try_join_all(opening).await?;
        // Only now: a missing queue or right must not be asked for ten times a second.
        self.broker.pass();
        backoff.reset();
        let consuming = self.subscriptions.iter().zip(opened).map(|(subscription, (messages, letters))| async move {
            let ended = try_join(
                self.consume(subscription, messages.1, counter, stop),
                self.drain(subscription.queue, letters.1, stop),
            );
            let ended = ended.await.map(drop);
            // The channels were kept until here: dropping them closes them.
            drop((messages.0, letters.0));
            ended
        });
        try_join_all(consuming).await.map(drop)
    }

    async fn open(&self, connection: &Connection, queue: &str) -> anyhow::Result<(Channel, Consumer)> {
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
            let headers = headers(delivery);
            let outcome = match subscription.handle(&self.pool, &headers, &delivery.data).await {
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
                        headers,
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
                        headers,
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

    /// Dead letters of `queue`, from the broker into the database.
    async fn drain(&self, queue: &Queue, mut deliveries: Consumer, stop: &CancellationToken) -> anyhow::Result<()> {
        let name = queue.dead_letter_queue();
        let mut backoff = Backoff::default();
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = deliveries.next() => next.with_context(|| format!("{name}: the broker ended the consumer"))?,
            };
            let delivery = delivery.with_context(|| format!("{name}: delivery failed"))?;
            // While there is no room or no database it stays the broker's.
            loop {
                if self.dead_letters.has_room() {
                    match self.dead_letters.keep(queue, dead_message(&delivery)).await {
                        Ok(()) => break,
                        Err(error) => tracing::warn!(queue = name, %error, "cannot keep a dead letter; holding it"),
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = backoff.wait() => {}
                }
            }
            backoff.reset();
            let limit = Duration::from_millis(self.amqp.timeout_ms);
            let acknowledged = timeout(limit, delivery.acker.ack(BasicAckOptions::default())).await;
            acknowledged.with_context(|| format!("{name}: acknowledging took too long"))??;
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
    queue: &Queue,
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

fn dead_message(delivery: &Delivery) -> DeadMessage {
    let content_type = delivery.properties.content_type().as_ref();
    DeadMessage {
        message_id: message_id(delivery),
        content_type: content_type.map_or_else(String::new, |name| storable(name.as_str())),
        headers: headers(delivery),
        body: delivery.data.clone(),
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
