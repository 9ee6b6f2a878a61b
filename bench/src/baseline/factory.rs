//! A factory that answers at once, and tells how many requests it has got.

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

use crate::cli::Serve;

/// As the known factory answers.
const ANSWER: &str = r#"{"data":{"id":"5b0c6ad6-7f0e-4d6f-9d0a-2a0f3b1c9e11","reqestor":"bench","data":{}}}"#;

/// A request that has come.
#[derive(Debug)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// What is wanted.
    pub sku: String,
    /// How much of it.
    pub count: String,
    /// Where to call back.
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
    // Of all requests that have come.
    keys: Mutex<HashSet<String>>,
    tell: Option<mpsc::Sender<Arrival>>,
}

pub(super) async fn serve(wanted: &Serve) -> anyhow::Result<()> {
    let listener = TcpListener::bind(wanted.listen)?;
    Ok(server(listener, Factory::default())?.await?)
}

/// A factory in this process that tells of each request; it ends with its handle.
pub fn listen(tell: mpsc::Sender<Arrival>) -> anyhow::Result<(SocketAddr, Server)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((address, server(listener, Factory { tell: Some(tell), ..Factory::default() })?))
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
    if let Some(tell) = &factory.tell {
        let arrival = Arrival {
            at,
            sku: wanted.message_attribute_product_id,
            count: wanted.message_attribute_product_cnt,
            callback_url: wanted.callback_url,
        };
        // Nobody listens any more: the measurement is over.
        tell.try_send(arrival).ok();
    }
    HttpResponse::Created().content_type("application/json").body(ANSWER)
}
