//! `cargo xtask test`: all checks, from a bare machine.

mod count;
mod docs;
mod stages;

use std::process::{ExitCode, Stdio};

use anyhow::anyhow;
use tokio::process::Command;

use self::stages::{Stage, Stages};
use crate::node::{Node, WEB};
use crate::output::answer;
use crate::python::CHART_TOOLS;
use crate::signals::Signals;
use crate::{node, python, web};
use localstack::cargo::{cargo, workspace_root};
use localstack::packages;
use localstack::progress::{Progress, say};

/// Runs all stages, or only the tests that match a filter. The last line is `N passed, N failed`, which counts each
/// test and each stage without tests.
pub(crate) async fn test(filter: &[String]) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    let mut stages = Stages::new(progress.clone());
    let node = prepare(&progress, &mut stages).await;
    stages.run(all(filter, node.as_ref()).await).await;
    // Faster than waiting until the servers notice that they are unused.
    match testkit::Lab::stop_unused().await {
        Ok(true) => {}
        Ok(false) => say("The test servers are in use by another process, which ends them later."),
        Err(error) => say(&format!("The test servers will end by themselves: {error}")),
    }
    for failure in stages.failures() {
        say(&format!("failed: {failure}"));
    }
    let total = stages.total();
    answer(&format!("{} passed, {} failed", total.passed, total.failed));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Provides what the tests need, because they use no network themselves. Returns Node.js, if available, for the
/// stages that run it.
async fn prepare(progress: &Progress, stages: &mut Stages) -> Option<Node> {
    stages.prepared("servers", packages::ensure(progress).await);
    stages.prepared("browser", packages::ensure_browser(progress).await);
    let node = stages.prepared("Node.js", node::ensure(progress).await);
    if let Some(node) = &node {
        // Before the tests, because some of them check the pages that the frontend serves.
        stages.prepared("the web application's build", web::build(progress, node).await);
    }
    stages.prepared("Python", python::ensure(progress, CHART_TOOLS).await);
    node
}

async fn all(filter: &[String], node: Option<&Node>) -> Vec<Stage> {
    let tests = Stage::tests("tests", Ok(rust_tests(filter).await));
    if !filter.is_empty() {
        return vec![tests];
    }
    let npm = |args: &[&str]| -> anyhow::Result<Command> {
        let node = node.ok_or_else(|| anyhow!("Node.js or its packages are missing"))?;
        let mut npm = node.npm(&node::package_dir(WEB));
        npm.args(args);
        Ok(npm)
    };
    let mut stages = vec![
        Stage::check("formatting", Ok(cargo_with(&["fmt", "--all", "--check"]))),
        Stage::check("clippy", Ok(cargo_with(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
        Stage::check("types and style of the web application", npm(&["run", "check"])),
        Stage::tests("tests of the web application", npm(&["test"])),
        tests,
    ];
    if docs::has_doc_tests(&workspace_root()) {
        let examples = cargo_with(&["test", "--doc", "--workspace", "--no-fail-fast"]);
        stages.push(Stage::tests("documentation's examples", Ok(examples)));
    }
    if has("deny").await {
        let deny = cargo_with(&["deny", "check", "licenses", "bans", "sources"]);
        stages.push(Stage::check("licences, bans, sources", Ok(deny)));
    } else {
        say("\n== licences, bans, sources: skipped, cargo-deny is not installed");
    }
    stages
}

async fn rust_tests(filter: &[String]) -> Command {
    let mut tests = if has("nextest").await {
        cargo_with(&["nextest", "run", "--no-fail-fast"])
    } else {
        say("\n(cargo-nextest is not installed: cargo test is slower, and does the same)");
        cargo_with(&["test", "--all-targets", "--no-fail-fast"])
    };
    // With `--workspace`, a selection of packages would have no effect.
    if !filter.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package")) {
        tests.arg("--workspace");
    }
    tests.args(filter);
    tests
}

pub(crate) fn cargo_with(args: &[&str]) -> Command {
    let mut command = cargo();
    command.args(args);
    command
}

/// Returns whether `cargo <name>` is installed.
pub(crate) async fn has(name: &str) -> bool {
    let mut command = cargo_with(&[name, "--version"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}
