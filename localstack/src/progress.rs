//! Progress messages: a spinner in a terminal, plain lines elsewhere, nothing in tests. They go to standard error,
//! because standard output is for results.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

/// Shows steps, and knows whether a stop was requested.
#[derive(Debug, Clone)]
pub struct Progress {
    kind: Kind,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Silent,
    Plain,
    Spinner,
}

impl Progress {
    /// Shows progress to a user. Steps fail to begin once `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { kind: if std::io::stderr().is_terminal() { Kind::Spinner } else { Kind::Plain }, stop }
    }

    /// Shows nothing; for tests.
    pub fn silent() -> Self {
        Self { kind: Kind::Silent, stop: CancellationToken::new() }
    }

    /// Begins a step. Fails if a stop was requested.
    pub fn begin(&self, doing: impl Into<String>) -> anyhow::Result<Step> {
        self.check()?;
        Ok(self.begin_always(doing))
    }

    /// Begins a step even if a stop was requested; for cleanup.
    pub fn begin_always(&self, doing: impl Into<String>) -> Step {
        let doing = doing.into();
        let bar = match self.kind {
            Kind::Silent => None,
            Kind::Plain => {
                say(&format!("     {doing} ..."));
                None
            }
            Kind::Spinner => Some(spinner(doing.clone())),
        };
        Step { doing, kind: self.kind, bar, started: Instant::now(), ended: false }
    }

    /// Prints a line between steps.
    pub fn note(&self, text: impl Display) {
        if self.kind != Kind::Silent {
            say(&format!("     {text}"));
        }
    }

    /// Completes when a stop is requested.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Fails if a stop was requested.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.stop.is_cancelled() {
            bail!("stopped before everything was ready");
        }
        Ok(())
    }
}

/// A step in progress. It counts as failed if it is dropped without [`Step::done`].
#[derive(Debug)]
pub struct Step {
    doing: String,
    kind: Kind,
    bar: Option<ProgressBar>,
    started: Instant,
    ended: bool,
}

impl Step {
    /// Leaves the terminal to another program until the step ends.
    pub fn without_spinner(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            say(&format!("  …  {}", self.doing));
        }
    }

    /// Ends the step successfully; `what` describes the result.
    pub fn done(mut self, what: impl Display) {
        self.end(if self.kind == Kind::Spinner { "✓" } else { "ok" }, &what.to_string());
    }

    fn end(&mut self, sign: &str, text: &str) {
        self.ended = true;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.kind != Kind::Silent {
            say(&format!("{sign:>3}  {text} ({:.1} s)", self.started.elapsed().as_secs_f64()));
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            let text = self.doing.clone();
            self.end(if self.kind == Kind::Spinner { "✗" } else { "no" }, &text);
        }
    }
}

/// Writes a line to standard error. A terminal that has gone away is not an error.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

fn spinner(doing: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:>3}  {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(doing);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
