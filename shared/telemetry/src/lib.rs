//! Logs (structured, to standard output), metrics (Prometheus) and traces (OTLP when configured).

pub mod readiness;
pub mod settings;
mod span;

use std::sync::OnceLock;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, SdkMeterProvider, Stream};
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Encoder, Registry, TextEncoder};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use span::EnterSpan;

use crate::settings::Telemetry;

/// Bucket bounds of duration histograms, seconds.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

static REGISTRY: OnceLock<Registry> = OnceLock::new();
static TRACES: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Sets everything up once per process; later calls do nothing. Not to be called from an async thread: the exporter
/// starts a thread of its own.
pub fn init(service: &'static str, settings: &Telemetry) -> anyhow::Result<()> {
    if REGISTRY.get().is_some() {
        return Ok(());
    }
    let resource = Resource::builder().with_service_name(service).build();
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
    let in_seconds = |instrument: &Instrument| {
        let buckets = Aggregation::ExplicitBucketHistogram { boundaries: SECONDS.to_vec(), record_min_max: false };
        (instrument.unit() == "s").then(|| Stream::builder().with_aggregation(buckets).build().ok()).flatten()
    };
    let meters =
        SdkMeterProvider::builder().with_reader(exporter).with_resource(resource.clone()).with_view(in_seconds).build();
    opentelemetry::global::set_meter_provider(meters);
    if REGISTRY.set(registry).is_err() {
        return Ok(());
    }

    let traces = if settings.otlp_endpoint.is_empty() {
        None
    } else {
        let endpoint = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .build()
            .context("telemetry.otlp_endpoint")?;
        Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
    };
    let spans = traces.as_ref().map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
    if let Some(provider) = traces {
        // Kept for the flush at the end.
        drop(TRACES.set(provider));
    }
    // The code that uses a connection logs its failures. lapin would log each of them again, and the whole body of
    // every event that has no subscriber. The HTTP dispatcher logs as an error whatever a client sends that is not HTTP.
    // A filter in the settings that names one of them takes precedence.
    let filter: EnvFilter =
        format!("lapin=off,actix_http::h1::dispatcher=off,{}", settings.log).parse().context("telemetry.log")?;
    let lines = tracing_subscriber::fmt::layer();
    let lines = if settings.log_format == "json" {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    // Fails, harmlessly, when a test has already set a subscriber.
    drop(tracing_subscriber::registry().with(spans).with(filter).with(lines).try_init());
    Ok(())
}

/// The metrics in Prometheus' text format.
pub fn metrics_text() -> anyhow::Result<String> {
    let registry = REGISTRY.get().context("telemetry is not set up")?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(String::from_utf8(text)?)
}

/// Exports the remaining spans and shuts the exporter down.
pub fn flush() {
    if let Some(provider) = TRACES.get()
        && let Err(error) = provider.shutdown()
    {
        tracing::warn!(%error, "some spans were not exported");
    }
}
