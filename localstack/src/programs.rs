//! Jaego's own programs: building and finding them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::bail;

use crate::{
    cargo::{built, cargo, workspace_root},
    progress::Progress,
};

/// The programs, each from the package of the same name. The stack starts all but two: tests and people use those.
const PROGRAMS: [&str; 8] = [
    "sales-service",
    "production-service",
    "restock-service",
    "access-service",
    "frontend",
    "factory-simulator",
    "smoke-test",
    "jaegoctl",
];

/// Paths of all programs, by name.
#[derive(Debug, Clone)]
pub struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds the programs, showing cargo's output. The `further` packages are part of the same run, because cargo
    /// unifies the features of shared dependencies over everything that it builds together.
    pub async fn build(release: bool, further: &[&str], progress: &Progress) -> anyhow::Result<Self> {
        let mut command = cargo();
        command.arg("build");
        if release {
            command.arg("--release");
        }
        for package in PROGRAMS.iter().chain(further) {
            command.args(["--package", package]);
        }
        let paths = built(&mut command, progress).await?;
        Self { paths }.complete()
    }

    /// The folder in which cargo put the programs.
    pub fn folder(&self) -> Option<&Path> {
        self.paths.values().next().and_then(|path| path.parent())
    }

    /// Uses the programs in `dir`. Fails if one is missing.
    pub fn in_folder(dir: &Path) -> anyhow::Result<Self> {
        let present = PROGRAMS.map(|program| (program.to_owned(), dir.join(program)));
        Self { paths: present.into_iter().filter(|(_, path)| path.is_file()).collect() }.complete()
    }

    /// Returns whether the programs are newer than all their sources.
    pub fn are_fresh(&self) -> bool {
        self.paths.values().all(|program| is_fresh(program, PROGRAMS))
    }

    /// Path of a program. All are known, because the constructors check it.
    pub fn path(&self, program: &str) -> PathBuf {
        self.paths.get(program).cloned().unwrap_or_else(|| PathBuf::from(program))
    }

    fn complete(self) -> anyhow::Result<Self> {
        match PROGRAMS.iter().find(|program| !self.paths.contains_key(**program)) {
            Some(program) => bail!("the program {program} is missing; cargo package {program} builds it"),
            None => Ok(self),
        }
    }
}

/// Returns whether a program exists and is newer than all sources of these packages and of the shared crates.
pub fn is_fresh<'a>(program: &Path, packages: impl IntoIterator<Item = &'a str>) -> bool {
    let sources = packages.into_iter().flat_map(|folder| {
        let folder = workspace_root().join(folder);
        ["src", "migrations", "config", "Cargo.toml"].map(|part| newest(&folder.join(part)))
    });
    let of_all = ["Cargo.toml", "shared"].map(|part| newest(&workspace_root().join(part)));
    let newest_source = sources.chain(of_all).flatten().max();
    let program = modified(program);
    program.is_some() && program >= newest_source
}

/// Last modification of a file, or of the newest file in a folder.
fn newest(path: &Path) -> Option<SystemTime> {
    let below = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let below = below.filter_map(|entry| newest(&entry.path())).max();
    if path.is_dir() { below } else { modified(path) }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
