//! Consumers: one connection per service and one channel per queue. Messages are handled in order, one at a time or
//! in batches where the subscription supports them (see [`batch`]).
//!
//! A message is acknowledged when its effect (or its failure) is durable in the service's own database. A message
//! that cannot be decoded is dead-lettered at once; one that its handler fails on is retried from the database (see
//! `retries.rs`). While the database is unavailable, nothing is consumed.

pub mod batch;
mod deliveries;
mod letter;
mod properties;
mod retries;

use std::borrow::Cow;
use std::sync::Arc;

use diesel_async::AsyncConnection;
use futures::future::{BoxFuture, FutureExt, try_join_all};
use jaego_amqp::connection::{self, Backoff};
use jaego_amqp::health::{BrokerHealth, CONNECTION};
use jaego_contracts::topology::Queue;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{DecodeError, ReceivedEvent};
use jaego_pg::{Pool, StoreError};
use jaego_telemetry::EnterSpan as _;
use lapin::Connection;
use lapin::message::Delivery;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::batch::{BatchHandler, TracedEvent};
use self::deliveries::Deliveries;
use self::letter::{dead_message, handled_headers, is_redriven, message_id, storable};
use self::retries::Retries;
use crate::dead_letters;
use crate::dead_letters::{DeadLetters, Death};
use crate::settings::Amqp;

/// Reason why a handler did not handle a message.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Permanent: the message is dead-lettered at once.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// If the store is unavailable, the message waits and no attempt is counted. Other store errors count as
    /// failures.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message is retried, and dead-lettered after the last attempt.
    #[error("{0}")]
    Failed(String),
}

impl From<diesel::result::Error> for HandleError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// All the work that the message asked for is done.
    Done,
    /// The message started work that is still in progress. If it is a redriven dead letter, the code that does the
    /// work reports the outcome, by [`crate::dead_letters::resolve`] or another dead letter.
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

/// A queue and its handlers.
#[derive(Clone)]
pub struct Subscription {
    pub queue: &'static Queue,
    pub handler: Handler,
    /// Handles several events at once, if set.
    pub batch_handler: Option<BatchHandler>,
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
        Self { queue, handler: Arc::new(handler), batch_handler: None }
    }

    /// Adds a handler for events that arrive together. It must do what the handler does for each of them, in their
    /// order, for all of them or for none.
    #[must_use]
    pub fn with_batches<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Vec<TracedEvent>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandleError>> + Send + 'static,
    {
        self.batch_handler = Some(Arc::new(move |events| handler(events).boxed()));
        self
    }

    pub(super) async fn handle(&self, body: &[u8], is_redriven: bool) -> Result<Handled, HandleError> {
        let mut event = ReceivedEvent::parse(body)?;
        event.is_redriven = is_redriven;
        let span = tracing::info_span!("consume", queue = self.queue.name, event = event.kind, event_id = event.id);
        let trace = event.trace().enter(&span);
        to_its_end((self.handler)(event, trace).instrument(span)).await
    }
}

/// Runs a handler to its end even when the caller is dropped. A handler dropped midway, because the connection to the
/// broker is cut, would leave its transaction open on a pooled connection, and with it the locks of its rows.
pub(super) async fn to_its_end<T: Send + 'static>(
    handling: impl Future<Output = Result<T, HandleError>> + Send + 'static,
) -> Result<T, HandleError> {
    tokio::spawn(handling).await.unwrap_or_else(|error| Err(HandleError::Failed(format!("the handler broke: {error}"))))
}

/// A queue to consume from, for one subscription.
#[derive(Clone, Copy)]
enum Source<'a> {
    Messages(&'a Subscription),
    /// The dead-letter queue of this queue.
    Letters(&'static Queue),
}

impl Source<'_> {
    fn queue(self) -> Cow<'static, str> {
        match self {
            Self::Messages(subscription) => subscription.queue.name.into(),
            Self::Letters(queue) => queue.dead_letter_queue().into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Handled,
    Parked,
    DeadLettered,
    /// The broker dead-letters it.
    Rejected,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Parked => "parked",
            Self::DeadLettered | Self::Rejected => "dead_lettered",
        }
    }
}

pub struct Consumers {
    /// The service's name on the broker.
    pub name: &'static str,
    pub pool: Pool,
    /// Receives the health of the connection and of each queue.
    pub broker: BrokerHealth,
    pub amqp: Amqp,
    pub subscriptions: Vec<Subscription>,
    pub dead_letters: DeadLetters,
}

impl Consumers {
    /// Consumes until `stop`; a lost connection is opened again after a backoff.
    pub async fn run(self, stop: CancellationToken) {
        let consumed = opentelemetry::global::meter("jaego")
            .u64_counter("jaego_messages_consumed")
            .with_description("Messages taken from a queue, by outcome")
            .build();
        let retries = Retries { pool: &self.pool, dead_letters: &self.dead_letters, delays: self.amqp.retry_delays() };
        let retrying = retries.run(&self.subscriptions, &stop);
        let broker = self.amqp.broker();
        let consuming = async {
            let mut backoff = Backoff::default();
            while !stop.is_cancelled() {
                let begun = Instant::now();
                let session = async {
                    let link = connection::connect(&broker, self.name, "consumers").await?;
                    let ended = self.session(&link, &consumed, &stop).await;
                    connection::close(link, &broker).await;
                    ended
                };
                if let Err(error) = session.await {
                    self.broker.fail(CONNECTION, &format!("{error:#}"));
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "consumers lost the connection to the broker; reconnecting"
                    );
                    backoff.reset_if_steady(begun);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = backoff.wait() => {}
                    }
                }
            }
        };
        futures::join!(retrying, consuming);
    }

    /// Consumes all queues until the connection is lost, or until `stop`.
    async fn session(&self, link: &Connection, counter: &Counter<u64>, stop: &CancellationToken) -> anyhow::Result<()> {
        let sources = || self.subscriptions.iter().flat_map(|own| [Source::Messages(own), Source::Letters(own.queue)]);
        for source in sources() {
            self.broker.fail(&source.queue(), "not consumed yet");
        }
        self.broker.pass(CONNECTION);
        try_join_all(sources().map(|source| self.serve(source, link, counter, stop))).await.map(drop)
    }

    /// Consumes one queue. A fault of this queue (it is missing, its channel was closed) is retried here while the
    /// other queues go on, including its own dead-letter queue: a consumer that is closed requeues its deliveries,
    /// and the broker counts that against messages that have nothing wrong with them. Fails when the connection is
    /// lost.
    async fn serve(
        &self,
        source: Source<'_>,
        link: &Connection,
        counter: &Counter<u64>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let queue = source.queue();
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let serving = async {
                let deliveries = Deliveries::open(link, self.name, &queue, &self.amqp).await?;
                self.broker.pass(&queue);
                match source {
                    Source::Messages(subscription) => self.consume(subscription, deliveries, counter, stop).await,
                    Source::Letters(queue) => self.drain(queue, deliveries, stop).await,
                }
            };
            let Err(error) = serving.await else { return Ok(()) };
            if !link.status().connected() {
                return Err(error);
            }
            self.broker.fail(&queue, &format!("{error:#}"));
            tracing::warn!(queue = &*queue, error = format!("{error:#}"), "cannot consume; trying again");
            backoff.reset_if_steady(begun);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = backoff.wait() => {}
            }
        }
    }

    async fn consume(
        &self,
        subscription: &Subscription,
        mut deliveries: Deliveries<'_>,
        counter: &Counter<u64>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let queue = subscription.queue.name;
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = deliveries.next() => next?,
            };
            let mut taken = vec![delivery];
            if subscription.batch_handler.is_some() {
                deliveries.take_ready(&mut taken);
            }
            let count = |messages: usize, outcome| {
                counter.add(messages as u64, &[KeyValue::new("queue", queue), KeyValue::new("outcome", outcome)]);
            };
            if batch::handle_together(subscription, &taken).await {
                deliveries.acknowledge_all(&taken).await?;
                count(taken.len(), "handled");
                continue;
            }
            for delivery in &taken {
                let Some(outcome) = self.settle(subscription, delivery, stop).await else { return Ok(()) };
                match outcome {
                    Outcome::Rejected => deliveries.reject(delivery).await?,
                    _ => deliveries.acknowledge(delivery).await?,
                }
                count(1, outcome.word());
            }
        }
    }

    /// Makes the message's effect, or its failure, durable; None when stopped before that.
    async fn settle(
        &self,
        subscription: &Subscription,
        delivery: &Delivery,
        stop: &CancellationToken,
    ) -> Option<Outcome> {
        let mut backoff = Backoff::default();
        loop {
            let settled = match subscription.handle(&delivery.data, is_redriven(delivery)).await {
                Ok(_) => Ok(Outcome::Handled),
                Err(HandleError::Store(error)) if error.is_unavailable() => Err(error),
                Err(HandleError::Decode(error)) => self.bury(subscription, delivery, &error).await,
                Err(error) => self.park(subscription, delivery, &error).await,
            };
            match settled {
                Ok(outcome) => return Some(outcome),
                Err(error) => {
                    tracing::warn!(queue = subscription.queue.name, %error, "waiting for the database");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = backoff.wait() => {}
            }
        }
    }

    /// Stores a message that cannot be decoded as a dead letter. While the table has no room, the message is
    /// rejected, and the broker dead-letters it.
    async fn bury(
        &self,
        subscription: &Subscription,
        delivery: &Delivery,
        error: &DecodeError,
    ) -> Result<Outcome, StoreError> {
        tracing::warn!(queue = subscription.queue.name, %error, "dead-lettered");
        if !self.dead_letters.has_room() {
            return Ok(Outcome::Rejected);
        }
        let death = Death::new(error.reason(), &storable(error.text()), 1);
        let (id, headers) = (message_id(delivery), handled_headers(delivery));
        let letter = retries::letter(subscription.queue, id, headers, delivery.data.clone(), death, false);
        let mut connection = self.pool.get().await?;
        connection.transaction(async |connection| dead_letters::keep(connection, letter).await).await?;
        self.dead_letters.note_change();
        Ok(Outcome::DeadLettered)
    }

    async fn park(
        &self,
        subscription: &Subscription,
        delivery: &Delivery,
        error: &HandleError,
    ) -> Result<Outcome, StoreError> {
        tracing::warn!(queue = subscription.queue.name, %error, "handler failed; kept for a retry");
        let (id, headers) = (message_id(delivery), handled_headers(delivery));
        let (error, delay) = (storable(&error.to_string()), self.amqp.retry_delays()[0]);
        retries::park(&self.pool, subscription.queue, id, headers, &delivery.data, &error, delay).await?;
        self.dead_letters.notify_retries();
        Ok(Outcome::Parked)
    }

    /// Moves dead letters of `queue` from the broker into the database.
    async fn drain(
        &self,
        queue: &Queue,
        mut deliveries: Deliveries<'_>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let name = queue.dead_letter_queue();
        let mut backoff = Backoff::default();
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = deliveries.next() => next?,
            };
            // While the table has no room or the database is unavailable, the message stays with the broker.
            loop {
                if self.dead_letters.has_room() {
                    match self.dead_letters.take_in(queue, dead_message(&delivery)).await {
                        Ok(()) => break,
                        Err(error) => tracing::warn!(queue = name, %error, "cannot store a dead letter; holding it"),
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = backoff.wait() => {}
                }
            }
            backoff.reset();
            deliveries.acknowledge(&delivery).await?;
        }
    }
}
