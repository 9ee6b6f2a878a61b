//! Third-party programs: found on this machine, or installed from the distribution after announcing it.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{anyhow, bail};
use nix::unistd::geteuid;
use testkit::{
    process::find_on_path,
    servers::{PostgresBinaries, RabbitBinaries, find_postgres, find_rabbitmq},
};
use tokio::process::Command;

use crate::progress::Progress;

#[derive(Debug, Clone)]
pub struct ServerPrograms {
    /// PostgreSQL 15 or later.
    pub postgres: PostgresBinaries,
    /// RabbitMQ and its Erlang runtime.
    pub rabbitmq: RabbitBinaries,
}

impl ServerPrograms {
    /// Returns the installed programs, or those that are missing.
    pub fn find() -> Result<Self, MissingPrograms> {
        match (find_postgres(), find_rabbitmq()) {
            (Ok(postgres), Ok(rabbitmq)) => Ok(Self { postgres, rabbitmq }),
            (postgres, rabbitmq) => {
                let missing = postgres.err().into_iter().chain(rabbitmq.err());
                let (programs, packages): (Vec<_>, Vec<_>) =
                    missing.map(|missing| (missing.program, missing.packages)).unzip();
                Err(MissingPrograms { programs, packages: packages.concat(), hints: &SERVER_HINTS })
            }
        }
    }
}

const SERVER_HINTS: Hints = Hints {
    elsewhere: "install PostgreSQL 15 or later and RabbitMQ 3.10 or later so that `postgres` and `rabbitmq-server` are \
                on PATH",
    newer: "PostgreSQL's own packages: https://wiki.postgresql.org/wiki/Apt",
    note: "A server that the packages start is left alone.",
};

/// Advice for a user who lacks some programs.
#[derive(Debug, PartialEq, Eq)]
pub struct Hints {
    /// How to install the programs without apt-get.
    pub elsewhere: &'static str,
    /// Source of newer versions, in case the distribution's are too old.
    pub newer: &'static str,
    /// A remark that is shown before installing.
    pub note: &'static str,
}

/// Missing programs, and the Debian packages that provide them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPrograms {
    pub programs: Vec<&'static str>,
    pub packages: Vec<&'static str>,
    pub hints: &'static Hints,
}

/// Finds PostgreSQL and RabbitMQ. Installs them if that is possible without asking.
pub async fn ensure(progress: &Progress) -> anyhow::Result<ServerPrograms> {
    let found = |found: &ServerPrograms| format!("PostgreSQL {} and RabbitMQ are installed", found.postgres.major);
    if let Some(older) = older_postgres().await {
        progress.note(format!("There is {older}, which is too old; it is left alone."));
    }
    provide(progress, "PostgreSQL and RabbitMQ", ServerPrograms::find, found).await
}

/// Load generator of the benchmarks.
pub const LOAD_GENERATOR: &str = "wrk";

const LOAD_GENERATOR_HINTS: Hints = Hints {
    elsewhere: "install wrk 4.1 or later so that it is on PATH",
    newer: "Its source: https://github.com/wg/wrk",
    note: "It is a program that sends HTTP requests; it starts nothing by itself.",
};

/// Finds the load generator. Installs it if that is possible without asking.
pub async fn ensure_load_generator(progress: &Progress) -> anyhow::Result<()> {
    let missing = || MissingPrograms {
        programs: vec!["the load generator wrk"],
        packages: vec![LOAD_GENERATOR],
        hints: &LOAD_GENERATOR_HINTS,
    };
    let find = || find_on_path(LOAD_GENERATOR).ok_or_else(missing);
    provide(progress, "the load generator wrk", find, |_| "The load generator wrk is installed".to_owned()).await?;
    Ok(())
}

/// Names of browsers of the Chromium family, in order of preference.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const BROWSER_HINTS: Hints = Hints {
    elsewhere: "install Chromium so that `chromium` is on PATH",
    newer: "Others: https://www.chromium.org/getting-involved/download-chromium",
    note: "The tests of the pages need it; it is run without a window and with a profile of its own.",
};

/// Finds the browser for the page tests, without using the network.
pub fn find_browser() -> Option<PathBuf> {
    BROWSERS.into_iter().find_map(find_on_path)
}

/// Finds the browser for the page tests. Installs it if that is possible without asking.
pub async fn ensure_browser(progress: &Progress) -> anyhow::Result<()> {
    let missing = || MissingPrograms { programs: vec!["Chromium"], packages: vec!["chromium"], hints: &BROWSER_HINTS };
    let find = || find_browser().ok_or_else(missing);
    provide(progress, "Chromium", find, |path| format!("The browser is {}", path.display())).await?;
    Ok(())
}

/// Returns what `find` finds, after installing missing packages if necessary.
pub async fn provide<T>(
    progress: &Progress,
    what: &str,
    find: impl Fn() -> Result<T, MissingPrograms>,
    describe: impl Fn(&T) -> String,
) -> anyhow::Result<T> {
    let step = progress.begin(format!("Looking for {what}"))?;
    let missing = match find() {
        Ok(found) => {
            step.done(describe(&found));
            return Ok(found);
        }
        Err(missing) => missing,
    };
    step.done(format!("Looked for {what}: {} not installed", missing.programs.join(", ")));
    let Some(become_root) = may_install().await else {
        bail!("{}", by_hand(&missing, docker_answers().await));
    };
    install(progress, &become_root, &missing, find).await
}

/// Command prefix that runs apt-get as root: empty for root, `sudo -n` if sudo needs no password. `None` without
/// apt-get, or without the right to become root.
async fn may_install() -> Option<Vec<&'static str>> {
    find_on_path("apt-get")?;
    if geteuid().is_root() {
        return Some(Vec::new());
    }
    succeeds(Command::new("sudo").args(["-n", "true"])).await.then(|| vec!["sudo", "-n"])
}

async fn install<T>(
    progress: &Progress,
    become_root: &[&str],
    missing: &MissingPrograms,
    find: impl Fn() -> Result<T, MissingPrograms>,
) -> anyhow::Result<T> {
    let update = [become_root, &["apt-get", "update"]].concat();
    let start = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"];
    let install = [become_root, &start, &missing.packages].concat();
    progress.note(format!("They will be installed now. {} Commands:", missing.hints.note));
    for command in [&update, &install] {
        progress.note(format!("  {}", command.join(" ")));
    }
    let mut step = progress.begin(format!("Installing {}", missing.packages.join(" ")))?;
    step.without_spinner();
    if !run(&update).await? {
        progress.note("apt-get update failed; trying with the package lists that are there.");
    }
    // A package's own server may fail to start, for example because its port is in use. Only the programs matter.
    let installed = run(&install).await?;
    match find() {
        Ok(found) => {
            step.done(format!("Installed {}", missing.packages.join(" ")));
            Ok(found)
        }
        Err(still) if installed => Err(anyhow!(
            "{} installed, but {} not found: this distribution's version is too old. {}",
            missing.packages.join(" "),
            still.programs.join(", "),
            still.hints.newer
        )),
        Err(_) => Err(anyhow!("apt-get could not install {}: see above", missing.packages.join(" "))),
    }
}

fn by_hand(missing: &MissingPrograms, docker: bool) -> String {
    let mut text = format!(
        "{} must be installed, which this program is not allowed to do. On Debian or Ubuntu type:\n\n  \
         sudo apt-get update && sudo apt-get install -y --no-install-recommends {}\n\n\
         elsewhere {}, then try again.",
        missing.programs.join(" and "),
        missing.packages.join(" "),
        missing.hints.elsewhere
    );
    if docker {
        text.push_str(
            " (Docker answers on this machine, but only installed programs are used: a container such as \
             rust:1-bookworm is a place where this program can install them.)",
        );
    }
    text
}

/// Runs a command with the terminal's output. It is not killed with this program, because a half-installed package is
/// worse than a complete one.
async fn run(words: &[&str]) -> anyhow::Result<bool> {
    let Some((program, args)) = words.split_first() else { return Ok(false) };
    let status = Command::new(program).args(args).stdin(Stdio::null()).status().await;
    Ok(status.map_err(|error| anyhow!("cannot run {program}: {error}"))?.success())
}

async fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

async fn docker_answers() -> bool {
    let mut docker = Command::new("docker");
    let asked = tokio::time::timeout(Duration::from_secs(5), succeeds(docker.arg("info").kill_on_drop(true)));
    find_on_path("docker").is_some() && asked.await.unwrap_or(false)
}

/// Version and path of an installed PostgreSQL that is older than 15.
async fn older_postgres() -> Option<String> {
    if find_postgres().is_ok() {
        return None;
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut candidates: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin/postgres")).collect();
    candidates.extend(find_on_path("postgres"));
    for program in candidates {
        if let Ok(output) = Command::new(&program).arg("--version").output().await {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if !version.is_empty() {
                return Some(format!("{version} in {}", program.display()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_exact_command() {
        let missing = MissingPrograms {
            programs: vec!["PostgreSQL 15 or later", "RabbitMQ"],
            packages: vec!["postgresql", "rabbitmq-server"],
            hints: &SERVER_HINTS,
        };
        let text = by_hand(&missing, true);
        assert!(text.contains("apt-get install -y --no-install-recommends postgresql rabbitmq-server\n"), "{text}");
        assert!(text.contains("Docker answers"), "{text}");
        assert!(!by_hand(&missing, false).contains("Docker"));
    }
}
