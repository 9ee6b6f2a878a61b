//! Runs stages one after the other, regardless of earlier failures, and counts the results.

use std::{
    ffi::OsStr,
    io::{IsTerminal as _, Write},
    path::Path,
    process::Stdio,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
};

use super::count::Count;
use localstack::cargo::end_of;
use localstack::progress::{Progress, say};

pub(super) struct Stage {
    name: &'static str,
    kind: Kind,
    /// An error explains why the stage cannot run, and fails this stage only.
    command: anyhow::Result<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Passes or fails as a whole, and writes to the terminal itself.
    Check,
    /// Its tests are counted, and its output is shown as it arrives.
    Tests,
}

impl Stage {
    pub(super) const fn check(name: &'static str, command: anyhow::Result<Command>) -> Self {
        Self { name, kind: Kind::Check, command }
    }

    pub(super) const fn tests(name: &'static str, command: anyhow::Result<Command>) -> Self {
        Self { name, kind: Kind::Tests, command }
    }
}

/// Runs stages and collects their results.
pub(super) struct Stages {
    progress: Progress,
    total: Count,
    failures: Vec<String>,
    is_shown: bool,
}

impl Stages {
    pub(super) const fn new(progress: Progress) -> Self {
        Self { progress, total: Count { passed: 0, failed: 0 }, failures: Vec::new(), is_shown: true }
    }

    /// Records the result of a preparation. A failure is counted, and the stages that depend on it fail by
    /// themselves; the other stages still give results.
    pub(super) fn prepared<T>(&mut self, name: &str, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(1, &format!("{name}: {error:#}"))).ok()
    }

    /// Runs all stages, until a stop is requested.
    pub(super) async fn run(&mut self, stages: Vec<Stage>) {
        for stage in stages {
            if let Err(stopped) = self.progress.check() {
                self.fail(1, &format!("{}: {stopped:#}", stage.name));
                return;
            }
            let (name, kind) = (stage.name, stage.kind);
            match self.outcome(stage).await {
                Ok(count) => {
                    self.total.passed += count.passed;
                    match (count.failed, kind) {
                        (0, _) => {}
                        (_, Kind::Check) => self.fail(1, name),
                        (failed, Kind::Tests) => self.fail(failed, &format!("{name}: {failed} failed")),
                    }
                }
                Err(error) => self.fail(1, &format!("{name}: {error:#}")),
            }
        }
    }

    pub(super) const fn total(&self) -> Count {
        self.total
    }

    /// Failures in the order of their stages. They are repeated at the end, because each stage's output hides that of
    /// earlier ones.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    fn fail(&mut self, count: u64, what: &str) {
        self.total.failed += count;
        self.show(&format!("\nfailed: {what}"));
        self.failures.push(what.to_owned());
    }

    async fn outcome(&self, stage: Stage) -> anyhow::Result<Count> {
        let mut command = stage.command?;
        if stage.kind == Kind::Check {
            let status = end_of(&mut self.begin(stage.name, &mut command)?, &self.progress).await?;
            let passed = u64::from(status.success());
            return Ok(Count { passed, failed: 1 - passed });
        }
        let colour = if std::io::stderr().is_terminal() { "always" } else { "never" };
        command.env("CARGO_TERM_COLOR", colour).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.begin(stage.name, &mut command)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (from_stdout, from_stderr, status) = tokio::join!(
            self.show_and_count(stdout, std::io::stdout()),
            self.show_and_count(stderr, std::io::stderr()),
            end_of(&mut child, &self.progress),
        );
        let (status, mut count) = (status?, from_stdout + from_stderr);
        if !status.success() && count.failed == 0 {
            count.failed = 1; // For example, because compiling failed.
        }
        Ok(count)
    }

    fn begin(&self, name: &str, command: &mut Command) -> anyhow::Result<Child> {
        let program = Path::new(command.as_std().get_program()).file_name().unwrap_or_default();
        let words = std::iter::once(program).chain(command.as_std().get_args());
        let words = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        self.show(&format!("\n== {name}: {words}"));
        // A process group of its own, because the command starts others (`cargo clippy` starts another cargo) that
        // must end with it.
        command.process_group(0).stdin(Stdio::null()).spawn().with_context(|| format!("cannot run {words}"))
    }

    async fn show_and_count(&self, from: Option<impl AsyncRead + Unpin>, mut to: impl Write) -> Count {
        let mut count = Count::default();
        let Some(from) = from else { return count };
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            if self.is_shown {
                to.write_all(&line).and_then(|()| to.flush()).ok();
            }
            count = count + Count::of_line(&String::from_utf8_lossy(&line));
            line.clear();
        }
        count
    }

    fn show(&self, text: &str) {
        if self.is_shown {
            say(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// Shows nothing: otherwise the lines of the stages would be counted with the results of these tests.
    fn silent(progress: Progress) -> Stages {
        Stages { is_shown: false, ..Stages::new(progress) }
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn every_stage_runs_and_is_counted_whatever_an_earlier_one_found() {
        let mut stages = silent(Progress::silent());
        assert_eq!(stages.prepared("a browser", Err::<(), _>(anyhow!("there is none"))), None);
        assert_eq!(stages.prepared("a server", Ok(7)), Some(7));
        let all = vec![
            Stage::check("formatting", Ok(sh("exit 1"))),
            Stage::check("clippy", Ok(Command::new("/nowhere/to-be-found"))),
            Stage::check("web", Err(anyhow!("no Node.js"))),
            Stage::tests("web tests", Ok(sh("echo '      Tests  2 failed | 144 passed (146)'; exit 1"))),
            Stage::tests("tests", Ok(sh("echo '     Summary [   1.0s] 9 tests run: 9 passed, 0 skipped' >&2"))),
            Stage::tests("examples", Ok(sh("exit 101"))),
            Stage::check("licences", Ok(sh("exit 0"))),
        ];
        stages.run(all).await;
        assert_eq!(stages.total(), Count { passed: 144 + 9 + 1, failed: 1 + 1 + 1 + 1 + 2 + 1 });
        let failures: Vec<&str> = stages.failures().iter().filter_map(|one| one.split(':').next()).collect();
        assert_eq!(failures, ["a browser", "formatting", "clippy", "web", "web tests", "examples"]);
    }

    #[tokio::test]
    async fn no_failures_are_reported_when_all_stages_pass() {
        let mut stages = silent(Progress::silent());
        let tests = Ok(sh("echo 'test result: ok. 3 passed; 0 failed; 1 ignored'"));
        stages.run(vec![Stage::check("formatting", Ok(sh("exit 0"))), Stage::tests("tests", tests)]).await;
        assert_eq!(stages.total(), Count { passed: 4, failed: 0 });
        assert_eq!(stages.failures(), &[] as &[String]);
    }

    #[tokio::test]
    async fn a_stop_request_skips_the_remaining_stages() {
        let stop = CancellationToken::new();
        stop.cancel();
        let mut stages = silent(Progress::new(stop));
        stages.run(vec![Stage::check("one", Ok(sh("exit 0"))), Stage::check("two", Ok(sh("exit 0")))]).await;
        assert_eq!(stages.total(), Count { passed: 0, failed: 1 });
    }
}
