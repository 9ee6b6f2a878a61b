//! `cargo xtask api-fuzz`: requests that are generated from the OpenAPI documents.

use std::process::{ExitCode, Stdio};

use anyhow::Context as _;

use crate::checks::cargo_with;
use crate::python::{self, API_TOOLS};
use crate::signals::Signals;
use localstack::cargo::end_of;
use localstack::packages;
use localstack::progress::Progress;

/// Name of the test in the package `e2e`.
pub const TEST: &str = "api_documents::generated_requests_get_documented_answers";
/// Environment variable by which the test knows how long it generates requests.
pub const MINUTES: &str = "JAEGO_API_FUZZ_MINUTES";

/// Runs the test. With a time limit, requests are generated from a random seed, which schemathesis prints.
pub(crate) async fn run(minutes: Option<u32>) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    packages::ensure(&progress).await?;
    python::ensure(&progress, API_TOOLS).await?;
    // By cargo itself, because cargo-nextest would end so long a test.
    let mut test =
        cargo_with(&["test", "--package", "e2e", "--test", "it", "--", "--exact", TEST, "--ignored", "--nocapture"]);
    if let Some(minutes) = minutes {
        test.env(MINUTES, minutes.to_string());
    }
    test.stdin(Stdio::null()).process_group(0);
    let mut child = test.spawn().context("cannot run cargo")?;
    let status = end_of(&mut child, &progress).await?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
