//! The relay: publishes the outbox with pipelined publisher confirms, and deletes what is confirmed.
//!
//! Rows are claimed for a time, not locked while the broker is spoken to, so several replicas can
//! relay one outbox; a replica that dies leaves its claims to run out. An event may be published
//! twice then: consumers are idempotent by business identity.

use std::time::{Duration, Instant};

use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use futures::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use opentelemetry::metrics::{Counter, Gauge};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::amqp::connection::{self, Backoff};
use crate::db::{Pool, Statement, StatementSql, StoreError};
use crate::outbox::Outbox;
use crate::readiness::Check;
use crate::settings::{Amqp, Outbox as OutboxSettings};

/// A claim lasts this many times the longest wait for the broker: a window that takes longer failed.
const CLAIM_TIMEOUTS: u64 = 2;
/// How often the whole outbox is counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What the relay needs.
pub struct Relay {
    /// The service's name on the broker.
    pub name: &'static str,
    /// The database with the outbox.
    pub pool: Pool,
    /// The bell.
    pub outbox: Outbox,
    /// Told how the broker is.
    pub broker: Check,
    /// Broker settings.
    pub amqp: Amqp,
    /// Outbox settings.
    pub settings: OutboxSettings,
}

struct Metrics {
    published: Counter<u64>,
    failed: Counter<u64>,
    pending: Gauge<i64>,
    oldest_s: Gauge<f64>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    message_id: String,
    #[diesel(sql_type = Text)]
    exchange: String,
    #[diesel(sql_type = Text)]
    routing_key: String,
    #[diesel(sql_type = Text)]
    content_type: String,
    #[diesel(sql_type = Jsonb)]
    headers: Value,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Bool)]
    subscriber_required: bool,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

#[derive(QueryableByName)]
struct Backlog {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = diesel::sql_types::Double)]
    oldest_s: f64,
}

struct DeleteConfirmed;
impl StatementSql for DeleteConfirmed {
    const SQL: &'static str = "DELETE FROM outbox WHERE id = ANY(?)";
}

struct PostponeFailed;
impl StatementSql for PostponeFailed {
    const SQL: &'static str = "UPDATE outbox SET last_error = failed.error, \
        not_before = now() + failed.delay_ms * interval '1 millisecond' \
        FROM unnest(?, ?, ?) AS failed (id, error, delay_ms) WHERE outbox.id = failed.id";
}

impl Relay {
    /// Runs until `stop`; then publishes what is there once more, if the broker lets it.
    pub async fn run(self, stop: CancellationToken) {
        let meter = opentelemetry::global::meter("jaego");
        let metrics = Metrics {
            published: meter
                .u64_counter("jaego_outbox_published")
                .with_description("Messages confirmed by the broker")
                .build(),
            failed: meter
                .u64_counter("jaego_outbox_publish_failures")
                .with_description("Messages not confirmed, to be published again")
                .build(),
            pending: meter
                .i64_gauge("jaego_outbox_pending")
                .with_description("Messages waiting for the broker")
                .build(),
            oldest_s: meter
                .f64_gauge("jaego_outbox_oldest_seconds")
                .with_description("Age of the oldest waiting message")
                .build(),
        };
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            // Without a broker the backlog is still counted: its bound must hold.
            self.count(&metrics).await;
            let session = async {
                let connection = connection::connect(&self.amqp, self.name, "relay").await?;
                let channel = connection::confirming_channel(&connection, &self.amqp).await?;
                self.broker.pass();
                backoff.reset();
                let ended = self.session(&channel, &metrics, &stop).await;
                connection::close(connection, &self.amqp).await;
                ended
            };
            if let Err(error) = session.await {
                self.broker.fail(&format!("relay: {error:#}"));
                tracing::warn!(error = format!("{error:#}"), "relay lost the broker; connecting again");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }

    async fn session(&self, channel: &Channel, metrics: &Metrics, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut counted_at = Instant::now();
        loop {
            let stopping = stop.is_cancelled();
            let published = match self.publish_window(channel, metrics).await {
                Ok(published) => published,
                Err(Failure::Store(error)) => {
                    tracing::warn!(%error, "relay cannot read the outbox");
                    0
                }
                Err(Failure::Broker(error)) => return Err(error),
            };
            if counted_at.elapsed() >= COUNT_EVERY {
                self.count(metrics).await;
                counted_at = Instant::now();
            }
            if published > 0 {
                continue;
            }
            if stopping {
                return Ok(());
            }
            if !channel.status().connected() {
                anyhow::bail!("the channel is closed");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.outbox.rung() => {}
                () = tokio::time::sleep(Duration::from_millis(self.settings.poll_ms)) => {}
            }
        }
    }

    /// Publishes up to one window of rows. Answers how many were confirmed.
    async fn publish_window(&self, channel: &Channel, metrics: &Metrics) -> Result<u64, Failure> {
        let rows = self.claim().await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let limit = Duration::from_millis(self.amqp.timeout_ms);
        let sends = rows.iter().map(|row| async move {
            match timeout(limit, publish(channel, row)).await {
                Ok(result) => result,
                Err(_) => Err("the broker did not confirm in time".to_owned()),
            }
        });
        let results = join_all(sends).await;
        let mut confirmed = Vec::new();
        let mut failed = (Vec::new(), Vec::new(), Vec::new());
        for (row, result) in rows.iter().zip(results) {
            match result {
                Ok(()) => confirmed.push(row.id),
                Err(error) => {
                    tracing::warn!(
                        message_id = row.message_id,
                        exchange = row.exchange,
                        routing_key = row.routing_key,
                        error,
                        "not published; kept"
                    );
                    failed.0.push(row.id);
                    failed.1.push(error);
                    failed.2.push(delay_ms(row.attempts));
                }
            }
        }
        let count = confirmed.len() as u64;
        metrics.published.add(count, &[]);
        metrics.failed.add(failed.0.len() as u64, &[]);
        let lost = !channel.status().connected();
        self.settle(confirmed, failed).await?;
        if lost { Err(Failure::Broker(anyhow::anyhow!("the channel was closed while publishing"))) } else { Ok(count) }
    }

    async fn claim(&self) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.pool.get().await?;
        let mut rows: Vec<Row> = sql_query(
            "UPDATE outbox SET not_before = now() + $1 * interval '1 millisecond', attempts = attempts + 1 \
             WHERE id IN (SELECT id FROM outbox WHERE not_before <= now() ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) \
             RETURNING id, message_id, exchange, routing_key, content_type, headers, body, subscriber_required, attempts",
        )
        .bind::<BigInt, _>(i64::try_from(CLAIM_TIMEOUTS * self.amqp.timeout_ms).unwrap_or(i64::MAX))
        .bind::<BigInt, _>(self.settings.window)
        .load(&mut connection)
        .await?;
        rows.sort_unstable_by_key(|row| row.id);
        Ok(rows)
    }

    async fn settle(&self, confirmed: Vec<i64>, failed: (Vec<i64>, Vec<String>, Vec<i64>)) -> Result<(), StoreError> {
        let mut connection = self.pool.get().await?;
        if !confirmed.is_empty() {
            Statement::<DeleteConfirmed>::new().bind::<Array<BigInt>, _>(confirmed).run(&mut connection).await?;
        }
        if !failed.0.is_empty() {
            Statement::<PostponeFailed>::new()
                .bind::<Array<BigInt>, _>(failed.0)
                .bind::<Array<Text>, _>(failed.1)
                .bind::<Array<BigInt>, _>(failed.2)
                .run(&mut connection)
                .await?;
        }
        Ok(())
    }

    async fn count(&self, metrics: &Metrics) {
        let Ok(mut connection) = self.pool.get().await else { return };
        let backlog: Result<Backlog, _> = sql_query(
            "SELECT count(*) AS pending, \
             coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_s FROM outbox",
        )
        .get_result(&mut connection)
        .await;
        if let Ok(backlog) = backlog {
            self.outbox.set_pending(backlog.pending);
            metrics.pending.record(backlog.pending, &[]);
            metrics.oldest_s.record(backlog.oldest_s, &[]);
        }
    }
}

enum Failure {
    Store(StoreError),
    Broker(anyhow::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn publish(channel: &Channel, row: &Row) -> Result<(), String> {
    // What came from outside may be longer than AMQP allows: that is this row's error, nobody else's.
    let short = |text: &str| ShortString::try_new(text).map_err(|error| error.to_string());
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(short(&row.message_id)?)
        .with_content_type(short(&row.content_type)?)
        .with_headers(header_table(&row.headers)?);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel
        .basic_publish(short(&row.exchange)?, short(&row.routing_key)?, options, &row.body, properties)
        .await
        .map_err(|error| error.to_string())?;
    match sent.await.map_err(|error| error.to_string())? {
        Confirmation::Ack(Some(_)) if row.subscriber_required => {
            Err(format!("no queue takes {} on {}", row.routing_key, row.exchange))
        }
        Confirmation::Ack(_) => Ok(()),
        Confirmation::Nack(_) => Err("the broker refused it: a queue is full or down".to_owned()),
        Confirmation::NotRequested => Err("publisher confirms are off".to_owned()),
    }
}

/// JSON texts and whole numbers as AMQP headers.
fn header_table(headers: &Value) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in headers.as_object().into_iter().flatten() {
        let value = match value {
            Value::Number(number) => AMQPValue::LongLongInt(number.as_i64().unwrap_or_default()),
            Value::String(text) => AMQPValue::LongString(text.as_str().into()),
            other => AMQPValue::LongString(other.to_string().into()),
        };
        table.insert(ShortString::try_new(name.as_str()).map_err(|error| error.to_string())?, value);
    }
    Ok(table)
}

/// 100 ms doubling to 30 s.
fn delay_ms(attempts: i32) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 10) - 1).unwrap_or_default();
    (100_i64 << doublings).min(30_000)
}
