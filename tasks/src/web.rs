//! The web application in `frontend/web`. Node.js builds it into `frontend/web/dist`: a release build of the frontend
//! embeds that folder, a debug build reads it when it starts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::node;
use crate::node::{Node, WEB, package_dir};
use localstack::cargo::{end_of, workspace_root};
use localstack::progress::Progress;

/// Inputs of the build, besides the installed packages.
const INPUTS: [&str; 10] = [
    ".npmrc",
    "package.json",
    "package-lock.json",
    "index.html",
    "console.html",
    "vite.config.ts",
    "tsconfig.json",
    "tsconfig.node.json",
    "public",
    "src",
];

/// Digest of the build's inputs, in `dist`. A build empties `dist` first, so the file only exists next to the pages
/// that were made from these inputs.
const STAMP: &str = ".vite/inputs";

/// Builds the pages if possible. Otherwise it says why (and how to install Node.js), and the rest runs without.
pub(crate) async fn build_if_possible(progress: &Progress) -> anyhow::Result<()> {
    if is_built() {
        return Ok(());
    }
    let built = match Node::find() {
        Ok(node) => build(progress, &node).await,
        Err(_) => Err(anyhow::anyhow!(
            "{} or npm is missing. On Debian 13, Ubuntu 25.04 or later, type:\n\n  sudo apt-get update && sudo apt-get \
             install -y --no-install-recommends nodejs npm\n\nelsewhere see https://nodejs.org/en/download. Then retry",
            node::NODE
        )),
    };
    if let Err(error) = built {
        progress.check()?;
        progress.note(format!("Everything runs except the shop and the console: {error:#}"));
    }
    Ok(())
}

/// Builds the pages, unless they are up to date.
pub(crate) async fn build(progress: &Progress, node: &Node) -> anyhow::Result<()> {
    node::install(progress, node, WEB).await?;
    if is_built() {
        return Ok(());
    }
    let dir = package_dir(WEB);
    let inputs = digest(&dir)?;
    let mut step = progress.begin(format!("Building the web application: npm run build in {WEB}"))?;
    step.without_spinner();
    let mut npm = node.npm(&dir).args(["run", "build"]).process_group(0).spawn().context("cannot run npm")?;
    ensure!(end_of(&mut npm, progress).await?.success(), "`npm run build` failed in {WEB}: its output above says why");
    let stamp = dir.join("dist").join(STAMP);
    let folder = stamp.parent().map_or_else(workspace_root, Path::to_owned);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&stamp, inputs))
        .with_context(|| format!("cannot write {}", stamp.display()))?;
    step.done("The web application is built");
    Ok(())
}

/// Returns whether the pages were made from the current inputs.
fn is_built() -> bool {
    let dir = package_dir(WEB);
    let made_from = fs::read_to_string(dir.join("dist").join(STAMP)).ok();
    made_from.is_some() && made_from == digest(&dir).ok()
}

/// Digest of names and contents. Modification times are ignored, because switching branches changes them.
fn digest(dir: &Path) -> anyhow::Result<String> {
    let mut files = BTreeMap::new();
    for input in INPUTS {
        collect(dir, &dir.join(input), &mut files)?;
    }
    let mut hash = Sha256::new();
    for (name, path) in files {
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for part in [name.as_bytes(), &content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Collects the files below `path`, except tests.
fn collect(root: &Path, path: &Path, files: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
            collect(root, &entry?.path(), files)?;
        }
    } else if path.is_file() && !name.contains(".test.") {
        files.insert(name, path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_stale_when_an_input_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let seen = || digest(dir.path()).unwrap();
        write("src/shop/main.tsx", "1");
        write("index.html", "1");
        let before = seen();
        write("src/shop/main.test.tsx", "1");
        write("README.md", "1");
        write("src/shop/main.tsx", "1");
        assert_eq!(seen(), before);
        write("src/shop/main.tsx", "2");
        assert_ne!(seen(), before);
        write("src/shop/main.tsx", "1");
        assert_eq!(seen(), before);
        fs::remove_file(dir.path().join("index.html")).unwrap();
        assert_ne!(seen(), before);
    }
}
