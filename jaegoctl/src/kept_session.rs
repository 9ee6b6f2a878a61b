//! The session of `jaegoctl login`, in a file of the user's configuration folder that only the user can read.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::failure::{Exit, Failure, Result};

/// A session, and the access-service that it is for: it is sent to no other installation.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptSession {
    pub(crate) access_url: Url,
    pub(crate) person: String,
    pub(crate) session: String,
}

impl KeptSession {
    /// The kept session; none if nobody is logged in.
    pub(crate) fn read() -> Result<Option<Self>> {
        let Some(path) = path() else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot use {}: {error}", path.display()));
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        if metadata.mode() & 0o077 != 0 {
            return Err(failed(&"others can read or change it; remove it and log in again"));
        }
        let text = fs::read_to_string(&path).map_err(|error| failed(&error))?;
        // The error could quote the session.
        serde_json::from_str(&text).map(Some).map_err(|_| failed(&"it is damaged; remove it and log in again"))
    }

    /// Keeps the session in place of an earlier one.
    pub(crate) fn keep(&self) -> Result<PathBuf> {
        let path = path().ok_or_else(|| Failure::usage("neither XDG_CONFIG_HOME nor HOME is set"))?;
        let failed =
            |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // A new file has its rights from the first byte on; one that is there keeps its own.
        let new = path.with_extension("new");
        fs::remove_file(&new).ok();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)?;
        Ok(path)
    }

    pub(crate) fn forget() -> Result<()> {
        let Some(path) = path() else { return Ok(()) };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::new(Exit::Failed, format!("cannot remove {}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }
}

fn path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(config.join("jaego").join("session.json"))
}
