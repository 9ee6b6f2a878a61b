//! Middleware around every request: trace context, span, duration, and complete problem bodies.

use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use jaego_contracts::trace::TraceContext;
use jaego_telemetry::EnterSpan as _;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use tracing::Instrument;

use crate::problem::{Problem, ProblemKind};

/// Duration of requests, seconds, by method, route and status.
#[derive(Clone)]
pub struct HttpMetrics(Histogram<f64>);

impl Default for HttpMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpMetrics {
    /// Registers the histogram with the process's meter.
    pub fn new() -> Self {
        let meter = opentelemetry::global::meter("jaego");
        let histogram = meter.f64_histogram("http.server.request.duration").with_unit("s");
        Self(histogram.with_description("Duration of HTTP requests").build())
    }
}

/// Wraps every request. The application provides [`HttpMetrics`] as application data; without it nothing is measured.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let begun = Instant::now();
    let method = request.method().clone();
    // The pattern, never the path: a path may contain a callback token, and the number of labels must stay small.
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace = TraceContext::continue_from(parent);
    let span = tracing::info_span!("http", %method, route);
    let trace = trace.enter(&span);
    request.extensions_mut().insert(trace);
    let metrics = request.app_data::<Data<HttpMetrics>>().cloned();

    let response = next.call(request).instrument(span.clone()).await?;
    let response = complete(response.map_into_boxed_body());

    let status = response.status();
    let elapsed = begun.elapsed();
    if let Some(metrics) = metrics {
        let labels = [
            KeyValue::new("http.request.method", label_of(&method)),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ];
        metrics.0.record(elapsed.as_secs_f64(), &labels);
    }
    tracing::debug!(parent: &span, status = status.as_u16(), duration_ms = elapsed.as_secs_f64() * 1000.0, trace_id = trace.trace_id(), "answered");
    Ok(response)
}

/// Serves the request as one for `path`. Must come before [`observe`], which knows requests by their routes.
pub fn serve_as(request: &mut ServiceRequest, path: &str) {
    let Ok(uri) = path.parse() else { return };
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
}

/// Turns errors into problems with `instance` and `trace_id`, including those of actix itself.
fn complete(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let Some(error) = response.response().error() else { return response };
    let problem = error.as_error::<Problem>().cloned().unwrap_or_else(|| of_actix(response.status(), error));
    let request = response.request().clone();
    let answer = problem.respond_to(&request);
    ServiceResponse::new(request, answer)
}

/// The problem for a request that actix itself refuses.
fn of_actix(status: StatusCode, error: &actix_web::Error) -> Problem {
    let kind = match status.as_u16() {
        404 => ProblemKind::NotFound,
        405 => ProblemKind::MethodNotAllowed,
        413 => ProblemKind::PayloadTooLarge,
        415 => ProblemKind::UnsupportedMediaType,
        400..=499 => ProblemKind::MalformedRequest,
        _ => return Problem::internal(error),
    };
    Problem::new(kind, error.to_string())
}

/// Callers can invent methods, and the number of labels must stay small.
fn label_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
