//! A factory that answers at once and counts the requests that it receives.

use std::{
    collections::HashSet,
    net::{SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    web::{self, Bytes, Data},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Serve;

/// The answer of the known factory.
const ANSWER: &str = r#"{"data":{"id":"5b0c6ad6-7f0e-4d6f-9d0a-2a0f3b1c9e11","reqestor":"bench","data":{}}}"#;

/// A received request.
#[derive(Debug)]
pub struct Arrival {
    pub at: Instant,
    pub sku: String,
    /// The quantity, as sent.
    pub count: String,
    pub callback_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wanted {
    message_attribute_product_id: String,
    message_attribute_product_cnt: String,
    callback_url: String,
}

#[derive(Default)]
struct Factory {
    // Idempotency keys of all requests so far.
    keys: Mutex<HashSet<String>>,
    arrivals: Option<mpsc::Sender<Arrival>>,
}

pub(super) async fn serve(wanted: &Serve) -> anyhow::Result<()> {
    let listener = TcpListener::bind(wanted.listen)?;
    Ok(server(listener, Factory::default())?.await?)
}

/// Starts a factory in this process that reports each request; it stops with its handle.
pub fn listen(arrivals: mpsc::Sender<Arrival>) -> anyhow::Result<(SocketAddr, Server)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((address, server(listener, Factory { arrivals: Some(arrivals), ..Factory::default() })?))
}

fn server(listener: TcpListener, factory: Factory) -> std::io::Result<Server> {
    let factory = Data::new(factory);
    let app = move || {
        App::new()
            .app_data(factory.clone())
            .route("/", web::get().to(HttpResponse::Ok))
            .route("/count", web::get().to(count))
            .route("/api/manufactures", web::post().to(post))
    };
    Ok(HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run())
}

async fn count(factory: Data<Factory>) -> HttpResponse {
    HttpResponse::Ok().json(factory.keys.lock().unwrap_or_else(PoisonError::into_inner).len())
}

async fn post(factory: Data<Factory>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let at = Instant::now();
    let Ok(wanted) = serde_json::from_slice::<Wanted>(&body) else { return HttpResponse::BadRequest().finish() };
    let key = request.headers().get("Idempotency-Key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    factory.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
    if let Some(arrivals) = &factory.arrivals {
        let arrival = Arrival {
            at,
            sku: wanted.message_attribute_product_id,
            count: wanted.message_attribute_product_cnt,
            callback_url: wanted.callback_url,
        };
        // If no one receives any more, the measurement is over.
        arrivals.try_send(arrival).ok();
    }
    HttpResponse::Created().content_type("application/json").body(ANSWER)
}
