//! Sends one request to a service, with bounds on concurrency, size and time.

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

/// Shorter than the timeout of an answer, so that an unreachable service is reported soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum idle time of a connection in the pool. The services close theirs after 5 s of idleness, and a request that
/// is sent while its connection is being closed gets no answer.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// `Retry-After` of the answer when a service is unreachable, seconds.
const RETRY_AFTER_S: u32 = 2;
/// Maximum length of a query.
const QUERY_BYTES_MAX: usize = 2048;

/// Request headers that are forwarded. No cookie, no address, nothing that a proxy would trust.
const REQUEST_HEADERS: [&str; 5] = ["idempotency-key", "if-match", "content-type", "accept", "accept-language"];
/// Answer headers that are returned.
const ANSWER_HEADERS: [&str; 6] =
    ["etag", "idempotency-replayed", "retry-after", "content-type", "content-disposition", "cache-control"];

/// The client for all services: each client holds a copy of all public authorities. One request stays one request: it
/// follows no redirect, sends nothing twice and uses no proxy.
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

pub struct Upstream {
    client: reqwest::Client,
    timeout: Duration,
    in_flight: Arc<Semaphore>,
    name: String,
    failures: Counter<u64>,
}

/// Destination and credentials of a request.
pub struct Target<'a> {
    /// Base URL, with or without a trailing slash.
    pub base_url: &'a str,
    /// Path, which begins with a slash and needs no escapes.
    pub path: &'a str,
    /// The operator's token, if the destination requires one.
    pub token: Option<&'a str>,
    /// Further headers.
    pub further: &'a [(&'static str, &'a str)],
}

impl Upstream {
    /// `name` stands in the problem that is returned when the service is unreachable.
    pub fn new(client: reqwest::Client, name: String, wait: Duration, in_flight_max: usize) -> Self {
        let failures = opentelemetry::global::meter("jaego")
            .u64_counter("jaego_forward_failures")
            .with_description("Requests that a service did not answer, by service and reason")
            .build();
        Self { client, timeout: wait, in_flight: Arc::new(Semaphore::new(in_flight_max)), name, failures }
    }

    /// Sends the request and streams the body of the answer.
    pub async fn send(&self, request: &HttpRequest, body: Bytes, to: Target<'_>) -> Result<HttpResponse, Problem> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| {
            self.failed("overloaded");
            let detail = format!("Too many requests to {} are in flight; try again in a moment.", self.name);
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
                return Err(
                    self.away("timeout", "did not answer in time; it is not known whether the request was carried out")
                );
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
            // Of several headers of one name the first is used, as the services do.
            if let Some(value) = request.headers().get(name) {
                sent = sent.header(name, value.as_bytes());
            }
        }
        sent = sent.header("traceparent", trace_of(request).to_string());
        for (name, value) in to.further {
            sent = sent.header(*name, *value);
        }
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
        // Answers hold operator data or current stock, which no cache may keep.
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
        // The permit lives as long as the answer: one that is read slowly is still in flight.
        let body = stream::try_unfold((answer, permit), move |(mut answer, permit)| {
            let service = service.clone();
            async move {
                match timeout(wait, answer.chunk()).await {
                    Ok(Ok(chunk)) => Ok(chunk.map(|bytes| (bytes, (answer, permit)))),
                    Ok(Err(error)) => {
                        tracing::warn!(service, error = cause(error), "a service's response was cut off");
                        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
                    }
                    Err(_) => {
                        tracing::warn!(service, "a service's response stalled");
                        Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
                    }
                }
            }
        });
        response.streaming(Box::pin(body))
    }

    fn away(&self, reason: &'static str, what: &str) -> Problem {
        self.failed(reason);
        let detail = format!("{} {what}. Try again in a moment.", self.name);
        Problem::new(ProblemKind::Unavailable, detail).retry_after(RETRY_AFTER_S).with("service", &self.name)
    }

    fn failed(&self, reason: &'static str) {
        self.failures.add(1, &[KeyValue::new("service", self.name.clone()), KeyValue::new("reason", reason)]);
    }
}

/// The error with all its causes, without the URL.
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
