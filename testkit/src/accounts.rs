//! The account that a server runs as. Neither initdb nor postgres runs as root, so root hands its servers to
//! an unprivileged account.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::{Gid, Uid, User, chown, geteuid};

use crate::error::{Doing as _, Error, Result};

/// An unprivileged account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// The account of a server; `None`, for this process's own, unless this process is root.
    pub(crate) fn for_server(preferred: &str) -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        [preferred, "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Some(Self { uid: user.uid, gid: user.gid }))
            .ok_or_else(|| {
                Error::Invalid(format!("servers do not run as root, and there is no account {preferred} or nobody"))
            })
    }

    pub(crate) fn uid(self) -> u32 {
        self.uid.as_raw()
    }

    pub(crate) fn gid(self) -> u32 {
        self.gid.as_raw()
    }

    /// Makes the account the owner of a file or folder.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).doing(|| format!("hand {} to the server's account", path.display()))
    }

    /// Makes the account the owner of a folder and everything in it.
    pub(crate) fn own_tree(self, path: &Path) -> Result<()> {
        self.own(path)?;
        let entries = fs::read_dir(path).doing(|| format!("list {}", path.display()))?;
        for entry in entries.filter_map(std::result::Result::ok) {
            let kind = entry.file_type().doing(|| format!("look at {}", entry.path().display()))?;
            if kind.is_dir() {
                self.own_tree(&entry.path())?;
            } else if kind.is_file() {
                self.own(&entry.path())?;
            }
        }
        Ok(())
    }

    /// True when the account may traverse this folder and all its ancestors.
    pub(crate) fn can_traverse(self, folder: &Path) -> bool {
        folder.ancestors().all(|ancestor| {
            fs::metadata(ancestor).is_ok_and(|meta| {
                let mode = meta.mode();
                if meta.uid() == self.uid() {
                    mode & 0o100 != 0
                } else if meta.gid() == self.gid() {
                    mode & 0o010 != 0
                } else {
                    mode & 0o001 != 0
                }
            })
        })
    }
}
