//! One transaction per callback: the same token checks, requests, answers and rows as restock-service, in two round
//! trips and COMMIT. It publishes nothing.

use std::sync::Arc;

use actix_web::{
    App, HttpResponse, HttpServer,
    web::{self, Bytes, Data, Path},
};
use anyhow::Context as _;
use jaego_contracts::callback::{CallbackClaims, CallbackVerifier, redact};
use jaego_contracts::ids::{Quantity, ReceiptId};
use jaego_contracts::stock::{RECEIVED, StockReceived};
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{CONTENT_TYPE, OutgoingEvent, topology};
use jaego_postbox::outbox;
use serde::Deserialize;
use tokio_postgres::types::ToSql;

use super::Serve;
use super::{WORKERS, pool};

const KNOW: usize = 0;
const LOCK: usize = 1;
const FIRST: usize = 2;
const QUARANTINED: usize = 3;
const RECEIPT: usize = 4;
const ADD: usize = 5;
const DELIVERY: usize = 6;
const EVENT: usize = 7;

const SQL: [&str; 8] = [
    "INSERT INTO production_requests (id, sku, factory_id, quantity) VALUES ($1::text::uuid, $2, $3, $4) \
     ON CONFLICT DO NOTHING",
    "SELECT quantity - received, cancelled_at IS NOT NULL FROM production_requests WHERE id = $1::text::uuid FOR UPDATE",
    "SELECT receipt_id::text, quantity_received FROM deliveries WHERE jti = $1 AND delivery_id IS NULL",
    "SELECT count(*) FROM quarantine WHERE jti = $1",
    "INSERT INTO receipts (id, request_id, sku, quantity, factory_id, jti, received_at, traceparent) \
     VALUES ($1::text::uuid, $2::text::uuid, $3, $4, $5, $6, $7::text::timestamptz, $8)",
    "UPDATE production_requests SET received = received + $2 WHERE id = $1::text::uuid",
    "INSERT INTO deliveries (id, jti, request_id, count, outcome, receipt_id, quantity_received, quantity_quarantined, \
     completed, body, created_at) VALUES ($1::text::uuid, $2, $3::text::uuid, $4, 'received', $5::text::uuid, $4, 0, true, \
     $6, $7::text::timestamptz)",
    "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
     VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7)",
];

type Value<'a> = &'a (dyn ToSql + Sync);
type Pool = pool::Pool<{ SQL.len() }>;

#[derive(Deserialize)]
struct CallbackBody {
    #[serde(rename = "MessageAttributeProductId")]
    product: String,
    #[serde(rename = "MessageAttributeProductCnt")]
    count: String,
    #[serde(rename = "MessageAttributeFactoryId")]
    factory: String,
}

pub(super) async fn serve(wanted: &Serve) -> anyhow::Result<()> {
    let pool = Data::new(Pool::open(&wanted.database, wanted.pool, SQL).await?);
    let key = wanted.public_key.as_ref().context("callbacks need --public-key")?;
    let key = std::fs::read_to_string(key).context("cannot read the public key")?;
    let verifier = Data::from(Arc::new(CallbackVerifier::from_pems([key.as_str()])?));
    let app = move || {
        App::new()
            .app_data(pool.clone())
            .app_data(verifier.clone())
            .app_data(web::PayloadConfig::new(64 * 1024))
            .route("/", web::get().to(HttpResponse::Ok))
            .route("/callbacks/v1/restocks/{token}", web::post().to(post))
    };
    Ok(HttpServer::new(app).workers(WORKERS).bind(wanted.listen)?.run().await?)
}

async fn post(pool: Data<Pool>, verifier: Data<CallbackVerifier>, token: Path<String>, body: Bytes) -> HttpResponse {
    let Ok(claims) = verifier.verify(&token) else { return HttpResponse::Unauthorized().finish() };
    // A client that disconnects must not leave its transaction open on a connection of the pool.
    let taken = actix_web::rt::spawn(async move { take(&pool, &claims, &body).await });
    match taken.await.map_err(anyhow::Error::from).flatten() {
        Ok(Some(answer)) => HttpResponse::Ok().content_type("application/json").body(answer),
        Ok(None) => HttpResponse::Conflict().finish(),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error:#}")),
    }
}

/// Returns the answer; None unless the callback is the first and complete delivery, because nothing else is compared.
async fn take(pool: &Pool, claims: &CallbackClaims, body: &[u8]) -> anyhow::Result<Option<String>> {
    let text = std::str::from_utf8(body)?;
    let body: CallbackBody = serde_json::from_str(text)?;
    let (sku, factory) = (claims.sku.as_str(), claims.fid.as_str());
    let count = Quantity::try_from(body.count.parse::<i64>()?)?;
    if body.product != sku || body.factory != factory {
        return Ok(None);
    }
    let (request, units) = (claims.rid.to_string(), count.get());
    let kept = redact(text);
    let lent = pool.get().await?;
    let (client, sql) = (&lent.client, &lent.statements);

    let asked = claims.qty.get();
    let know: [Value<'_>; 4] = [&request, &sku, &factory, &asked];
    let (lock, token): ([Value<'_>; 1], [Value<'_>; 1]) = ([&request], [&claims.jti]);
    let (begun, known, locked, first, quarantined) = futures::join!(
        client.batch_execute("BEGIN"),
        client.execute(&sql[KNOW], &know),
        client.query_one(&sql[LOCK], &lock),
        client.query_opt(&sql[FIRST], &token),
        client.query_one(&sql[QUARANTINED], &token),
    );
    begun?;
    known?;
    quarantined?;
    let (locked, first) = (locked?, first?);
    if let Some(first) = first {
        client.batch_execute("ROLLBACK").await?;
        let (receipt, units): (&str, i64) = (first.get(0), first.get(1));
        return Ok(Some(answer("duplicate", receipt, sku, units)));
    }
    let (open, is_cancelled): (i64, bool) = (locked.get(0), locked.get(1));
    if is_cancelled || units > open {
        client.batch_execute("ROLLBACK").await?;
        return Ok(None);
    }
    let (receipt, trace, now) = (ReceiptId::generate(), TraceContext::new_root(), chrono::Utc::now());
    let data = StockReceived {
        receipt_id: receipt,
        request_id: claims.rid,
        sku: claims.sku.clone(),
        quantity: count,
        factory_id: claims.fid.clone(),
        received_at: now,
    };
    let event = OutgoingEvent::new(&RECEIVED, "restock-service", &receipt.to_string(), trace, &data);
    let (receipt, delivery, trace, at, headers) = (
        receipt.to_string(),
        uuid::Uuid::now_v7().to_string(),
        trace.to_string(),
        now.to_rfc3339(),
        outbox::headers(&event).to_string(),
    );
    let receipt_values: [Value<'_>; 8] = [&receipt, &request, &sku, &units, &factory, &claims.jti, &at, &trace];
    let add_values: [Value<'_>; 2] = [&request, &units];
    let delivery_values: [Value<'_>; 7] = [&delivery, &claims.jti, &request, &units, &receipt, &kept, &at];
    let event_values: [Value<'_>; 7] = [
        &event.id.to_string(),
        &topology::EVENTS,
        &event.kind.routing_key,
        &CONTENT_TYPE,
        &headers,
        &event.body,
        &event.kind.subscriber_required,
    ];
    let written = futures::try_join!(
        client.execute(&sql[RECEIPT], &receipt_values),
        client.execute(&sql[ADD], &add_values),
        client.execute(&sql[DELIVERY], &delivery_values),
        client.execute(&sql[EVENT], &event_values),
    );
    if let Err(error) = written {
        client.batch_execute("ROLLBACK").await?;
        return Err(error).context("cannot write a receipt");
    }
    client.batch_execute("COMMIT").await?;
    Ok(Some(answer("received", &receipt, sku, units)))
}

fn answer(status: &str, receipt: &str, sku: &str, units: i64) -> String {
    serde_json::json!({"status": status, "receipt_id": receipt, "sku": sku, "quantity": units}).to_string()
}
