//! The W3C trace context that accompanies every step and is stored with it as text. Source:
//! <https://www.w3.org/TR/trace-context/>.
//!
//! It is plain data, so that it survives rows, messages and restarts whether or not an exporter is configured. When
//! one is, the spans that it exports carry these ids.

use std::fmt;
use std::str::FromStr;

/// One hop of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// Starts a new trace.
    pub fn new_root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id(), sampled: true }
    }

    /// Returns the next hop of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// Returns the next hop after `parent`, or a new trace when `parent` is absent or invalid.
    pub fn continue_from(parent: Option<&str>) -> Self {
        parent.and_then(|text| text.parse::<Self>().ok()).map_or_else(Self::new_root, Self::child)
    }

    /// The trace id, 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The trace id as a number.
    pub fn trace_bits(self) -> u128 {
        self.trace_id
    }

    /// The span id as a number.
    pub fn span_bits(self) -> u64 {
        self.span_id
    }

    /// Returns true when the trace is to be exported.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }

    /// Returns the same trace at another span.
    #[must_use]
    pub fn at_span(self, span_id: u64) -> Self {
        Self { span_id, ..self }
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// The text is not a valid `traceparent`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct InvalidTraceparent;

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let hex = |part: &str, length: usize| {
            let good = part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            good.then(|| u128::from_str_radix(part, 16).unwrap_or(0)).ok_or(InvalidTraceparent)
        };
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(InvalidTraceparent);
        let version = hex(next()?, 2)?;
        let trace_id = hex(next()?, 32)?;
        let span_id = hex(next()?, 16)?;
        let flags = hex(next()?, 2)?;
        let extra = parts.next().is_some();
        if version == 0xff || (version == 0 && extra) || trace_id == 0 || span_id == 0 {
            return Err(InvalidTraceparent);
        }
        let span_id = u64::try_from(span_id).map_err(|_| InvalidTraceparent)?;
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_survives_the_round_trip_and_a_child_keeps_its_trace() {
        let context: TraceContext = SAMPLE.parse().expect("valid");
        assert_eq!(context.to_string(), SAMPLE);
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.to_string(), SAMPLE);
    }

    #[test]
    fn headers_that_the_specification_forbids_are_refused() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(InvalidTraceparent), "{bad}");
        }
    }
}
