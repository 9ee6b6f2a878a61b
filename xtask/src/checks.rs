//! `cargo xtask test`: everything that must hold, from a bare machine.

mod count;
mod docs;

use std::{
    ffi::OsStr,
    io::{IsTerminal as _, Write},
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
};

use self::count::Count;
use crate::{
    cargo::{cargo, end_of, workspace_root},
    cli::answer,
    node, packages,
    progress::{Progress, say},
    python,
    signals::Signals,
    web::{self, WEB},
};

/// Runs all stages, whatever an earlier one found, or only the tests that a filter names. The last line
/// is `N passed, N failed`: tests, and one for each failed stage that is no test.
pub(crate) async fn test(filter: &[String]) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    let mut total = Count::default();
    let outcome = Stages { progress }.run(filter, &mut total).await;
    if let Err(error) = outcome {
        say(&format!("\nfailed: {error:#}"));
        total.failed += 1;
    }
    // Quicker than waiting until the servers notice that nobody needs them.
    match testkit::Lab::stop_unused().await {
        Ok(true) => {}
        Ok(false) => say("The test servers are in use by another process, which ends them later."),
        Err(error) => say(&format!("The test servers will end by themselves: {error}")),
    }
    answer(&format!("{} passed, {} failed", total.passed, total.failed));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Stages {
    progress: Progress,
}

impl Stages {
    async fn run(&self, filter: &[String], total: &mut Count) -> anyhow::Result<()> {
        packages::ensure(&self.progress).await?;
        packages::ensure_browser(&self.progress).await?;
        let node = node::ensure(&self.progress).await?;
        // Before the tests: they look at what the frontend serves.
        if let Err(error) = web::build(&self.progress, &node).await {
            failed(&format!("building the web application: {error:#}"), total);
        }
        python::ensure(&self.progress).await?;
        if filter.is_empty() {
            self.stage("formatting", cargo().args(["fmt", "--all", "--check"]), total).await?;
            let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            self.stage("clippy", cargo().args(clippy), total).await?;
            let web = node::package_dir(WEB);
            self.stage("types and style of the web application", node.npm(&web).args(["run", "check"]), total).await?;
            self.counted("tests of the web application", node.npm(&web).arg("test"), total).await?;
        }
        let mut tests = cargo();
        if has("nextest").await {
            tests.args(["nextest", "run", "--no-fail-fast"]);
        } else {
            say("\n(cargo-nextest is not installed: cargo test is slower, and does the same)");
            tests.args(["test", "--all-targets", "--no-fail-fast"]);
        }
        // Beside it, a choice of packages would choose nothing.
        if !filter.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package")) {
            tests.arg("--workspace");
        }
        tests.args(filter);
        self.counted("tests", &mut tests, total).await?;
        if !filter.is_empty() {
            return Ok(());
        }
        if docs::has_doc_tests(&workspace_root()) {
            self.counted("documentation's examples", cargo().args(["test", "--doc", "--workspace"]), total).await?;
        }
        if has("deny").await {
            let deny = ["deny", "check", "licenses", "bans", "sources"];
            self.stage("licences, bans, sources", cargo().args(deny), total).await?;
        } else {
            say("\n== licences, bans, sources: skipped, cargo-deny is not installed");
        }
        Ok(())
    }

    /// A stage that passes or fails as a whole; it uses the terminal itself. An error only when it could not be run.
    async fn stage(&self, name: &str, command: &mut Command, total: &mut Count) -> anyhow::Result<()> {
        let status = end_of(&mut self.begin(name, command)?, &self.progress).await?;
        if !status.success() {
            failed(name, total);
        }
        Ok(())
    }

    /// A stage whose tests are counted; its output is shown as it comes.
    async fn counted(&self, name: &str, command: &mut Command, total: &mut Count) -> anyhow::Result<()> {
        let colour = if std::io::stderr().is_terminal() { "always" } else { "never" };
        command.env("CARGO_TERM_COLOR", colour).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.begin(name, command)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (from_stdout, from_stderr, status) = tokio::join!(
            show_and_count(stdout, std::io::stdout()),
            show_and_count(stderr, std::io::stderr()),
            end_of(&mut child, &self.progress),
        );
        let (status, count) = (status?, from_stdout + from_stderr);
        *total = *total + count;
        if count.failed > 0 {
            say(&format!("\nfailed: {name}: {} of them", count.failed));
        } else if !status.success() {
            failed(name, total); // It did not even compile, say.
        }
        Ok(())
    }

    fn begin(&self, name: &str, command: &mut Command) -> anyhow::Result<Child> {
        self.progress.check()?;
        let program = Path::new(command.as_std().get_program()).file_name().unwrap_or_default();
        let words = std::iter::once(program).chain(command.as_std().get_args());
        let words = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        say(&format!("\n== {name}: {words}"));
        // A group of its own, because it starts others (`cargo clippy` starts another cargo) that must
        // end with it.
        command.process_group(0).stdin(Stdio::null()).spawn().with_context(|| format!("cannot run {words}"))
    }
}

/// Counts a failed stage.
fn failed(name: &str, total: &mut Count) {
    say(&format!("\nfailed: {name}"));
    total.failed += 1;
}

/// Is `cargo <name>` there?
async fn has(name: &str) -> bool {
    let mut command = cargo();
    command.args([name, "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

async fn show_and_count(from: Option<impl AsyncRead + Unpin>, mut to: impl Write) -> Count {
    let mut count = Count::default();
    let Some(from) = from else { return count };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        to.write_all(&line).and_then(|()| to.flush()).ok();
        count = count + Count::of_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    count
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn every_stage_runs_and_is_counted_whatever_an_earlier_one_found() {
        let stages = Stages { progress: Progress::new(CancellationToken::new()) };
        let mut total = Count::default();
        stages.stage("breaks", &mut shell("exit 1"), &mut total).await.expect("run");
        stages.stage("holds", &mut shell("exit 0"), &mut total).await.expect("run");
        let tests = "echo '     Summary [   0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped'; exit 100";
        stages.counted("tests", &mut shell(tests), &mut total).await.expect("run");
        stages.counted("does not compile", &mut shell("exit 101"), &mut total).await.expect("run");
        assert_eq!((total.passed, total.failed), (2, 3));
    }
}
