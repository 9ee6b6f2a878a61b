//! Our own programs, built and found.

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

/// The packages, and the program that each makes.
const PROGRAMS: [(&str, &str); 6] = [
    ("sales-service", "sales-service"),
    ("production-service", "production-service"),
    ("restock-service", "restock-service"),
    ("frontend", "frontend"),
    ("testkit", "factory-simulator"),
    ("jaegoctl", "jaegoctl"),
];

/// Where each program is.
#[derive(Debug, Clone)]
pub struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds them with cargo, whose own output is shown; in one run with `further` packages, because the
    /// features of what they share are those of all that is built together.
    pub async fn build(release: bool, further: &[&str], progress: &Progress) -> anyhow::Result<Self> {
        let mut command = cargo();
        command.arg("build");
        if release {
            command.arg("--release");
        }
        for package in PROGRAMS.map(|(package, _)| package).iter().chain(further) {
            command.args(["--package", package]);
        }
        let paths = built(&mut command, progress).await?;
        Self { paths }.complete()
    }

    /// The folder that cargo has put them in.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.paths.values().next().and_then(|path| path.parent())
    }

    /// Those that are in a folder already.
    pub fn in_folder(dir: &Path) -> anyhow::Result<Self> {
        let present = PROGRAMS.map(|(_, program)| (program.to_owned(), dir.join(program)));
        Self { paths: present.into_iter().filter(|(_, path)| path.is_file()).collect() }.complete()
    }

    /// Are they newer than all that they are made from?
    pub fn are_fresh(&self) -> bool {
        let packages = PROGRAMS.map(|(package, _)| package);
        self.paths.values().all(|program| is_fresh(program, packages.into_iter().chain(["shared"])))
    }

    /// Where a program is; all of them are known.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.paths.get(program).cloned().unwrap_or_else(|| PathBuf::from(program))
    }

    fn complete(self) -> anyhow::Result<Self> {
        match PROGRAMS.iter().find(|(_, program)| !self.paths.contains_key(*program)) {
            Some((package, program)) => bail!("there is no program {program}; cargo package {package} makes it"),
            None => Ok(self),
        }
    }
}

/// Is a program there, and newer than all that these packages are made from?
pub fn is_fresh<'a>(program: &Path, packages: impl IntoIterator<Item = &'a str>) -> bool {
    let sources = packages.into_iter().flat_map(|folder| {
        let folder = workspace_root().join(folder);
        ["src", "migrations", "config", "Cargo.toml"].map(|part| newest(&folder.join(part)))
    });
    let newest_source = sources.chain([newest(&workspace_root().join("Cargo.toml"))]).flatten().max();
    let program = modified(program);
    program.is_some() && program >= newest_source
}

/// When the newest file in a folder (or the file itself) was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let below = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let below = below.filter_map(|entry| newest(&entry.path())).max();
    if path.is_dir() { below } else { modified(path) }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
