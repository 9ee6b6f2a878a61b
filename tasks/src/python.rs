//! Python, and the tools in it that tests use. Each set is installed in an environment of its own below `target/tools`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure as must};
use testkit::process::find_on_path;
use tokio::process::Command;

use crate::node::CHART_CHECKS;
use localstack::cargo::{end_of, workspace_root};
use localstack::packages::{Hints, MissingPrograms, provide};
use localstack::progress::Progress;

/// Oldest version that the tools support: major, minor.
const PYTHON_MIN: (u32, u32) = (3, 11);
const PYTHON: &str = "Python 3.11 or later with its venv module";

const HINTS: Hints = Hints {
    elsewhere: "install Python 3.11 or later so that `python3` is on PATH and `python3 -m venv` works",
    newer: "Newer ones: https://www.python.org/downloads",
    note: "The tests need them, the services do not.",
};

#[derive(Debug, Clone)]
struct Python {
    program: PathBuf,
    version: String,
}

/// Tools that are pinned in one `requirements.txt`.
#[derive(Debug, Clone, Copy)]
pub struct ToolSet {
    /// Folder of `requirements.txt`.
    folder: &'static str,
    /// Name of the environment.
    environment: &'static str,
    purpose: &'static str,
    /// The command that installs them.
    provider: &'static str,
}

/// The Helm engine, Kubernetes' schemas, checkov, hadolint.
pub const CHART_TOOLS: ToolSet = ToolSet {
    folder: CHART_CHECKS,
    environment: "chart-checks",
    purpose: "check the chart",
    provider: "cargo xtask test",
};
/// schemathesis.
pub const API_TOOLS: ToolSet = ToolSet {
    folder: API_FUZZ,
    environment: "api-fuzz",
    purpose: "test the HTTP APIs",
    provider: "cargo xtask api-fuzz",
};

/// Folder of what schemathesis is started with.
pub const API_FUZZ: &str = "e2e/api-fuzz";

/// The environment of an installed [`ToolSet`].
#[derive(Debug, Clone)]
pub struct Tools {
    dir: PathBuf,
}

/// A sentence that says what to do before the tools can be used.
#[derive(Debug, PartialEq, Eq)]
pub struct NotReady(String);

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Tools {
    /// Returns the tools if they match `requirements.txt`. Does not use the network.
    pub fn ready(set: ToolSet) -> Result<Self, NotReady> {
        let dir = set.environment();
        if is_made(&dir, &set.requirements()) {
            return Ok(Self { dir });
        }
        Err(NotReady(format!(
            "the tools of {}/requirements.txt are not in {}: type `{}`, which provides them",
            set.folder,
            dir.display(),
            set.provider
        )))
    }

    /// Path of a tool: `python`, `checkov`, `schemathesis`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }
}

impl Python {
    fn find() -> Result<Self, MissingPrograms> {
        let usable = find_on_path("python3").and_then(|program| {
            let version = version_of(&program)?;
            is_new_enough(&version).then_some(Self { program, version })
        });
        usable.ok_or(MissingPrograms {
            programs: vec![PYTHON],
            packages: vec!["python3", "python3-venv"],
            hints: &HINTS,
        })
    }
}

/// Provides Python and a set of tools, because tests use no network themselves.
pub(crate) async fn ensure(progress: &Progress, set: ToolSet) -> anyhow::Result<()> {
    let found = |python: &Python| format!("Python {} is installed", python.version);
    let python = provide(progress, "Python", Python::find, found).await?;
    let (dir, requirements) = (set.environment(), set.requirements());
    if is_made(&dir, &requirements) {
        return Ok(());
    }
    let step = progress.begin(format!("Installing the tools that {}: pip install", set.purpose))?;
    let mut venv = Command::new(&python.program);
    run(progress, venv.args(["-m", "venv", "--clear"]).arg(&dir)).await?;
    let mut pip = Command::new(dir.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    // Only published binaries with known hashes: nothing is built here, and nothing else is downloaded.
    pip.args(["--require-hashes", "--only-binary", ":all:", "--requirement"]).arg(&requirements);
    run(progress, &mut pip).await?;
    // Last, so that an incomplete environment does not count as installed.
    fs::copy(&requirements, dir.join(INSTALLED)).with_context(|| format!("cannot write to {}", dir.display()))?;
    step.done(format!("Installed the tools that {}", set.purpose));
    Ok(())
}

async fn run(progress: &Progress, command: &mut Command) -> anyhow::Result<()> {
    command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    let mut child = command.spawn().context("cannot run Python")?;
    must!(end_of(&mut child, progress).await?.success(), "{:?}: see above", command.as_std());
    Ok(())
}

/// Copy of the installed requirements, in the environment.
const INSTALLED: &str = "requirements.txt";

impl ToolSet {
    fn environment(&self) -> PathBuf {
        workspace_root().join("target/tools").join(self.environment)
    }

    fn requirements(&self) -> PathBuf {
        workspace_root().join(self.folder).join("requirements.txt")
    }
}

/// Returns whether the environment was made from these requirements, with a Python that still exists.
fn is_made(dir: &Path, requirements: &Path) -> bool {
    let wanted = fs::read(requirements).ok();
    wanted.is_some() && wanted == fs::read(dir.join(INSTALLED)).ok() && dir.join("bin/python").exists()
}

/// Version of a Python that can create environments, for which Debian's needs another package.
fn version_of(python: &Path) -> Option<String> {
    let code = "import ensurepip, venv, platform; print(platform.python_version())";
    let output = std::process::Command::new(python).args(["-c", code]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= PYTHON_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ones_are_refused() {
        assert!(["3.11.2", "3.13.0", "4.0.1"].into_iter().all(is_new_enough));
        assert!(!["3.10.12", "2.7.18", "", "nonsense"].into_iter().any(is_new_enough));
    }

    #[test]
    fn an_environment_of_other_requirements_is_made_again() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let (made, wanted) = (dir.path().join("made"), dir.path().join("requirements.txt"));
        fs::create_dir_all(made.join("bin")).expect("a folder");
        fs::write(&wanted, "a==1").expect("written");
        assert!(!is_made(&made, &wanted), "nothing is there");
        fs::write(made.join(INSTALLED), "a==1").expect("written");
        assert!(!is_made(&made, &wanted), "its Python has gone");
        fs::write(made.join("bin/python"), "").expect("written");
        assert!(is_made(&made, &wanted));
        fs::write(&wanted, "a==2").expect("written");
        assert!(!is_made(&made, &wanted), "the requirements have changed");
    }
}
