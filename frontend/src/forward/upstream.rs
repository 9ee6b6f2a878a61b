//! Sends one request to a service, with bounds on concurrency, size and time.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures::{StreamExt as _, stream};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::trace_of;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Shorter than the timeout of an answer, so that an unreachable service is reported soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum idle time of a connection in the pool. The services close theirs after 5 s of idleness, and a request that
/// is sent while its connection is being closed gets no answer.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// `Retry-After` of the answer when a service is unreachable, seconds.
const RETRY_AFTER_S: u32 = 2;
/// Maximum size of an answer that is kept in memory until it has been read. A page of a list is far smaller.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
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

    /// Sends the request, and reads the answer within the same time. The answer's own reader may be slow without
    /// keeping others from the service.
    pub async fn send(&self, request: &HttpRequest, body: Bytes, to: Target<'_>) -> Result<HttpResponse, Problem> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| {
            self.failed("overloaded");
            let detail = format!("Too many requests to {} are in flight; try again in a moment.", self.name);
            Problem::new(ProblemKind::Overloaded, detail).with("service", &self.name)
        })?;
        let may_stream = to.token.is_some();
        let sending = self.request(request, body, to)?.send();
        let deadline = Instant::now() + self.timeout;
        let mut answer = match timeout_at(deadline, sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_connect() => {
                tracing::warn!(service = self.name, error = cause(error), "a service cannot be reached");
                return Err(self.away("unreachable", "cannot be reached now"));
            }
            Ok(Err(error)) => return Err(self.cut_off(error)),
            Err(_) => return Err(self.late()),
        };
        let body = match timeout_at(deadline, read(&mut answer)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(self.cut_off(error)),
            Err(_) => return Err(self.late()),
        };
        match body {
            Body::Whole(bytes) if bytes.is_empty() => Ok(head(&answer).finish()),
            Body::Whole(bytes) => Ok(head(&answer).body(bytes)),
            Body::Begun(begun) if may_stream => Ok(self.stream(answer, begun, permit)),
            Body::Begun(_) => {
                tracing::warn!(service = self.name, "a service's response to a shopper is too large");
                Err(self.away("too-large", "gave an answer that is too large"))
            }
        }
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

    /// Operators may ask for long lists. The permit lives as long as such an answer, which the listener ends when its
    /// reader is too slow.
    fn stream(&self, answer: reqwest::Response, begun: Bytes, permit: OwnedSemaphorePermit) -> HttpResponse {
        let mut response = head(&answer);
        let (service, wait) = (self.name.clone(), self.timeout);
        let rest = stream::try_unfold((answer, permit), move |(mut answer, permit)| {
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
        let begun = stream::once(std::future::ready(Ok::<_, std::io::Error>(begun)));
        response.streaming(Box::pin(begun.chain(rest)))
    }

    fn cut_off(&self, error: reqwest::Error) -> Problem {
        tracing::warn!(service = self.name, error = cause(error), "a service's response was cut off");
        self.away("cut-off", "broke off its answer; the request may have been carried out")
    }

    fn late(&self) -> Problem {
        tracing::warn!(service = self.name, "a service did not answer in time");
        self.away("timeout", "did not answer in time; it is not known whether the request was carried out")
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

/// The body of an answer.
enum Body {
    Whole(Bytes),
    /// There is more of it.
    Begun(Bytes),
}

/// Reads the body up to [`ANSWER_BYTES_MAX`].
async fn read(answer: &mut reqwest::Response) -> reqwest::Result<Body> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Ok(Body::Begun(body.freeze()));
        }
    }
    Ok(Body::Whole(body.freeze()))
}

/// Status and headers of an answer.
fn head(answer: &reqwest::Response) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    // Answers hold operator data or current stock, which no cache may keep, unless they say otherwise.
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    for name in ANSWER_HEADERS {
        let value = answer.headers().get(name).map(reqwest::header::HeaderValue::as_bytes);
        if let Some(value) = value.and_then(|bytes| header::HeaderValue::from_bytes(bytes).ok()) {
            response.insert_header((name, value));
        }
    }
    response
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
