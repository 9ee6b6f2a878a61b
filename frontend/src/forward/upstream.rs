//! One request to a service, within bounds: so many at once, so many bytes, so long.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures::stream;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::trace_of;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A connection is given less time than an answer: so a service that is not there is told soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection is kept for the next request. The services close theirs after 5 s without one, and a request
/// that is sent while one is being closed gets no answer.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// When a service is away, ask again after so many seconds.
const RETRY_AFTER_S: u32 = 2;
/// Longest query.
const QUERY_BYTES_MAX: usize = 2048;

/// What of a request goes on. No cookie, no address, nothing that a proxy would believe.
const REQUEST_HEADERS: [&str; 5] = ["idempotency-key", "if-match", "content-type", "accept", "accept-language"];
/// What of an answer comes back.
const ANSWER_HEADERS: [&str; 6] =
    ["etag", "idempotency-replayed", "retry-after", "content-type", "content-disposition", "cache-control"];

/// What speaks to all of them: each client has a copy of all public authorities. One request is one request: no
/// redirect is followed, nothing is sent twice, no proxy is used.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("jaego-frontend/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_MAX)
        .build()
}

/// Somewhere that requests are sent to.
pub struct Upstream {
    client: reqwest::Client,
    timeout: Duration,
    in_flight: Arc<Semaphore>,
    name: String,
    failures: Counter<u64>,
}

/// Where to, and as whom.
pub struct Target<'a> {
    /// The address, with or without a slash at its end.
    pub base_url: &'a str,
    /// The path, which begins with a slash and needs no escapes.
    pub path: &'a str,
    /// The operator's token, if it takes one.
    pub token: Option<&'a str>,
}

impl Upstream {
    /// `name` is what people are told when it is away.
    pub fn new(client: reqwest::Client, name: String, wait: Duration, in_flight_max: usize) -> Self {
        let failures = opentelemetry::global::meter("jaego")
            .u64_counter("jaego_forward_failures")
            .with_description("Requests that a service did not answer, by service and reason")
            .build();
        Self { client, timeout: wait, in_flight: Arc::new(Semaphore::new(in_flight_max)), name, failures }
    }

    /// Sends the request on; the answer's body is handed back as it comes.
    pub async fn send(&self, request: &HttpRequest, body: Bytes, to: Target<'_>) -> Result<HttpResponse, Problem> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| {
            self.failed("overloaded");
            let detail = format!("Too many requests are on their way to {}; ask again in a moment.", self.name);
            Problem::new(ProblemKind::Overloaded, detail).with("service", &self.name)
        })?;
        let sending = self.request(request, body, to)?.send();
        let answer = match timeout(self.timeout, sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(service = self.name, error = cause(error), "a service cannot be reached");
                return Err(self.away("unreachable", "cannot be reached now"));
            }
            Err(_) => {
                tracing::warn!(service = self.name, "a service did not answer in time");
                return Err(self.away("timeout", "did not answer in time; whether it did what was asked is not known"));
            }
        };
        Ok(self.answer(answer, permit))
    }

    fn request(&self, request: &HttpRequest, body: Bytes, to: Target<'_>) -> Result<reqwest::RequestBuilder, Problem> {
        let query = request.query_string();
        if query.len() > QUERY_BYTES_MAX {
            let detail = format!("The query may have at most {QUERY_BYTES_MAX} bytes.");
            return Err(Problem::new(ProblemKind::MalformedRequest, detail));
        }
        let question = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{question}{query}", to.base_url.trim_end_matches('/'), to.path);
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
            .map_err(|error| Problem::internal(&error))?;
        let mut sent = self.client.request(method, url);
        for name in REQUEST_HEADERS {
            // Of several of one name the first counts, as it does for the services.
            if let Some(value) = request.headers().get(name) {
                sent = sent.header(name, value.as_bytes());
            }
        }
        sent = sent.header("traceparent", trace_of(request).to_string());
        if let Some(token) = to.token {
            sent = sent.bearer_auth(token);
        }
        Ok(if body.is_empty() { sent } else { sent.body(body) })
    }

    fn answer(&self, answer: reqwest::Response, permit: OwnedSemaphorePermit) -> HttpResponse {
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = HttpResponse::build(status);
        let mut headers = HeaderMap::new();
        for name in ANSWER_HEADERS {
            let value = answer.headers().get(name).map(reqwest::header::HeaderValue::as_bytes);
            let value = value.and_then(|bytes| header::HeaderValue::from_bytes(bytes).ok());
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        // What operators see, and what is on the shelf now, is nothing to be kept by anybody.
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        }
        for pair in headers {
            response.insert_header(pair);
        }
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return response.finish();
        }
        let (service, wait) = (self.name.clone(), self.timeout);
        // The permit goes with the answer: one that is read slowly is on its way, too.
        let body = stream::try_unfold((answer, permit), move |(mut answer, permit)| {
            let service = service.clone();
            async move {
                match timeout(wait, answer.chunk()).await {
                    Ok(Ok(chunk)) => Ok(chunk.map(|bytes| (bytes, (answer, permit)))),
                    Ok(Err(error)) => {
                        tracing::warn!(service, error = cause(error), "a service's answer broke off");
                        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
                    }
                    Err(_) => {
                        tracing::warn!(service, "a service's answer did not go on in time");
                        Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
                    }
                }
            }
        });
        response.streaming(Box::pin(body))
    }

    fn away(&self, reason: &'static str, what: &str) -> Problem {
        self.failed(reason);
        let detail = format!("{} {what}. Ask again in a moment.", self.name);
        Problem::new(ProblemKind::Unavailable, detail).retry_after(RETRY_AFTER_S).with("service", &self.name)
    }

    fn failed(&self, reason: &'static str) {
        self.failures.add(1, &[KeyValue::new("service", self.name.clone()), KeyValue::new("reason", reason)]);
    }
}

/// Why there was no answer, down to the last cause; without the address.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
