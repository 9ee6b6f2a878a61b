//! `cargo xtask fuzz`: the fuzz targets in `fuzz/targets`, all at the same time.

use std::{
    fs,
    path::PathBuf,
    process::{ExitCode, Output, Stdio},
};

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::output::{NOT_CHECKED, answer};
use crate::signals::Signals;
use localstack::cargo::{cargo, end_of, workspace_root};
use localstack::progress::{Progress, say};

const TARGETS: &str = "fuzz/targets";
const CORPUS: &str = "fuzz/corpus";
/// Longest generated input, in bytes.
const INPUT_BYTES_MAX: u32 = 4096;
/// Maximum time for one input, in seconds: longer ones are failures.
const INPUT_TIMEOUT_S: u32 = 10;

pub(crate) struct Wanted {
    /// Time limit of each target.
    pub(crate) seconds: u32,
    /// One target; None: all.
    pub(crate) target: Option<String>,
}

/// Builds and runs the targets. The exit code is [`NOT_CHECKED`] if this machine lacks what they need.
pub(crate) async fn run(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    let targets = targets(wanted.target.as_deref())?;
    if let Err(missing) = provided().await {
        answer(&format!("the fuzz targets: not checked: {missing}"));
        return Ok(ExitCode::from(NOT_CHECKED));
    }
    let mut build = fuzz("build", &[]);
    let status = end_of(&mut build.process_group(0).spawn().context("cannot run cargo")?, &progress).await?;
    if !status.success() {
        bail!("the fuzz targets do not compile: see above");
    }
    say(&format!("     Fuzzing for {} s: {}", wanted.seconds, targets.join(", ")));
    let mut runs = JoinSet::new();
    for target in targets {
        let (command, progress) = (fuzz_one(&target, wanted.seconds)?, progress.clone());
        runs.spawn(async move { (target, outcome(command, &progress).await) });
    }
    let mut is_good = true;
    while let Some(run) = runs.join_next().await {
        let (target, output) = run?;
        let output = output?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            answer(&format!("{target}: {} inputs", stat(&said, "stat::number_of_executed_units:")));
        } else {
            is_good = false;
            say(&said);
            answer(&format!(
                "{target}: failed. The input is in {}; when it is mended, copy it to {CORPUS}/{target}, which every \
                 test run tries.",
                found(&target).display()
            ));
        }
    }
    progress.check()?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names of the targets; fails if there is none of the wanted name.
fn targets(wanted: Option<&str>) -> anyhow::Result<Vec<String>> {
    let folder = workspace_root().join(TARGETS).join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut all: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    all.sort();
    match wanted {
        None => Ok(all),
        Some(name) if all.iter().any(|one| one == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no fuzz target {name}; there are {}", all.join(", ")),
    }
}

/// Checks for a nightly toolchain with cargo-fuzz, and for the crates of the targets. Returns what is missing.
async fn provided() -> Result<(), String> {
    let succeeds = async |mut command: Command| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        status.is_ok_and(|status| status.success())
    };
    if !succeeds(nightly(&["fuzz", "--version"])).await {
        return Err("they need a nightly toolchain (`rustup toolchain install nightly --profile minimal`) and \
             cargo-fuzz (`cargo install cargo-fuzz`)"
            .to_owned());
    }
    let manifest = format!("{TARGETS}/Cargo.toml");
    if !succeeds(nightly(&["fetch", "--locked", "--manifest-path", &manifest])).await {
        return Err(format!("the crates of {TARGETS}/Cargo.lock cannot be fetched"));
    }
    Ok(())
}

fn nightly(args: &[&str]) -> Command {
    // `cargo +nightly` works with rustup's own cargo only, which is not the one that runs this program.
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(args);
    // The variables about this program that the usual cargo is not given, either.
    for (name, _) in cargo().as_std().get_envs().filter(|(_, value)| value.is_none()) {
        command.env_remove(name);
    }
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").current_dir(workspace_root()).kill_on_drop(true);
    command
}

fn fuzz(command: &str, args: &[&str]) -> Command {
    let build = workspace_root().join("target/fuzz/build");
    // There is no unsafe code, so a sanitizer would find nothing.
    let mut cargo = nightly(&["fuzz", command, "--fuzz-dir", TARGETS, "--sanitizer", "none", "--target-dir"]);
    cargo.arg(build).args(args).env("CARGO_NET_OFFLINE", "true").stdin(Stdio::null());
    cargo
}

fn fuzz_one(target: &str, seconds: u32) -> anyhow::Result<Command> {
    let root = workspace_root();
    // New inputs go into the first folder, which is not committed.
    let grown = root.join("target/fuzz/corpus").join(target);
    for folder in [&grown, &found(target)] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut command = fuzz("run", &[target]);
    command.arg(grown).arg(root.join(CORPUS).join(target)).arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={INPUT_TIMEOUT_S}"),
        format!("-artifact_prefix={}/", found(target).display()),
        "-print_final_stats=1".to_owned(),
    ]);
    Ok(command)
}

/// Folder of the inputs that violated a property.
fn found(target: &str) -> PathBuf {
    workspace_root().join("target/fuzz/found").join(target)
}

async fn outcome(mut command: Command, progress: &Progress) -> anyhow::Result<Output> {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn();
    let child = child.context("cannot run cargo")?;
    tokio::select! {
        output = child.wait_with_output() => output.context("cannot run cargo"),
        () = progress.stopped() => bail!("stopped"),
    }
}

fn stat<'a>(said: &'a str, name: &str) -> &'a str {
    said.lines().find_map(|line| line.strip_prefix(name)).map_or("?", str::trim)
}
