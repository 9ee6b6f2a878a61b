//! CycloneDX bills of materials, one next to each program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::SHIPPED;
use crate::git;
use localstack::cargo::{cargo, end_of, workspace_root};
use localstack::progress::Progress;

/// The CycloneDX project's own tool. The version is pinned because its output is released.
const TOOL: &str = "cargo-cyclonedx";
const TOOL_VERSION: &str = "0.5.9";

/// Writes `<program>.cdx.json` for each program into `folder`.
pub(super) async fn write(progress: &Progress, folder: &Path, target: &str) -> anyhow::Result<()> {
    let tool = provide_tool(progress).await?;
    let step = progress.begin("Writing bills of materials")?;
    let mut command = cargo();
    // The tool must run as a cargo subcommand. The fixed timestamp makes the output depend on nothing but the commit.
    let command = command.env("SOURCE_DATE_EPOCH", git::commit_time().await.to_string()).args(["cyclonedx", "-q"]);
    command.args(["--format", "json", "--spec-version", "1.5", "--describe", "binaries", "--all", "--target", target]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found_first = tool.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(found_first)?).stdin(Stdio::null());
    let status = end_of(&mut command.spawn().context("cannot run cargo")?, progress).await?;
    let moved = SHIPPED.into_iter().map(|program| take_over(program, folder)).collect::<anyhow::Result<Vec<usize>>>();
    remove_leftovers()?;
    ensure!(status.success(), "{TOOL} could not list the components of the programs: see above");
    let components = moved?;
    step.done(format!("Bills of materials, of {} to {} components", min(&components), max(&components)));
    Ok(())
}

/// Returns the path of the tool, compiling it into a folder of its own if this version is missing.
async fn provide_tool(progress: &Progress) -> anyhow::Result<PathBuf> {
    let root = workspace_root().join("target/tools");
    let tool = root.join("bin").join(TOOL);
    let versions = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
    if tool.is_file() && versions.contains(&format!("\"{TOOL} {TOOL_VERSION} ")) {
        return Ok(tool);
    }
    let mut step = progress.begin(format!("Installing {TOOL} {TOOL_VERSION} into target/tools (some minutes)"))?;
    step.without_spinner();
    let mut command = cargo();
    command.args(["install", "--locked", "--version", &format!("={TOOL_VERSION}"), TOOL, "--root"]).arg(&root);
    let status = end_of(&mut command.stdin(Stdio::null()).spawn().context("cannot run cargo")?, progress).await?;
    if !status.success() {
        bail!("cargo could not install {TOOL}: see above; without the network, leave them out with --without-sbom");
    }
    step.done(format!("Installed {TOOL} {TOOL_VERSION}"));
    Ok(tool)
}

/// Copies the file that the tool wrote next to the manifest. Returns the number of components.
fn take_over(program: &str, folder: &Path) -> anyhow::Result<usize> {
    let written = workspace_root().join(program).join(format!("{program}_bin.cdx.json"));
    let text = fs::read_to_string(&written).with_context(|| format!("{TOOL} has not written {}", written.display()))?;
    let text = without_place(&text, &workspace_root());
    ensure!(
        !text.contains(&*workspace_root().to_string_lossy()),
        "{} contains the path of the workspace",
        written.display()
    );
    let count = components(&text, program).with_context(|| format!("{} is wrong", written.display()))?;
    let path = folder.join(format!("{program}.cdx.json"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(count)
}

/// Our own packages are identified by the folder in which they were built, which is replaced.
fn without_place(text: &str, root: &Path) -> String {
    text.replace(&format!("file://{}", root.display()), "file:///jaego")
}

fn components(text: &str, program: &str) -> anyhow::Result<usize> {
    let bom: Value = serde_json::from_str(text)?;
    let of = bom.pointer("/metadata/component/name").and_then(Value::as_str);
    ensure!(of == Some(program), "it is of {of:?}, not of {program}");
    let components = bom["components"].as_array().context("it has no components")?;
    ensure!(components.iter().any(|component| component["name"] == "tokio"), "it does not list tokio");
    Ok(components.len())
}

/// Deletes the tool's files, which it writes for every member of the workspace.
fn remove_leftovers() -> anyhow::Result<()> {
    let members = fs::read_dir(workspace_root())?.filter_map(Result::ok).map(|entry| entry.path());
    let files = members.filter_map(|member| fs::read_dir(member).ok()).flatten().filter_map(Result::ok);
    for path in files.map(|file| file.path()).filter(|path| path.to_string_lossy().ends_with("_bin.cdx.json")) {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn min(counts: &[usize]) -> usize {
    counts.iter().copied().min().unwrap_or_default()
}

fn max(counts: &[usize]) -> usize {
    counts.iter().copied().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_of_its_program_and_of_no_machine() {
        let text = r#"{"metadata":{"component":{"name":"a","bom-ref":"path+file:///home/me/jaego/a#0.1.0"}},
            "components":[{"name":"tokio"},{"name":"b"}]}"#;
        let text = without_place(text, Path::new("/home/me/jaego"));
        assert!(text.contains("path+file:///jaego/a#0.1.0"), "{text}");
        assert_eq!(components(&text, "a").unwrap(), 2);
        assert!(components(&text, "b").is_err());
        assert!(components(r#"{"metadata":{"component":{"name":"a"}},"components":[]}"#, "a").is_err());
    }
}
