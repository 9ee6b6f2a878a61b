//! `cargo xtask dist`: builds the programs for release into `target/dist`, each as one static file next to its bill
//! of materials.

mod elf;
mod empty_root;
mod sbom;

use std::{
    collections::BTreeMap,
    env::consts::ARCH,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::time::timeout;

use crate::output::{answer, said, shown};
use crate::signals::Signals;
use crate::{node, web};
use localstack::cargo::{built, cargo, workspace_root};
use localstack::progress::Progress;

/// The programs that are released, each of the package of the same name.
pub(crate) const SHIPPED: [&str; 7] =
    ["sales-service", "production-service", "restock-service", "access-service", "frontend", "jaegoctl", "smoke-test"];

/// Maximum size of a program and of an image, in bytes.
pub(crate) const BYTES_MAX: u64 = 30_000_000;

/// The profile in `Cargo.toml`.
const PROFILE: &str = "shipped";
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn folder() -> PathBuf {
    workspace_root().join("target/dist")
}

pub(crate) async fn run(with_sbom: bool) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    for (program, bytes) in dist(&progress, with_sbom).await? {
        answer(&format!("{:>6}  {}", megabytes(bytes), shown(&folder().join(program))));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds and checks all programs. Returns the size of each in bytes.
pub(crate) async fn dist(progress: &Progress, with_sbom: bool) -> anyhow::Result<Vec<(&'static str, u64)>> {
    // The frontend is incomplete without its pages.
    let node = node::provide_node(progress).await?;
    web::build(progress, &node).await?;
    let built = build(progress).await?;
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut sizes = Vec::new();
    for program in SHIPPED {
        let step = progress.begin(format!("Checking {program}"))?;
        let made = built.get(program).with_context(|| format!("cargo has not made {program}"))?;
        let (bytes, version) = check(made, program).await?;
        put(made, &folder.join(program))?;
        step.done(format!("{version}: {}, static", megabytes(bytes)));
        sizes.push((program, bytes));
    }
    if with_sbom {
        sbom::write(progress, &folder, &target()).await?;
    }
    Ok(sizes)
}

/// Formats a size, as in `21.4 MB`.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Glibc, because everything else is tested with it; musl has a different allocator and resolver.
fn target() -> String {
    format!("{ARCH}-unknown-linux-gnu")
}

/// Builds in the usual target folder. An explicit target and a separate profile have their own folders in it, so that
/// this build and debug builds do not invalidate each other.
async fn build(progress: &Progress) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo();
    command.args(["build", "--locked", "--profile", PROFILE]);
    // Without an explicit target, the flags would also apply to build scripts and macros, which must be dynamic.
    command.args(["--target", &target()]);
    for program in SHIPPED {
        command.args(["--package", program, "--bin", program]);
    }
    command.env("RUSTFLAGS", rust_flags()).env_remove("CARGO_ENCODED_RUSTFLAGS");
    let mut step = progress.begin("Building static programs")?;
    step.without_spinner();
    let programs = built(&mut command, progress).await?;
    step.done(format!("Static programs for {}", target()));
    Ok(programs)
}

/// Links the C library into the program, and removes this machine's paths from it.
fn rust_flags() -> String {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let renamed = [Some((workspace_root(), "/jaego")), cargo_home.map(|path| (path, "/cargo"))];
    let renamed = renamed.into_iter().flatten().map(|(path, name)| (path.display().to_string(), name));
    // Flags are separated by spaces, so a path with a space cannot be remapped.
    let renamed = renamed.filter(|(path, _)| !path.contains(' '));
    let renamed = renamed.map(|(path, name)| format!("--remap-path-prefix={path}={name}"));
    let flags = ["-C target-feature=+crt-static".to_owned()].into_iter().chain(renamed);
    flags.collect::<Vec<String>>().join(" ")
}

/// Checks a program. Returns its size in bytes and the version that it prints.
async fn check(path: &Path, program: &str) -> anyhow::Result<(u64, String)> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    elf::must_be_static(&bytes).with_context(|| format!("{program} would not run in an empty image"))?;
    let size = bytes.len() as u64;
    ensure!(size <= BYTES_MAX, "{program} has {}, more than {}", megabytes(size), megabytes(BYTES_MAX));
    let root = empty_root::EmptyRoot::with(path)?;
    let asked = timeout(QUESTION_TIMEOUT, said(root.command("--version").await?));
    let version = asked.await.with_context(|| format!("{program} --version did not end"))??;
    ensure!(version.starts_with(program), "{program} --version said {version:?}");
    Ok((size, version))
}

/// Replaces the file atomically, so that a process that runs the old program is not disturbed.
fn put(from: &Path, to: &Path) -> anyhow::Result<()> {
    let new = to.with_extension("new");
    let copied = fs::copy(from, &new)
        .and_then(|_| fs::set_permissions(&new, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&new, to));
    copied.with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_a_disk_maker() {
        assert_eq!(megabytes(21_449_999), "21.4 MB");
        assert_eq!(megabytes(BYTES_MAX), "30.0 MB");
    }

    #[test]
    fn a_program_is_replaced_and_may_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o600)).unwrap();
        put(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
