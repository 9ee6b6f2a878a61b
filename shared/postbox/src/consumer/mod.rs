//! Consumers: one connection per service and one channel per queue. Messages about one subject are handled in order;
//! those about different subjects together, or in any order (see `lanes.rs`).
//!
//! A message is acknowledged when its effect (or its failure) is durable in the service's own database. A message
//! that cannot be decoded is dead-lettered at once; one that its handler fails on is retried from the database (see
//! `retries.rs`). While the database is unavailable, nothing is consumed.

mod deliveries;
mod lanes;
mod retries;
mod subscription;

use std::borrow::Cow;
use std::sync::LazyLock;

use futures::future::try_join_all;
use jaego_amqp::connection::{self, Backoff};
use jaego_amqp::health::{BrokerHealth, CONNECTION};
use jaego_contracts::topology::Queue;
use jaego_pg::{Pool, StoreError};
use lapin::Connection;
use lapin::message::Delivery;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::deliveries::Deliveries;
use self::lanes::{Attempted, Incoming, Lanes};
use self::retries::Retries;
pub use self::subscription::{HandleError, Handled, Handler, IfHeld, Subscription, TracedEvent};
use crate::dead_letters::{DeadLetters, Death};
use crate::message::{Message, is_redriven};
use crate::settings::Amqp;

impl Incoming for Delivery {
    fn body(&self) -> &[u8] {
        &self.data
    }

    fn is_redriven(&self) -> bool {
        is_redriven(self)
    }
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

static CONSUMED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("jaego");
    meter.u64_counter("jaego_messages_consumed").with_description("Messages taken from a queue, by outcome").build()
});

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
        let retries = Retries { pool: &self.pool, dead_letters: &self.dead_letters, delays: self.amqp.retry_delays() };
        let retrying = retries.run(&self.subscriptions, &stop);
        let broker = self.amqp.broker();
        let consuming = async {
            let mut backoff = Backoff::default();
            while !stop.is_cancelled() {
                let begun = Instant::now();
                let session = async {
                    let link = connection::connect(&broker, self.name, "consumers").await?;
                    let ended = self.session(&link, &stop).await;
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
    async fn session(&self, link: &Connection, stop: &CancellationToken) -> anyhow::Result<()> {
        let sources = || self.subscriptions.iter().flat_map(|own| [Source::Messages(own), Source::Letters(own.queue)]);
        for source in sources() {
            self.broker.fail(&source.queue(), "not consumed yet");
        }
        self.broker.pass(CONNECTION);
        try_join_all(sources().map(|source| self.serve(source, link, stop))).await.map(drop)
    }

    /// Consumes one queue. A fault of this queue (it is missing, its channel was closed) is retried here while the
    /// other queues go on, including its own dead-letter queue: a consumer that is closed requeues its deliveries,
    /// and the broker counts that against messages that have nothing wrong with them. Fails when the connection is
    /// lost.
    async fn serve(&self, source: Source<'_>, link: &Connection, stop: &CancellationToken) -> anyhow::Result<()> {
        let queue = source.queue();
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let serving = async {
                let deliveries = Deliveries::open(link, self.name, &queue, &self.amqp).await?;
                self.broker.pass(&queue);
                match source {
                    Source::Messages(subscription) => self.consume(subscription, deliveries, stop).await,
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
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let queue = subscription.queue;
        let mut lanes = Lanes::new(subscription, self.amqp.prefetch.into(), stop);
        loop {
            if deliveries.must_renew() {
                // Nothing is taken until all is settled, so messages that wait for a lane are stored instead.
                self.settle(queue, &deliveries, lanes.take_waiting(), stop).await?;
            }
            let all_settled = lanes.is_empty();
            tokio::select! {
                () = stop.cancelled() => break,
                next = deliveries.next(all_settled), if all_settled || !deliveries.must_renew() => {
                    let mut taken = vec![next?];
                    deliveries.take_ready(&mut taken);
                    let handled = lanes.add(taken).await;
                    deliveries.acknowledge_all(handled.iter().map(|(delivery, _)| delivery), lanes.is_empty()).await?;
                    count(queue, handled.len(), "handled");
                }
                attempted = lanes.next() => self.settle(queue, &deliveries, attempted, stop).await?,
            }
        }
        // Messages that wait are delivered again.
        lanes.take_waiting();
        while !lanes.is_empty() {
            self.settle(queue, &deliveries, lanes.next().await, stop).await?;
        }
        Ok(())
    }

    /// Makes the effects of attempts, or their failures, durable, and then acknowledges the messages. After a stop,
    /// those for which that is impossible are delivered again.
    async fn settle(
        &self,
        queue: &'static Queue,
        deliveries: &Deliveries<'_>,
        attempted: Vec<Attempted<Delivery>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (mut settled, mut failed) = (Vec::new(), Vec::new());
        for (delivery, result) in attempted {
            let error = match result {
                Some(Ok(_)) => {
                    settled.push((delivery, "handled"));
                    continue;
                }
                Some(Err(failure)) if failure.is_final() => {
                    tracing::warn!(queue = queue.name, error = failure.error, "dead-lettered");
                    let message = Message::delivered(&delivery, false);
                    let death = Death::new(failure.reason, &failure.error, 1);
                    if !self.dead_letters.has_room() {
                        deliveries.reject(&delivery).await?;
                        count(queue, 1, "dead_lettered");
                    } else if durable(stop, || self.dead_letters.take_in(queue, message.clone(), death.clone())).await {
                        settled.push((delivery, "dead_lettered"));
                    }
                    continue;
                }
                Some(Err(failure)) => failure.error,
                None if stop.is_cancelled() => continue,
                None => "other messages about the same subject are in progress".to_owned(),
            };
            tracing::warn!(queue = queue.name, error, "not handled; kept for a retry");
            failed.push((Message::delivered(&delivery, false), error));
            settled.push((delivery, "parked"));
        }
        let delay = self.amqp.retry_delays()[0];
        let park = || retries::park(&self.pool, queue, &failed, delay);
        if !failed.is_empty() {
            if !durable(stop, park).await {
                settled.retain(|(_, outcome)| *outcome != "parked");
            }
            self.dead_letters.notify_retries();
        }
        for (delivery, outcome) in settled {
            deliveries.acknowledge(&delivery).await?;
            count(queue, 1, outcome);
        }
        Ok(())
    }

    /// Moves dead letters of `queue` from the broker into the database. While the table has no room or the database is
    /// unavailable, they stay with the broker.
    async fn drain(
        &self,
        queue: &'static Queue,
        mut deliveries: Deliveries<'_>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = deliveries.next(true) => next?,
            };
            let message = Message::delivered(&delivery, true);
            let death = Death::of_rejected(&message);
            if !durable(stop, || self.dead_letters.take_in(queue, message.clone(), death.clone())).await {
                return Ok(());
            }
            deliveries.acknowledge(&delivery).await?;
        }
    }
}

fn count(queue: &Queue, messages: usize, outcome: &'static str) {
    CONSUMED.add(messages as u64, &[KeyValue::new("queue", queue.name), KeyValue::new("outcome", outcome)]);
}

/// Repeats `write` until the database takes it; false when stopped before that.
async fn durable<F>(stop: &CancellationToken, write: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut backoff = Backoff::default();
    loop {
        match write().await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(%error, "a message waits for the database"),
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = backoff.wait() => {}
        }
    }
}
