//! A frontend under test with its surroundings.

use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use frontend::app::{PROGRAM, start_with};
use frontend::settings::Settings;
use frontend::site::Site;
use jaego_process::Running;
use jaego_settings::{Sources, load};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, ServiceSurroundings, Surroundings, VIEWER_TOKEN};
use testkit::wait_until;

use crate::upstream::Upstream;

/// Maximum wait for an effect.
pub const SOON: Duration = Duration::from_secs(120);
/// No one listens at this address.
pub const NOWHERE: &str = "http://127.0.0.1:1";

/// Content of the pages in these tests.
pub const SHOP_PAGE: &str = "<!doctype html><title>shop</title><script type=module src=/assets/shop-1.js></script>";
pub const CONSOLE_PAGE: &str = "<!doctype html><title>console</title>";

/// A frontend in this process.
pub struct Front {
    pub api: String,
    pub public: String,
    pub admin: String,
    pub client: Client,
    pub surroundings: Surroundings,
    running: Option<Running>,
    access: Access,
}

/// An access-service in this process.
pub struct Access {
    pub url: String,
    running: Option<Running>,
    _own: ServiceSurroundings,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("a body").to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts that the answer is a problem of this status and kind.
    #[track_caller]
    pub fn is_problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["type"], format!("/problems/{slug}"), "{body}");
        assert!(body["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{body}");
        body
    }
}

/// Pages as a build writes them.
pub fn site() -> Site {
    let manifest = json!({
        "index.html": { "file": "assets/shop-1.js", "isEntry": true, "imports": ["_common.js"] },
        "console.html": { "file": "assets/console-1.js", "isEntry": true, "imports": ["_common.js"] },
        "_common.js": { "file": "assets/common-1.js" },
    });
    let script = |name: &str| format!("console.log({name:?});\n").repeat(100);
    let files = [
        (".vite/manifest.json", manifest.to_string()),
        ("index.html", SHOP_PAGE.to_owned()),
        ("console.html", CONSOLE_PAGE.to_owned()),
        ("assets/shop-1.js", script("shop")),
        ("assets/shop-1.js.br", "as brotli".to_owned()),
        ("assets/shop-1.js.gz", "as gzip".to_owned()),
        ("assets/console-1.js", script("console")),
        ("assets/common-1.js", script("common")),
        ("favicon.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>".to_owned()),
    ];
    Site::of(files.map(|(path, text)| (path.to_owned(), Bytes::from(text))))
}

/// Settings by the names of their variables, without the prefix.
fn settings(mut env: Vec<(String, String)>, access: &str, changed: &[(&str, &str)]) -> Settings {
    let name = |key: &str| format!("{}__{key}", PROGRAM.env_prefix);
    for key in ["SALES_PUBLIC_URL", "SALES_URL", "PRODUCTION_URL", "RESTOCK_URL"] {
        env.push((name(&format!("SERVICES__{key}")), NOWHERE.to_owned()));
    }
    env.push((name("SESSION__SECURE"), "false".to_owned()));
    env.push((name("ACCESS__URL"), access.to_owned()));
    env.retain(|(key, _)| !changed.iter().any(|(changed, _)| *key == name(changed)));
    env.extend(changed.iter().map(|(key, value)| (name(key), (*value).to_owned())));
    let (defaults, env_prefix) = (PROGRAM.defaults, PROGRAM.env_prefix);
    load(Sources { defaults, file: None, env_prefix, env }).expect("valid settings")
}

impl Access {
    pub async fn start(surroundings: &Surroundings) -> Self {
        Self::start_with(surroundings, &[]).await
    }

    /// Starts access-service with some settings changed.
    pub async fn start_with(surroundings: &Surroundings, changed: &[(&str, &str)]) -> Self {
        let own = surroundings.access().await;
        let identity = access_service::app::IDENTITY;
        let sources = Sources {
            defaults: identity.defaults,
            file: None,
            env_prefix: identity.env_prefix,
            env: own.with(changed),
        };
        let settings: access_service::settings::Settings = load(sources).expect("valid settings");
        let migrator = own.database.migrator();
        // Migrations block a thread.
        let migrating = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(jaego_pg::migrate(&migrator, (identity.migrations)())).expect("migrated");
        });
        migrating.await.expect("migrated");
        let running = access_service::app::start(settings).await.expect("started");
        Self { url: format!("http://{}", running.listeners.api), running: Some(running), _own: own }
    }

    async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

impl Front {
    pub async fn open(changed: &[(&str, &str)]) -> Self {
        Self::open_with(Surroundings::new().await, site(), changed).await
    }

    /// Starts a frontend in front of stub services.
    pub async fn before(upstream: &Upstream, changed: &[(&str, &str)]) -> Self {
        let (public, api) = (upstream.url("public"), upstream.url("api"));
        let mut all = vec![
            ("SERVICES__SALES_PUBLIC_URL", public.as_str()),
            ("SERVICES__SALES_URL", api.as_str()),
            ("SERVICES__PRODUCTION_URL", api.as_str()),
            ("SERVICES__RESTOCK_URL", api.as_str()),
        ];
        all.retain(|(key, _)| !changed.iter().any(|(changed, _)| changed == key));
        all.extend(changed);
        Self::open(&all).await
    }

    pub async fn open_with(surroundings: Surroundings, site: Site, changed: &[(&str, &str)]) -> Self {
        let env = surroundings.frontend().await;
        Self::open_as(surroundings, env, site, changed).await
    }

    /// Starts a frontend as a user of the broker that exists already.
    pub async fn open_as(
        surroundings: Surroundings,
        env: Vec<(String, String)>,
        site: Site,
        changed: &[(&str, &str)],
    ) -> Self {
        let access = Access::start(&surroundings).await;
        Self::open_knowing(surroundings, access, env, site, changed).await
    }

    /// Starts a frontend whose access-service runs already.
    pub async fn open_knowing(
        surroundings: Surroundings,
        access: Access,
        env: Vec<(String, String)>,
        site: Site,
        changed: &[(&str, &str)],
    ) -> Self {
        let settings = settings(env, &access.url, changed);
        let running = start_with(settings, site).await.expect("started");
        let address = |address| format!("http://{address}");
        let listeners = &running.listeners;
        Self {
            api: address(listeners.api),
            public: address(listeners.public),
            admin: address(listeners.admin),
            client: testkit::http::client(Duration::from_secs(60)),
            surroundings,
            running: Some(running),
            access,
        }
    }

    /// Stops access-service.
    pub async fn stop_access(&mut self) {
        self.access.stop().await;
    }

    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.stop_access().await;
    }

    /// A request as a page of this origin sends it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.api)).header("sec-fetch-site", "same-origin")
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.expect("an answer")).await
    }

    pub async fn get_public(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.public)).send().await.expect("an answer")).await
    }

    /// Sends the request with a session.
    pub async fn get_as(&self, cookie: &str, path: &str) -> Answer {
        let request = self.request(Method::GET, path).header("cookie", cookie);
        Answer::of(request.send().await.expect("an answer")).await
    }

    pub async fn sign_in(&self, token: &str) -> Answer {
        let request = self.request(Method::POST, "/session").json(&json!({ "token": token }));
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Signs in and returns the cookie. While access-service is slow, the answer asks to try again.
    async fn cookie(&self, token: &str) -> String {
        let answer = wait_until("a sign-in that is decided", SOON, async || {
            let answer = self.sign_in(token).await;
            if answer.status == 503 { Err(answer.text()) } else { Ok(answer) }
        })
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
    }

    pub async fn operator(&self) -> String {
        self.cookie(OPERATOR_TOKEN).await
    }

    pub async fn viewer(&self) -> String {
        self.cookie(VIEWER_TOKEN).await
    }

    /// Waits until `/readyz` reports this state.
    pub async fn is(&self, status: &str) -> Value {
        wait_until(&format!("/readyz says {status}"), SOON, async || {
            let answer = self.client.get(format!("{}/readyz", self.admin)).send().await.map_err(|e| e.to_string())?;
            let body: Value = answer.json().await.map_err(|error| error.to_string())?;
            if body["status"] == status { Ok(body) } else { Err(body.to_string()) }
        })
        .await
    }

    /// Publishes an event as a service does.
    pub async fn publish(&self, routing_key: &str, data: &Value) {
        publish(&self.surroundings, routing_key, data).await;
    }
}

/// Publishes an event as a service does.
pub async fn publish(surroundings: &Surroundings, routing_key: &str, data: &Value) {
    let event = json!({
        "specversion": "1.0",
        "id": uuid::Uuid::now_v7(),
        "source": "/jaego/test",
        "type": format!("jaego.{routing_key}.v1"),
        "time": "2026-01-01T00:00:00Z",
        "data": data,
    });
    let vhost = &surroundings.vhost;
    let properties = json!({ "content_type": "application/cloudevents+json" });
    let body = event.to_string();
    let published =
        vhost.broker().publish(&vhost.name, "jaego.events", routing_key, &properties, body.as_bytes()).await;
    published.expect("published");
}

/// A browser's stream of events.
pub struct Stream {
    response: Response,
    read: String,
}

impl Stream {
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut stream = Self { response, read: String::new() };
        assert_eq!(stream.block(SOON).await.as_deref(), Some("retry: 2000"));
        stream
    }

    /// The next event that is not a ping: its name and data. None if the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        self.next_within(SOON).await.unwrap_or_else(|()| panic!("no event within {SOON:?}"))
    }

    /// Returns an error if nothing arrived within this time.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Option<(String, Value)>, ()> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(block) = tokio::time::timeout(left, self.read_block()).await else { return Err(()) };
            let Some(block) = block else { return Ok(None) };
            let Some(rest) = block.strip_prefix("event: ") else { continue };
            let (name, data) = rest.split_once("\ndata: ").expect("data");
            return Ok(Some((name.to_owned(), serde_json::from_str(data).expect("JSON"))));
        }
    }

    async fn block(&mut self, limit: Duration) -> Option<String> {
        tokio::time::timeout(limit, self.read_block()).await.expect("in time")
    }

    async fn read_block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let chunk = self.response.chunk().await.ok()??;
            self.read.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}
