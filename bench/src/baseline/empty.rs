//! An HTTP server that reads a body, answers with as many bytes as an order's answer has, and does nothing else.

use actix_web::{
    App, HttpResponse, HttpServer,
    web::{self, Bytes},
};

use super::Serve;
use super::WORKERS;

/// Same length as the answer to an order of one line.
const ANSWER: &str = r#"{"id":"019ac9f0-8a4c-7f02-9a43-1f6d8f6b0c11","status":"confirmed","customer":null,"lines":[{"sku":"HOT-0000","quantity":1,"filled":1,"unit_price":{"amount":19900,"currency":"KRW"},"restock_eta":null}],"total":{"amount":19900,"currency":"KRW"},"replenishment_ids":[],"created_at":"2026-01-01T00:00:00.000000Z"}"#;

pub(super) async fn serve(wanted: &Serve) -> anyhow::Result<()> {
    let app = || {
        App::new()
            .route("/", web::get().to(HttpResponse::Ok))
            .route("/api/v1/orders", web::post().to(post))
            .app_data(web::PayloadConfig::new(64 * 1024))
    };
    Ok(HttpServer::new(app).workers(WORKERS).bind(wanted.listen)?.run().await?)
}

async fn post(_: Bytes) -> HttpResponse {
    HttpResponse::Created().content_type("application/json").body(ANSWER)
}
