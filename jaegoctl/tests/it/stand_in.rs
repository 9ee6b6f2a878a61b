//! Dead letters according to the contract, in memory, with what the real services do only rarely: a redrive
//! that stops half-way, fails again, or is polled while its service is away.

use std::sync::{Mutex, MutexGuard};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Data, Json, Path, Query},
};
use serde::Deserialize;
use serde_json::{Value, json};

const TOKEN: &str = "the-operator";
/// Group number in the ids of redrives.
pub(crate) const JOBS: u32 = 0x10b5;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) letters: Vec<Value>,
    pub(crate) redrives: Vec<Value>,
    pub(crate) discards: Vec<Value>,
    /// Number of messages of each redrive that fail again.
    pub(crate) fail_again: usize,
    /// Number of next requests that are answered with 503.
    pub(crate) away: usize,
    /// Redrives stop half-way.
    pub(crate) stuck: bool,
    polls: usize,
}

/// A server with one service's dead letters.
pub(crate) struct StandIn {
    pub(crate) url: String,
    state: Data<Mutex<State>>,
    server: ServerHandle,
}

impl StandIn {
    pub(crate) fn start(letters: Vec<Value>) -> Self {
        let state = Data::new(Mutex::new(State { letters, ..State::default() }));
        let shared = state.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .route("/api/v1/dead-letters", web::get().to(list))
                .route("/api/v1/dead-letters/groups", web::get().to(groups))
                .route("/api/v1/dead-letters/redrive", web::post().to(redrive))
                .route("/api/v1/dead-letters/redrives/{id}", web::get().to(job))
                .route("/api/v1/dead-letters/{id}", web::get().to(show))
                .route("/api/v1/dead-letters/discard", web::post().to(discard))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, state, server: handle }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}

/// The id of dead letter `number` of a group, a UUID.
pub(crate) fn id(group: u32, number: usize) -> String {
    format!("{group:08x}-0000-7000-8000-{number:012x}")
}

/// `count` dead letters of one queue and cause.
pub(crate) fn letters(queue: &str, group: u32, count: usize) -> Vec<Value> {
    let letter = |number| {
        json!({
            "id": id(group, number), "queue": queue, "group": format!("group-{group}"), "status": "waiting",
            "reason": "handler-failed", "attempts": 6, "error": "no such\u{1b}[2J product", "message_id": "m",
            "body": "{\"data\":{\"sku\":\"CP-502101\"}}", "body_encoding": "utf-8",
            "first_failed_at": "2026-11-22T21:13:58Z", "last_failed_at": "2026-11-22T21:14:58Z",
        })
    };
    (0..count).map(letter).collect()
}

fn refused(request: &HttpRequest, state: &mut State) -> Option<HttpResponse> {
    let token = request.headers().get("Authorization").and_then(|value| value.to_str().ok());
    if token != Some(&format!("Bearer {TOKEN}")) {
        return Some(HttpResponse::Unauthorized().json(json!({"title": "Credentials are missing or unknown"})));
    }
    if state.away > 0 {
        state.away -= 1;
        return Some(HttpResponse::ServiceUnavailable().body("no upstream"));
    }
    None
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<usize>,
    queue: Option<String>,
    group: Option<String>,
    status: Option<String>,
}

async fn list(request: HttpRequest, state: Data<Mutex<State>>, query: Query<ListQuery>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if let Some(answer) = refused(&request, &mut state) {
        return answer;
    }
    let fits = |letter: &&Value| {
        letter["status"] == query.status.as_deref().unwrap_or("waiting")
            && query.queue.as_ref().is_none_or(|queue| letter["queue"] == queue.as_str())
            && query.group.as_ref().is_none_or(|group| letter["group"] == group.as_str())
    };
    let (from, limit) = (query.cursor.unwrap_or_default(), query.limit.unwrap_or(50));
    assert!((1..=200).contains(&limit), "{limit}");
    let all: Vec<&Value> = state.letters.iter().filter(fits).collect();
    let next = (from + limit < all.len()).then(|| (from + limit).to_string());
    let items: Vec<&Value> = all.into_iter().skip(from).take(limit).collect();
    HttpResponse::Ok().json(json!({"items": items, "next_cursor": next}))
}

async fn show(request: HttpRequest, state: Data<Mutex<State>>, id: Path<String>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if let Some(answer) = refused(&request, &mut state) {
        return answer;
    }
    match state.letters.iter().find(|letter| letter["id"] == id.as_str()) {
        Some(letter) => HttpResponse::Ok().json(letter),
        None => HttpResponse::NotFound().json(json!({"title": "Not found", "status": 404})),
    }
}

async fn groups(request: HttpRequest, state: Data<Mutex<State>>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if let Some(answer) = refused(&request, &mut state) {
        return answer;
    }
    let mut groups: Vec<Value> = Vec::new();
    for letter in &state.letters {
        match groups.iter_mut().find(|group| group["group"] == letter["group"]) {
            Some(group) => group["count"] = json!(group["count"].as_u64().unwrap() + 1),
            None => groups.push(json!({
                "group": letter["group"], "queue": letter["queue"], "reason": letter["reason"], "count": 1,
                "redriving": 0,
                "cause": letter["error"], "newest": {"id": letter["id"], "error": letter["error"]},
                "factory_id": null, "first_failed_at": letter["first_failed_at"],
                "last_failed_at": letter["last_failed_at"],
            })),
        }
    }
    HttpResponse::Ok().json(json!({"items": groups, "next_cursor": null}))
}

async fn redrive(request: HttpRequest, state: Data<Mutex<State>>, body: Json<Value>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if let Some(answer) = refused(&request, &mut state) {
        return answer;
    }
    state.redrives.push(body.0);
    state.polls = 0;
    HttpResponse::Accepted().json(json!({"id": id(JOBS, state.redrives.len())}))
}

/// Each poll advances the redrive by a third.
async fn job(request: HttpRequest, state: Data<Mutex<State>>, id: Path<String>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if let Some(answer) = refused(&request, &mut state) {
        return answer;
    }
    let number: usize = usize::from_str_radix(&id[id.len() - 12..], 16).unwrap();
    let what = &state.redrives[number - 1];
    let total = match what["ids"].as_array() {
        Some(ids) => ids.len(),
        None => state.letters.iter().filter(|letter| letter["group"] == what["group"]).count(),
    };
    state.polls += 1;
    let processed = if state.stuck { total / 2 } else { (total * state.polls).div_ceil(3).min(total) };
    let failed = if processed == total { state.fail_again } else { 0 };
    HttpResponse::Ok().json(json!({
        "id": *id, "total": total, "pending": total - processed, "processed": processed - failed,
        "failed_again": failed, "discarded": 0, "done": processed == total,
    }))
}

async fn discard(request: HttpRequest, state: Data<Mutex<State>>, body: Json<Value>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if let Some(answer) = refused(&request, &mut state) {
        return answer;
    }
    let ids = body["ids"].as_array().unwrap().clone();
    state.letters.retain(|letter| !ids.contains(&letter["id"]));
    state.discards.push(body.0);
    HttpResponse::Ok().json(json!({"discarded": ids.len()}))
}

/// Environment of a command that uses these services.
pub(crate) fn environment(sales: &StandIn, production: &StandIn, restock: &StandIn) -> Vec<(&'static str, String)> {
    vec![
        ("SALES_URL", sales.url.clone()),
        ("PRODUCTION_URL", production.url.clone()),
        ("RESTOCK_URL", restock.url.clone()),
        ("OPERATOR_TOKEN", TOKEN.to_owned()),
    ]
}
