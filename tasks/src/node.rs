//! Node.js, and the npm packages of the web application, of the generated clients and of the chart's checks.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure as must};
use serde_json::Value;
use testkit::process::find_on_path;
use tokio::process::Command;

use localstack::cargo::{end_of, workspace_root};
use localstack::packages::{Hints, MissingPrograms, provide};
use localstack::progress::Progress;

/// Oldest version that the packages support: major, minor.
const NODE_MIN: (u32, u32) = (20, 19);
/// Name of the requirement in messages.
pub(crate) const NODE: &str = "Node.js 20.19 or later";

const HINTS: Hints = Hints {
    elsewhere: "install Node.js 20.19 or later so that `node` and `npm` are on PATH",
    newer: "Newer ones: https://nodejs.org/en/download",
    note: "The tests and the web application's build need them, the services do not.",
};

/// The web application.
pub const WEB: &str = "frontend/web";
/// The package that generates clients and calls every operation with them.
pub const API_CLIENT: &str = "e2e/api-client";
/// The package that has the schemas of custom resources.
pub const CHART_CHECKS: &str = "helm/checks";

#[derive(Debug, Clone)]
pub struct Node {
    npm: PathBuf,
    version: String,
}

/// A sentence that says what to do before a package can be used.
#[derive(Debug, PartialEq, Eq)]
pub struct NotReady(String);

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Node {
    /// Finds Node.js on `PATH`, with the installed dependencies of `package`. Does not use the network.
    pub fn ready(package: &str) -> Result<Self, NotReady> {
        let type_this = "type `cargo xtask test`, which provides them, or";
        let node = Self::find().map_err(|missing| {
            let packages = missing.packages.join(" ");
            NotReady(format!("{} missing: {type_this} `apt-get install {packages}`", missing.programs.join(" and ")))
        })?;
        if are_installed(&package_dir(package)) {
            return Ok(node);
        }
        let stale = format!("the packages of {package} are not installed as in its package-lock.json");
        Err(NotReady(format!("{stale}: {type_this} `npm ci --prefix {package}`")))
    }

    /// Finds Node.js and npm on `PATH`.
    pub(crate) fn find() -> Result<Self, MissingPrograms> {
        let version = find_on_path("node").and_then(|node| version_of(&node));
        let version = version.filter(|version| is_new_enough(version));
        match (version, find_on_path("npm")) {
            (Some(version), Some(npm)) => Ok(Self { npm, version }),
            (Some(_), None) => Err(MissingPrograms { programs: vec!["npm"], packages: vec!["npm"], hints: &HINTS }),
            (None, _) => Err(MissingPrograms { programs: vec![NODE], packages: vec!["nodejs", "npm"], hints: &HINTS }),
        }
    }

    /// `npm` in a folder. Dropping the child kills it.
    pub fn npm(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.npm);
        command.current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Folder of a package such as [`API_CLIENT`].
pub fn package_dir(package: &str) -> PathBuf {
    workspace_root().join(package)
}

/// Provides Node.js and the packages, because tests use no network themselves.
pub(crate) async fn ensure(progress: &Progress) -> anyhow::Result<Node> {
    let node = provide_node(progress).await?;
    for package in [API_CLIENT, CHART_CHECKS, WEB] {
        install(progress, &node, package).await?;
    }
    Ok(node)
}

/// Provides Node.js alone. Installs it if that is possible without asking.
pub(crate) async fn provide_node(progress: &Progress) -> anyhow::Result<Node> {
    provide(progress, "Node.js", Node::find, |node| format!("Node.js {} is installed", node.version)).await
}

/// Installs the packages in the lock file of `package`, unless they are installed already.
pub(crate) async fn install(progress: &Progress, node: &Node, package: &str) -> anyhow::Result<()> {
    let dir = package_dir(package);
    if are_installed(&dir) {
        return Ok(());
    }
    let mut step = progress.begin(format!("Installing the packages of {package}: npm ci"))?;
    step.without_spinner();
    let mut npm = node.npm(&dir).arg("ci").process_group(0).spawn().context("cannot run npm")?;
    must!(end_of(&mut npm, progress).await?.success(), "npm ci in {}: see above", dir.display());
    must!(are_installed(&dir), "npm ci has not installed the packages in {}/package-lock.json", dir.display());
    step.done(format!("Installed the packages of {package}"));
    Ok(())
}

/// Compares what npm says it has installed with the lock file. Optional packages (a binary for each platform, for
/// example) are only installed where they fit.
fn are_installed(dir: &Path) -> bool {
    let named = packages(&dir.join("package-lock.json"));
    let there = packages(&dir.join("node_modules/.package-lock.json"));
    let (Some(named), Some(there)) = (named, there) else { return false };
    let is_as_named = |(place, own): (&String, &Package)| named.get(place).is_some_and(|it| it.version == own.version);
    let is_missing = |(place, it): (&String, &Package)| !it.is_optional && !there.contains_key(place);
    there.iter().all(is_as_named) && !named.iter().any(is_missing)
}

struct Package {
    version: String,
    is_optional: bool,
}

/// Packages in a lock file, by path.
fn packages(lock_file: &Path) -> Option<BTreeMap<String, Package>> {
    let lock: Value = serde_json::from_str(&fs::read_to_string(lock_file).ok()?).ok()?;
    let packages = lock["packages"].as_object()?.iter().filter(|(place, _)| !place.is_empty());
    let read = |(place, package): (&String, &Value)| {
        let (version, is_optional) = (package["version"].to_string(), package["optional"] == true);
        (place.clone(), Package { version, is_optional })
    };
    Some(packages.map(read).collect())
}

fn version_of(node: &Path) -> Option<String> {
    let output = std::process::Command::new(node).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= NODE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ones_are_refused() {
        assert!(["20.19.0", "20.20.2", "22.0.0", "24.1.0-nightly"].into_iter().all(is_new_enough));
        assert!(!["12.22.9", "18.20.4", "20.18.3", "", "nonsense"].into_iter().any(is_new_enough));
    }

    #[test]
    fn packages_of_another_lock_file_are_not_there() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let write = |name: &str, version: &str| {
            let lock = format!(r#"{{"packages":{{"":{{}},"node_modules/a":{{"version":"{version}"}}}}}}"#);
            fs::create_dir_all(dir.path().join("node_modules")).expect("a folder");
            fs::write(dir.path().join(name), lock).expect("written");
        };
        assert!(!are_installed(dir.path()), "nothing is there");
        write("package-lock.json", "1.0.0");
        assert!(!are_installed(dir.path()), "nothing was installed");
        write("node_modules/.package-lock.json", "1.0.0");
        assert!(are_installed(dir.path()));
        write("package-lock.json", "1.0.1");
        assert!(!are_installed(dir.path()), "the lock file has changed");
    }

    #[test]
    fn packages_for_other_machines_need_not_be_there() {
        let dir = tempfile::TempDir::new().expect("a folder");
        fs::create_dir_all(dir.path().join("node_modules")).expect("a folder");
        let write = |name: &str, packages: &str| {
            let lock = format!(r#"{{"packages":{{"":{{}},"node_modules/a":{{"version":"1"}}{packages}}}}}"#);
            fs::write(dir.path().join(name), lock).expect("written");
        };
        let (here, there) = ("node_modules/.package-lock.json", r#","node_modules/b":{"version":"1","optional":true}"#);
        write("package-lock.json", there);
        write(here, "");
        assert!(are_installed(dir.path()), "for another machine");
        write(here, there);
        assert!(are_installed(dir.path()), "for this machine");
        write("package-lock.json", r#","node_modules/b":{"version":"2","optional":true}"#);
        assert!(!are_installed(dir.path()), "an older one");
        write("package-lock.json", r#","node_modules/c":{"version":"1"}"#);
        write(here, "");
        assert!(!are_installed(dir.path()), "this one must be there");
    }
}
