//! The folder that a server keeps everything in. When the server's account cannot reach the requested folder
//! (below `/root`, for example), the real one is in `/var/tmp` and a symbolic link leads there.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    accounts::Account,
    error::{Doing as _, Error, Result},
};

/// A prepared folder, owned by the account that will use it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
    account: Option<Account>,
}

impl Place {
    /// Creates the folder, or uses the existing one.
    pub(crate) fn prepare(asked: &Path, account: Option<Account>) -> Result<Self> {
        let asked = std::path::absolute(asked).doing(|| format!("resolve {}", asked.display()))?;
        let parent = asked.parent().ok_or_else(|| Error::Invalid(format!("{} has no parent", asked.display())))?;
        fs::create_dir_all(parent).doing(|| format!("create {}", parent.display()))?;

        let dir = match account {
            Some(account) if !account.can_traverse(parent) => elsewhere(&asked, account)?,
            _ => asked,
        };
        make_private(&dir)?;
        if let Some(account) = account {
            let meta = fs::metadata(&dir).doing(|| format!("look at {}", dir.display()))?;
            if meta.uid() != account.uid() {
                account.own_tree(&dir)?;
            }
        }
        let dir = fs::canonicalize(&dir).doing(|| format!("resolve {}", dir.display()))?;
        Ok(Self { dir, account })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Creates a subfolder that the server can write.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        make_private(&path)?;
        self.give(&path)?;
        Ok(path)
    }

    /// Writes a file that only the server's account (and root) can read.
    pub(crate) fn write_private(&self, name: &str, mode: u32, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        write_private(&path, mode, text)?;
        self.give(&path)?;
        Ok(path)
    }

    /// The secret in the file `name`, generated on first use.
    pub(crate) fn secret(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => {
                let secret = super::random_secret();
                self.write_private(name, 0o600, &format!("{secret}\n"))?;
                Ok(secret)
            }
        }
    }

    fn give(&self, path: &Path) -> Result<()> {
        self.account.map_or(Ok(()), |account| account.own(path))
    }
}

/// Replaces a file atomically; other users can never read it.
pub fn write_private(path: &Path, mode: u32, text: &str) -> Result<()> {
    use std::io::Write as _;

    let fresh = path.with_extension("new");
    fs::remove_file(&fresh).ok();
    let mut file = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(&fresh)
        .doing(|| format!("create {}", fresh.display()))?;
    file.write_all(text.as_bytes()).doing(|| format!("write {}", fresh.display()))?;
    fs::rename(&fresh, path).doing(|| format!("replace {}", path.display()))
}

/// Removes the folder and the target of its link.
pub(crate) fn wipe(asked: &Path) -> Result<()> {
    let gone = |result: std::io::Result<()>, path: &Path| match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing(|| format!("remove {}", path.display())),
        _ => Ok(()),
    };
    if let Ok(target) = fs::read_link(asked) {
        gone(fs::remove_dir_all(&target), &target)?;
        gone(fs::remove_file(asked), asked)
    } else {
        gone(fs::remove_dir_all(asked), asked)
    }
}

fn make_private(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(dir).doing(|| format!("create {}", dir.display()))?;
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).doing(|| format!("protect {}", dir.display()))
}

/// A folder that the account can reach, with a link to it at the requested path.
fn elsewhere(asked: &Path, account: Account) -> Result<PathBuf> {
    let digest = hex::encode(Sha256::digest(asked.as_os_str().as_encoded_bytes()));
    let real = PathBuf::from(format!("/var/tmp/jaego-{}", &digest[..16]));
    if let Ok(meta) = fs::symlink_metadata(&real) {
        // Anyone may create names in /var/tmp.
        if !meta.is_dir() || !(meta.uid() == 0 || meta.uid() == account.uid()) {
            return Err(Error::Invalid(format!("{} belongs to another user", real.display())));
        }
    }
    if fs::read_link(asked).is_ok_and(|target| target == real) {
        return Ok(real);
    }
    if fs::symlink_metadata(asked).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir(asked).doing(|| format!("replace {} by a link", asked.display()))?;
    } else {
        fs::remove_file(asked).ok();
    }
    symlink(&real, asked).doing(|| format!("link {} to {}", asked.display(), real.display()))?;
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_the_same_and_private() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::prepare(&root.path().join("a/b"), None).unwrap();
        let secret = place.secret("password").unwrap();
        assert_eq!(secret.len(), 32);
        assert_eq!(place.secret("password").unwrap(), secret);
        let mode = fs::metadata(place.path("password")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        wipe(&root.path().join("a/b")).unwrap();
        assert!(!root.path().join("a/b").exists());
        wipe(&root.path().join("a/b")).unwrap();
    }

    #[test]
    fn a_folder_out_of_reach_becomes_a_link() {
        let Some(account) = Account::for_server("nobody").unwrap() else { return };
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let asked = root.path().join("server");
        let place = Place::prepare(&asked, Some(account)).unwrap();
        assert!(place.dir().starts_with("/var/tmp"), "{}", place.dir().display());
        assert_eq!(fs::read_link(&asked).unwrap(), place.dir());
        let again = Place::prepare(&asked, Some(account)).unwrap();
        assert_eq!(again.dir(), place.dir());
        wipe(&asked).unwrap();
        assert!(!place.dir().exists());
        assert!(fs::symlink_metadata(&asked).is_err());
    }
}
