//! Makes spans of `tracing` part of a trace that arrived as text.

use jaego_contracts::trace::TraceContext;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Continues a trace in a span.
pub trait EnterSpan {
    /// Makes `span` a child of this context and returns the context to pass on: the span's own when spans are
    /// exported, otherwise this one.
    #[must_use]
    fn enter(self, span: &tracing::Span) -> Self;
}

impl EnterSpan for TraceContext {
    fn enter(self, span: &tracing::Span) -> Self {
        let parent = SpanContext::new(
            TraceId::from_bytes(self.trace_bits().to_be_bytes()),
            SpanId::from_bytes(self.span_bits().to_be_bytes()),
            if self.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() },
            true,
            TraceState::default(),
        );
        let context = opentelemetry::Context::new().with_remote_span_context(parent);
        if span.set_parent(context).is_err() {
            return self;
        }
        let context = span.context();
        let own = context.span().span_context().clone();
        if !own.is_valid() || own.trace_id().to_bytes() != self.trace_bits().to_be_bytes() {
            return self;
        }
        self.at_span(u64::from_be_bytes(own.span_id().to_bytes()))
    }
}
