//! A stub service that records its requests and gives prepared answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Size of a large answer: more than a page of products, less than the frontend refuses.
pub const LARGE_BYTES: usize = 640 * 1024;

static SPACES: [u8; 4 * LARGE_BYTES] = [b' '; 4 * LARGE_BYTES];

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query; the first segment is the listener's name.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    /// Notified by tests that hold an answer back.
    go_on: Notify,
}

pub struct Upstream {
    address: String,
    state: Arc<State>,
}

impl Upstream {
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let shared = Data::from(state.clone());
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .expect("a port");
        let address = server.addrs()[0].to_string();
        tokio::spawn(server.run());
        Self { address, state }
    }

    /// The URL of a listener, whose name appears in the recorded paths.
    pub fn url(&self, listener: &str) -> String {
        format!("http://{}/{listener}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no panic").clone()
    }

    /// The only request since the last call.
    #[track_caller]
    pub fn one(&self) -> Seen {
        let seen = std::mem::take(&mut *self.state.seen.lock().expect("no panic"));
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Releases one answer that is held back.
    pub fn go_on(&self) {
        self.state.go_on.notify_one();
    }
}

/// The answer depends on the last part of the path.
async fn answer(request: HttpRequest, state: Data<State>, body: Bytes) -> HttpResponse {
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap_or("?").to_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: headers.collect(),
        body: body.to_vec(),
    };
    state.seen.lock().expect("no panic").push(seen);
    match request.path().rsplit('/').next().unwrap_or_default() {
        "slow" => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            HttpResponse::Ok().finish()
        }
        "held" => {
            state.go_on.notified().await;
            HttpResponse::Ok().json(json!({}))
        }
        "large" => HttpResponse::Ok().body(&SPACES[..LARGE_BYTES]),
        _ if request.path().contains("/huge") => HttpResponse::Ok().body(SPACES.as_slice()),
        // One part at once, the rest (or an aborted connection) on the test's notification.
        end @ ("parts" | "broken" | "large-broken") => {
            let is_broken = end != "parts";
            let part =
                if end == "large-broken" { Bytes::from_static(&SPACES[..2 * LARGE_BYTES]) } else { "first,".into() };
            let first = futures::stream::once(async { Ok::<_, std::io::Error>(part) });
            let state = state.clone();
            let second = futures::stream::once(async move {
                state.go_on.notified().await;
                if is_broken { Err(std::io::Error::other("gone")) } else { Ok(Bytes::from_static(b"second")) }
            });
            HttpResponse::Ok().content_type("text/csv").streaming(Box::pin(first.chain(second)))
        }
        "redirect" => HttpResponse::Found().insert_header(("location", "http://127.0.0.1:1/")).finish(),
        "problem" => HttpResponse::Conflict()
            .content_type("application/problem+json")
            .insert_header(("retry-after", "7"))
            .body(json!({ "type": "/problems/conflict", "detail": "theirs" }).to_string()),
        _ => HttpResponse::Created()
            .insert_header(("etag", "\"7\""))
            .insert_header(("idempotency-replayed", "true"))
            .insert_header(("content-disposition", "attachment; filename=a.csv"))
            .insert_header(("set-cookie", "a=b"))
            .insert_header(("server", "theirs"))
            .insert_header(("access-control-allow-origin", "*"))
            .insert_header(("content-security-policy", "default-src *"))
            .json(echo(&body)),
    }
}

fn echo(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}
