//! A root folder with a single program in it, like an image.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nix::unistd::geteuid;
use tokio::process::Command;

/// Deleted on drop.
#[derive(Debug)]
pub(super) struct EmptyRoot(PathBuf);

impl EmptyRoot {
    /// Creates the folder with a copy of the program at `/program`.
    pub(super) fn with(program: &Path) -> anyhow::Result<Self> {
        let root = program.with_extension(format!("root-{}", std::process::id()));
        let doing = || format!("cannot make {}", root.display());
        fs::create_dir_all(&root).with_context(doing)?;
        let root = Self(root);
        fs::copy(program, root.0.join("program")).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(root)
    }

    /// Command that runs the program in the folder, without privileges: root can use chroot, other users need a user
    /// namespace. Where neither is allowed, the program runs in the machine's root folder.
    pub(super) async fn command(&self, arg: &str) -> anyhow::Result<Command> {
        let start: &[&str] = if geteuid().is_root() {
            &["chroot", "--userspec=65532:65532"]
        } else {
            &["unshare", "--map-root-user", "chroot"]
        };
        let mut command = Command::new(start[0]);
        command.args(&start[1..]).args(["/", "true"]);
        if crate::output::said(command).await.is_ok() {
            let mut command = Command::new(start[0]);
            command.args(&start[1..]).arg(&self.0).args(["/program", arg]);
            return Ok(command);
        }
        let mut command = Command::new(self.0.join("program"));
        command.arg(arg);
        Ok(command)
    }
}

impl Drop for EmptyRoot {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
