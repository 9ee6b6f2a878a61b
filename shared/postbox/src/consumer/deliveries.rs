//! The messages of one queue, from a consumer that is renewed after a long idle time.

use std::time::Duration;

use anyhow::Context;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::time::{Instant, timeout};

use crate::settings::Amqp;

/// A busy consumer is renewed this many times less often than an idle one.
const BUSY_FACTOR: u32 = 20;
/// Messages that the broker withheld from a consumer arrive within this time after its renewal.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A consumer of a queue, on a channel of its own; dropping it closes the channel.
///
/// When a quorum queue is deleted and declared again within a moment, RabbitMQ (3.10) does not cancel its consumers:
/// it subscribes each channel to the new queue by itself, and then mistakes the new queue's messages for ones that
/// the consumer has already seen. They count as delivered, so the fault is invisible from outside. A consumer that
/// has been idle for a while is therefore renewed on another channel: closing the old one requeues the messages that
/// were withheld. A consumer that is never idle is renewed at longer intervals.
pub(super) struct Deliveries<'a> {
    link: &'a Connection,
    tag: &'a str,
    queue: String,
    settings: &'a Amqp,
    channel: Channel,
    consumer: Consumer,
    opened_at: Instant,
    was_idle: bool,
}

impl<'a> Deliveries<'a> {
    /// Consumes `queue` with the consumer tag `tag`.
    pub(super) async fn open(
        link: &'a Connection,
        tag: &'a str,
        queue: &str,
        settings: &'a Amqp,
    ) -> anyhow::Result<Self> {
        let (channel, consumer) = consume(link, tag, queue, settings).await?;
        Ok(Self {
            link,
            tag,
            queue: queue.to_owned(),
            settings,
            channel,
            consumer,
            opened_at: Instant::now(),
            was_idle: false,
        })
    }

    /// True when the consumer must be renewed before it takes more messages.
    pub(super) fn must_renew(&self) -> bool {
        self.opened_at.elapsed() >= Duration::from_millis(self.settings.renew_idle_ms) * BUSY_FACTOR
    }

    /// The next message; an error when the consumer has ended. With `all_settled`, the consumer may be renewed, and the
    /// call must not be dropped except at the end.
    pub(super) async fn next(&mut self, all_settled: bool) -> anyhow::Result<Delivery> {
        let idle = Duration::from_millis(self.settings.renew_idle_ms);
        if all_settled && self.must_renew() {
            self.renew().await?;
        }
        let next = loop {
            if !all_settled {
                break self.consumer.next().await;
            }
            if let Ok(next) = timeout(idle, self.consumer.next()).await {
                break next;
            }
            self.renew().await?;
            self.was_idle = true;
        };
        let delivery = next
            .with_context(|| format!("{}: the broker ended the consumer", self.queue))?
            .with_context(|| format!("{}: delivery failed", self.queue))?;
        let was_idle = std::mem::take(&mut self.was_idle);
        if was_idle && delivery.redelivered && self.opened_at.elapsed() < AT_ONCE {
            tracing::warn!(queue = self.queue, "the broker withheld messages from an idle consumer; it was renewed");
        }
        Ok(delivery)
    }

    /// Adds the messages that have already arrived. The prefetch (`amqp.prefetch`) bounds the number of messages that
    /// are not settled.
    pub(super) fn take_ready(&mut self, taken: &mut Vec<Delivery>) {
        // The next call of `next` reports the end of the consumer, or its error.
        while let Some(Some(Ok(delivery))) = self.consumer.next().now_or_never() {
            taken.push(delivery);
        }
    }

    /// Rejects a message, so that the broker moves it to the queue's dead letters.
    pub(super) async fn reject(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let rejecting = delivery.acker.reject(BasicRejectOptions { requeue: false });
        let rejected = timeout(limit(self.settings), rejecting).await;
        rejected.with_context(|| format!("{}: rejecting took too long", self.queue))??;
        Ok(())
    }

    pub(super) async fn acknowledge(&self, delivery: &Delivery) -> anyhow::Result<()> {
        self.tell(delivery, BasicAckOptions::default()).await
    }

    /// Acknowledges messages in their order; `together` only if no other one is outstanding.
    pub(super) async fn acknowledge_all<'d>(
        &self,
        mut deliveries: impl DoubleEndedIterator<Item = &'d Delivery>,
        together: bool,
    ) -> anyhow::Result<()> {
        if together && let Some(last) = deliveries.next_back() {
            return self.tell(last, BasicAckOptions { multiple: true }).await;
        }
        for delivery in deliveries {
            self.acknowledge(delivery).await?;
        }
        Ok(())
    }

    async fn tell(&self, delivery: &Delivery, options: BasicAckOptions) -> anyhow::Result<()> {
        let acknowledging = delivery.acker.ack(options);
        let acknowledged = timeout(limit(self.settings), acknowledging).await;
        acknowledged.with_context(|| format!("{}: acknowledging took too long", self.queue))??;
        Ok(())
    }

    /// Replaces the channel and its consumer. Nothing is written to a blocked connection, so nothing is renewed
    /// there.
    async fn renew(&mut self) -> anyhow::Result<()> {
        if self.link.status().blocked() {
            return Ok(());
        }
        // Closing the channel also requeues messages that were delivered but not handled yet.
        let closed = timeout(limit(self.settings), self.channel.close(200, "idle".into())).await;
        closed.with_context(|| format!("{}: closing took too long", self.queue))??;
        let renewed = consume(self.link, self.tag, &self.queue, self.settings).await?;
        (self.channel, self.consumer) = renewed;
        self.opened_at = Instant::now();
        Ok(())
    }
}

async fn consume(link: &Connection, tag: &str, queue: &str, settings: &Amqp) -> anyhow::Result<(Channel, Consumer)> {
    let late = || format!("{queue}: the broker did not answer in time");
    let channel = timeout(limit(settings), link.create_channel()).await.with_context(late)??;
    let consuming = async {
        channel.basic_qos(settings.prefetch, BasicQosOptions::default()).await?;
        channel.basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default()).await
    };
    let consumer = match timeout(limit(settings), consuming).await.with_context(late) {
        Ok(consumer) => consumer.with_context(|| format!("{queue}: cannot consume"))?,
        Err(error) => {
            // If the answer still comes, the client keeps the consumer and its channel open, and the broker goes on
            // sending it messages that no one handles.
            timeout(limit(settings), channel.close(200, "given up".into())).await.ok();
            return Err(error);
        }
    };
    Ok((channel, consumer))
}

fn limit(settings: &Amqp) -> Duration {
    Duration::from_millis(settings.timeout_ms)
}
