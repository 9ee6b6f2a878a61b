//! One transaction per order: the same requests, answers and rows as sales-service, without its batches, and without
//! publishing its outbox.
//!
//! Two round trips and COMMIT. The rows that need no lock are written first and the figures last, so that a hot
//! product's row is locked as briefly as possible for an answer that is checked before COMMIT.

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    web::{self, Bytes, Data},
};
use anyhow::{Context as _, bail};
use jaego_contracts::ids::{MovementId, OrderId, Quantity, Sku};
use jaego_contracts::order::{CONFIRMED, OrderLineSummary, OrderSummary, OrdersChanged};
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{CONTENT_TYPE, OutgoingEvent, topology};
use jaego_postbox::outbox;
use jaego_service::idempotency::fingerprint;
use serde::{Deserialize, Serialize};
use tokio_postgres::{error::SqlState, types::ToSql};

use super::Serve;
use super::{WORKERS, pool};

const PRODUCT: usize = 0;
const ORDER: usize = 1;
const LINE: usize = 2;
const EVENT: usize = 3;
const TAKE: usize = 4;
const KEPT: usize = 5;

const SQL: [&str; 6] = [
    "SELECT price, shortage FROM products WHERE sku = $1 AND on_sale",
    "INSERT INTO orders (id, status, customer, total, traceparent, created_at, key_hash, fingerprint, answer_status, answer) \
     VALUES ($1::text::uuid, 'confirmed', $2, $3, $4, $5::text::timestamptz, \
     sha256(convert_to('POST /api/v1/orders' || E'\\n\\n' || $6, 'UTF8')), $7, 201, $8)",
    "INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
     VALUES ($1::text::uuid, $2, $3, $3, 0, $4)",
    "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
     VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7)",
    "WITH taken AS (UPDATE stock SET on_hand = on_hand - $2, updated_at = now() WHERE sku = $1 AND on_hand >= $2 \
     RETURNING sku, on_hand) \
     INSERT INTO stock_movements (id, sku, cause, delta, before, after, reference, actor, at) \
     SELECT $3::text::uuid, sku, 'sale', -$2, on_hand + $2, on_hand, $4, 'shop', $5::text::timestamptz FROM taken",
    "SELECT fingerprint, answer FROM orders \
     WHERE key_hash = sha256(convert_to('POST /api/v1/orders' || E'\\n\\n' || $1, 'UTF8'))",
];

type Value<'a> = &'a (dyn ToSql + Sync);
type Pool = pool::Pool<{ SQL.len() }>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderBody {
    lines: Vec<LineBody>,
    customer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody {
    sku: Sku,
    quantity: Quantity,
}

#[derive(Serialize)]
struct Money {
    amount: i64,
    currency: &'static str,
}

impl Money {
    fn won(amount: i64) -> Self {
        Self { amount, currency: "KRW" }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    sku: &'a Sku,
    quantity: i64,
    filled: i64,
    unit_price: Money,
    restock_eta: Option<String>,
}

#[derive(Serialize)]
struct Order<'a> {
    id: OrderId,
    status: &'static str,
    customer: &'a Option<String>,
    lines: [Line<'a>; 1],
    total: Money,
    replenishment_ids: [OrderId; 0],
    created_at: &'a str,
}

/// Outcome of a request.
enum Answer {
    Created(String),
    Replayed(String),
    Refused(u16),
}

pub(super) async fn serve(wanted: &Serve) -> anyhow::Result<()> {
    let pool = Data::new(Pool::open(&wanted.database, wanted.pool, SQL).await?);
    let app = move || {
        App::new()
            .app_data(pool.clone())
            .app_data(web::PayloadConfig::new(64 * 1024))
            .route("/", web::get().to(HttpResponse::Ok))
            .route("/api/v1/orders", web::post().to(post))
    };
    Ok(HttpServer::new(app).workers(WORKERS).bind(wanted.listen)?.run().await?)
}

async fn post(pool: Data<Pool>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let key = request.headers().get("Idempotency-Key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    // A client that disconnects must not leave its transaction open on a connection of the pool.
    let taken = actix_web::rt::spawn(async move { take(&pool, &key, &body).await });
    match taken.await.map_err(anyhow::Error::from).flatten() {
        Ok(Answer::Created(order)) => HttpResponse::Created().content_type("application/json").body(order),
        Ok(Answer::Replayed(order)) => HttpResponse::Created()
            .insert_header(("Idempotency-Replayed", "true"))
            .content_type("application/json")
            .body(order),
        Ok(Answer::Refused(status)) => {
            HttpResponse::build(status.try_into().unwrap_or(actix_web::http::StatusCode::UNPROCESSABLE_ENTITY)).finish()
        }
        Err(error) => HttpResponse::InternalServerError().body(format!("{error:#}")),
    }
}

async fn take(pool: &Pool, key: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let Ok(order) = serde_json::from_slice::<OrderBody>(body) else { return Ok(Answer::Refused(422)) };
    let [line] = order.lines.as_slice() else { return Ok(Answer::Refused(422)) };
    let digest = fingerprint(body);
    let (id, movement, trace) = (OrderId::generate(), MovementId::generate(), TraceContext::new_root());
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let (sku, units) = (line.sku.as_str(), line.quantity.get());

    let lent = pool.get().await?;
    let (client, sql) = (&lent.client, &lent.statements);
    let wanted: [Value<'_>; 1] = [&sku];
    let (begun, product) = futures::join!(client.batch_execute("BEGIN"), client.query_opt(&sql[PRODUCT], &wanted));
    begun?;
    let Some(product) = product? else {
        client.batch_execute("ROLLBACK").await?;
        return Ok(Answer::Refused(422));
    };
    let price: i64 = product.get(0);
    let total = price * units;
    let answer = serde_json::to_string(&Order {
        id,
        status: "confirmed",
        customer: &order.customer,
        lines: [Line {
            sku: &line.sku,
            quantity: units,
            filled: units,
            unit_price: Money::won(price),
            restock_eta: None,
        }],
        total: Money::won(total),
        replenishment_ids: [],
        created_at: &at,
    })?;
    let summary = OrderLineSummary { sku: line.sku.clone(), quantity: units, filled: units };
    let data = OrdersChanged { orders: vec![OrderSummary { id, lines: vec![summary] }] };
    let event = OutgoingEvent::new(&CONFIRMED, "sales-service", &id.to_string(), trace, &data);
    let (id, movement, trace, headers) =
        (id.to_string(), movement.to_string(), trace.to_string(), outbox::headers(&event).to_string());
    let order_values: [Value<'_>; 8] = [&id, &order.customer, &total, &trace, &at, &key, &digest, &answer];
    let line_values: [Value<'_>; 4] = [&id, &sku, &units, &price];
    let event_values: [Value<'_>; 7] = [
        &event.id.to_string(),
        &topology::EVENTS,
        &event.kind.routing_key,
        &CONTENT_TYPE,
        &headers,
        &event.body,
        &event.kind.subscriber_required,
    ];
    let take_values: [Value<'_>; 5] = [&sku, &units, &movement, &id, &at];
    // Pipelined: PostgreSQL executes them in this order.
    let (wrote_order, wrote_line, wrote_event, took) = futures::join!(
        client.execute(&sql[ORDER], &order_values),
        client.execute(&sql[LINE], &line_values),
        client.execute(&sql[EVENT], &event_values),
        client.execute(&sql[TAKE], &take_values),
    );
    if let Err(error) = &wrote_order
        && error.code() == Some(&SqlState::UNIQUE_VIOLATION)
    {
        client.batch_execute("ROLLBACK").await?;
        let kept = client.query_one(&sql[KEPT], &[&key]).await?;
        let is_same = kept.get::<_, &[u8]>(0) == digest;
        return Ok(if is_same { Answer::Replayed(kept.get(1)) } else { Answer::Refused(422) });
    }
    for written in [wrote_order, wrote_line, wrote_event] {
        if let Err(error) = written {
            client.batch_execute("ROLLBACK").await?;
            return Err(error).context("cannot write an order");
        }
    }
    match took {
        Ok(1) => client.batch_execute("COMMIT").await?,
        Ok(_) => {
            client.batch_execute("ROLLBACK").await?;
            return Ok(Answer::Refused(409));
        }
        Err(error) => {
            client.batch_execute("ROLLBACK").await?;
            bail!("cannot take stock: {error}");
        }
    }
    Ok(Answer::Created(answer))
}
