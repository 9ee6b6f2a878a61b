//! An event on its way from a transaction to a handler that fails, to a dead letter, and back by a redrive.
//!
//! `cargo run -p jaego-postbox --example lost_and_found` starts private servers; the programs of PostgreSQL and RabbitMQ
//! must be installed (`cargo xtask test` installs them).

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use jaego_amqp::health::BrokerHealth;
use jaego_contracts::ids::{EventId, RequestId};
use jaego_contracts::topology::{PRODUCTION_REQUESTS, User};
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{OutgoingEvent, production};
use jaego_pg::settings::Database;
use jaego_pg::{Migrations, Pool};
use jaego_postbox::consumer::{Consumers, HandleError, Subscription};
use jaego_postbox::dead_letters::redrives::Chosen;
use jaego_postbox::dead_letters::{DeadLetters, letters, redrives};
use jaego_postbox::outbox::{self, Outbox};
use jaego_postbox::relay::Relay;
use jaego_postbox::settings::{Amqp, DeadLetters as DeadLetterSettings, Outbox as OutboxSettings};
use jaego_telemetry::readiness::{Need, Readiness};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::service::{ServiceSurroundings, Surroundings};
use testkit::wait_until;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(60);

fn settings<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    Ok(serde_json::from_value(value)?)
}

/// A database with the tables of the postbox, which is dropped with the first value, and a user of the broker.
async fn service(surroundings: &Surroundings, user: User) -> anyhow::Result<(ServiceSurroundings, Database, Amqp)> {
    let service = surroundings.service(user).await;
    let value = |key: &str| service.env.iter().find(|(name, _)| name.ends_with(key)).map(|(_, value)| value.clone());
    let database: Database = settings(json!({
        "url": value("DATABASE__URL").context("a URL")?, "ca_file": "", "pool_size": 8, "wait_timeout_ms": 5000,
        "statement_timeout_ms": 5000, "lock_timeout_ms": 0,
    }))?;
    jaego_pg::migrate(&service.database.migrator(), Migrations::NONE).await?;
    let amqp = settings(json!({
        "url": value("AMQP__URL").context("a URL")?, "ca_file": "", "prefetch": 16, "timeout_ms": 5000,
        "renew_idle_ms": 30000, "retry_delays_ms": ["100", "200"],
    }))?;
    Ok((service, database, amqp))
}

async fn count(pool: &Pool, sql: &str) -> anyhow::Result<i64> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let counted: Count = RunQueryDsl::get_result(diesel::sql_query(sql), &mut pool.get().await?).await?;
    Ok(counted.count)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    jaego_net::install_tls();
    let surroundings = Surroundings::new().await;
    let (stop, readiness) = (CancellationToken::new(), Readiness::default());

    // The sender: an event joins the transaction of the change that it reports, and the relay publishes it.
    let (_sender, database, amqp) = service(&surroundings, User::Sales).await?;
    let (pool, outbox) = (jaego_pg::pool(&database, "sender")?, Outbox::new(1_000));
    let relay = Relay {
        name: "sender",
        pool: pool.clone(),
        database,
        outbox: outbox.clone(),
        broker: BrokerHealth::new(readiness.register("broker-relay", Need::Useful), "relay"),
        amqp: amqp.broker(),
        settings: settings::<OutboxSettings>(
            json!({"window": 256, "windows": 8, "pace_ms": 5, "poll_ms": 3000, "pending_max": 1000}),
        )?,
    };
    tokio::spawn(relay.run(stop.clone()));

    // The receiver: its handler fails until somebody repairs what is wrong.
    let (_receiver, database, amqp) = service(&surroundings, User::Production).await?;
    let receiver = jaego_pg::pool(&database, "receiver")?;
    let is_repaired = Arc::new(AtomicBool::new(false));
    let seen = is_repaired.clone();
    let handler = move |event: jaego_contracts::ReceivedEvent, _: TraceContext| {
        let works = AtomicBool::load(&seen, Ordering::Relaxed);
        println!("  handler: {} {}", event.kind, if works { "done" } else { "failed" });
        async move { if works { Ok(()) } else { Err(HandleError::Failed("the factory's address is wrong".to_owned())) } }
    };
    let kept: DeadLetterSettings = settings(json!({"waiting_max": 1000, "retention_days": 30}))?;
    let dead_letters = DeadLetters::new(receiver.clone(), Outbox::new(1_000), kept, BTreeMap::new());
    let consumers = Consumers {
        name: "receiver",
        pool: receiver.clone(),
        broker: BrokerHealth::new(readiness.register("broker-consumers", Need::Useful), "consumers"),
        amqp,
        subscriptions: vec![Subscription::new(&PRODUCTION_REQUESTS, "request_id", handler)],
        dead_letters: dead_letters.clone(),
    };
    tokio::spawn(consumers.run(stop.clone()));
    tokio::spawn(dead_letters.clone().run(vec![&PRODUCTION_REQUESTS], stop.clone()));

    println!("1. A transaction commits a change together with its event.");
    let request = RequestId::generate().to_string();
    let event = OutgoingEvent::new(
        &production::REQUESTED,
        "sender",
        &request,
        TraceContext::new_root(),
        &json!({"request_id": request, "sku": "CP-502101", "quantity": 100}),
    );
    pool.get()
        .await?
        .transaction::<_, jaego_pg::StoreError, _>(async |connection| {
            // .. the change itself ..
            outbox::append(connection, [event]).await
        })
        .await?;
    outbox.wake();

    println!("2. The relay publishes it; its handler fails, is retried from the database, and gives up.");
    let waiting = "SELECT count(*) AS count FROM dead_letters WHERE status = 'waiting'";
    wait_until("a dead letter", SOON, async || (count(&receiver, waiting).await.unwrap_or(0) == 1).then_some(())).await;

    println!("3. The cause is repaired, and an operator redrives every dead letter.");
    is_repaired.store(true, Ordering::Relaxed);
    let mut connection = receiver.get().await?;
    let groups = serde_json::to_value(letters::groups(&mut connection, None, 10).await?)?;
    println!("  dead letters by cause: {groups}");
    let group = groups[0]["group"].as_str().context("a group")?.to_owned();
    let job = EventId::generate().0;
    connection
        .transaction::<_, jaego_pg::StoreError, _>(async |connection| {
            redrives::order(connection, job, "operator", 50.0, &Chosen::Group(group)).await.map(drop)
        })
        .await?;
    dead_letters.redrive_ordered();

    let processed = "SELECT count(*) AS count FROM dead_letters WHERE status = 'processed'";
    wait_until("it to be processed", SOON, async || {
        (count(&receiver, processed).await.unwrap_or(0) == 1).then_some(())
    })
    .await;
    println!("4. Processed: nothing was lost, and nothing was done twice.");
    stop.cancel();
    Ok(())
}
