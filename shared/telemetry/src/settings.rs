//! Settings of logs and traces.

use jaego_settings::require;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Telemetry {
    /// Log filter, such as `info` or `info,jaego_postbox=debug`.
    pub log: String,
    /// `json` or `text`.
    pub log_format: String,
    /// OTLP/HTTP endpoint for traces; if empty, none are exported.
    pub otlp_endpoint: String,
}

impl Telemetry {
    /// Adds a sentence for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(
            self.log.parse::<tracing_subscriber::EnvFilter>().is_ok(),
            "telemetry.log: must be a filter such as info or info,jaego_postbox=debug",
        );
        require(matches!(self.log_format.as_str(), "json" | "text"), "telemetry.log_format: must be json or text");
        let otlp = &self.otlp_endpoint;
        require(
            otlp.is_empty() || otlp.starts_with("http://") || otlp.starts_with("https://"),
            "telemetry.otlp_endpoint: must be empty or an http(s) URL",
        );
    }
}
