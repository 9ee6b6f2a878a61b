//! Keys as files: a pair is never overwritten, a private key is readable only by its owner, and the set is
//! replaced atomically.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, spki::der::pem::LineEnding},
};
use jaego_contracts::callback::public_key_id;
use rand::{TryRng as _, rngs::SysRng};

use crate::failure::{Exit, Failure, Result};

/// File of all public keys, in the format that restock-service reads from its environment.
pub(super) const SET: &str = "public-keys.txt";
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Ids are three bytes long, so a new key may collide with an existing one and is then generated again.
const TRIES_MAX: u32 = 20;

pub(super) struct Public {
    pub(super) kid: String,
    pub(super) pem: String,
}

pub(super) struct Folder(PathBuf);

pub(super) fn private_name(kid: &str) -> String {
    format!("signing-key-{kid}.pem")
}

pub(super) fn public_name(kid: &str) -> String {
    format!("public-key-{kid}.pem")
}

/// Reads one or more public keys from a file.
pub(super) fn read_public(path: &Path) -> Result<Vec<Public>> {
    let bad = |why: &str| Failure::usage(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| bad(&format!("cannot be read: {error}")))?;
    if text.contains("PRIVATE KEY") {
        return Err(bad("contains a private key; give public keys only (openssl pkey -pubout)"));
    }
    let mut keys = Vec::new();
    for part in text.split_inclusive(END) {
        let Some(start) = part.find(BEGIN) else { continue };
        let pem = format!("{}\n", part[start..].trim());
        let kid = public_key_id(&pem).map_err(|_| bad("not an Ed25519 public key in PEM form"))?;
        keys.push(Public { kid, pem });
    }
    if keys.is_empty() { Err(bad("contains no public key in PEM form (openssl pkey -pubout)")) } else { Ok(keys) }
}

impl Folder {
    /// Opens an existing folder.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        if dir.is_dir() {
            Ok(Self(dir.to_owned()))
        } else {
            Err(Failure::usage(format!("{}: there is no such folder", dir.display())))
        }
    }

    /// Creates a folder that only its owner can access.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed("make", dir, &error))?;
        Ok(Self(dir.to_owned()))
    }

    /// All public keys in the folder, sorted by id.
    pub(super) fn public_keys(&self) -> Result<Vec<Public>> {
        let mut keys = Vec::new();
        let entries = fs::read_dir(&self.0).map_err(|error| failed("list", &self.0, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed("list", &self.0, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("public-key-") && path.extension().is_some_and(|extension| extension == "pem") {
                keys.extend(read_public(&path)?);
            }
        }
        keys.sort_by(|one, other| one.kid.cmp(&other.kid));
        keys.dedup_by(|one, other| one.kid == other.kid);
        Ok(keys)
    }

    /// Adds a public key, unless it is already there.
    pub(super) fn add_public(&self, key: &Public) -> Result<()> {
        let path = self.0.join(public_name(&key.kid));
        match write_new(&path, 0o644, &key.pem) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(|error| failed("write", &path, &error)),
        }
    }

    /// Adds a new pair and returns its public key.
    pub(super) fn add_pair(&self) -> Result<Public> {
        for _ in 0..TRIES_MAX {
            let (private_pem, public) = generate()?;
            let (private_path, public_path) =
                (self.0.join(private_name(&public.kid)), self.0.join(public_name(&public.kid)));
            if private_path.exists() || public_path.exists() {
                continue;
            }
            write_new(&private_path, 0o600, &private_pem).map_err(|error| failed("write", &private_path, &error))?;
            self.add_public(&public)?;
            return Ok(public);
        }
        Err(Failure::new(Exit::Failed, "every generated key had an id that is already in use; try again"))
    }

    /// Replaces the set of public keys by a rename.
    pub(super) fn write_set(&self, keys: &[Public]) -> Result<()> {
        let text = keys.iter().map(|key| key.pem.trim()).collect::<Vec<_>>().join(",");
        let (path, new) = (self.0.join(SET), self.0.join(format!("{SET}.new")));
        fs::remove_file(&new).ok();
        write_new(&new, 0o644, &format!("{text}\n"))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| failed("write", &path, &error))
    }

    pub(super) fn remove(&self, key: &Public) -> Result<()> {
        let path = self.0.join(public_name(&key.kid));
        fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))
    }
}

fn generate() -> Result<(impl AsRef<str> + std::ops::Deref<Target = String>, Public)> {
    let unusable = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("cannot create a key: {error}"));
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| unusable(&error))?;
    let key = SigningKey::from_bytes(&seed);
    let private_pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| unusable(&error))?;
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|error| unusable(&error))?;
    let kid = public_key_id(&pem).map_err(|error| unusable(&error))?;
    Ok((private_pem, Public { kid, pem }))
}

fn write_new(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot {doing} {}: {error}", path.display()))
}
