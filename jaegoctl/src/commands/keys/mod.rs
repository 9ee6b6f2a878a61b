//! `jaegoctl keys`: the keys of callback tokens, as files in a folder. Private keys are never printed.

mod folder;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::folder::{Folder, Public};
use crate::{
    failure::{Exit, Failure, Result},
    output::{Output, Rows},
};

/// Keys that sign and verify callback tokens: rotate, list, drop
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    Rotate(Rotate),
    /// List the public keys in a folder
    Ls(InFolder),
    Drop(DropKey),
}

#[derive(Debug, Args)]
pub(crate) struct InFolder {
    /// The folder of the keys
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
}

/// Create a key pair: the private key for production-service, the public key beside the old ones
///
/// Writes signing-key-KID.pem (readable only by its owner), public-key-KID.pem, and public-keys.txt with all
/// public keys in the form that restock-service takes. Nothing is sent anywhere; the next steps are printed.
/// Tokens that were issued before stay valid as long as restock-service has the public key that verifies them.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    folder: InFolder,
    /// Public keys that restock-service has now and that are not in the folder yet, in PEM form; may be
    /// given several times
    #[arg(long, value_name = "FILE")]
    keep: Vec<PathBuf>,
    /// Create the first key: restock-service has none yet
    #[arg(long, conflicts_with = "keep")]
    first: bool,
}

/// Remove a public key from the set, once no token that it verifies is in use any more
///
/// Wait until callback.token_valid_days (30 days by default) have passed since production-service got
/// the next key: once the key is dropped, deliveries with its tokens are refused.
#[derive(Debug, Args)]
pub(crate) struct DropKey {
    #[command(flatten)]
    folder: InFolder,
    /// The key's id
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
}

impl Keys {
    pub(crate) fn run(self, output: Output) -> Result<Exit> {
        match self {
            Self::Rotate(rotate) => rotate.run(output),
            Self::Ls(InFolder { dir }) => {
                let keys = Folder::open(&dir)?.public_keys()?;
                show(output, &dir, &keys, None);
                output.document(&document(&dir, &keys, None));
                Ok(Exit::Ok)
            }
            Self::Drop(drop) => drop.run(output),
        }
    }
}

impl Rotate {
    fn run(self, output: Output) -> Result<Exit> {
        let dir = self.folder.dir;
        let kept = self.keep.iter().map(|path| folder::read_public(path)).collect::<Result<Vec<_>>>()?;
        let kept: Vec<Public> = kept.into_iter().flatten().collect();
        let folder = if dir.exists() { Folder::open(&dir)? } else { Folder::create(&dir)? };
        if !self.first && kept.is_empty() && folder.public_keys()?.is_empty() {
            return Err(Failure::usage(format!(
                "{} contains no public key: restock-service would know only the new key, and refuse deliveries with \
                 tokens of the old one. Give --keep FILE with its public keys, or --first if there are none.",
                dir.display()
            )));
        }
        for key in &kept {
            folder.add_public(key)?;
        }
        let new = folder.add_pair()?;
        let keys = folder.public_keys()?;
        folder.write_set(&keys)?;
        show(output, &dir, &keys, Some(&new.kid));
        output.line("");
        for line in next_steps(&dir, &new.kid) {
            output.line(line);
        }
        output.document(&document(&dir, &keys, Some(&new.kid)));
        Ok(Exit::Ok)
    }
}

impl DropKey {
    fn run(self, output: Output) -> Result<Exit> {
        let dir = self.folder.dir;
        let folder = Folder::open(&dir)?;
        let keys = folder.public_keys()?;
        let (gone, left): (Vec<Public>, Vec<Public>) = keys.into_iter().partition(|key| key.kid == self.kid);
        let Some(gone) = gone.first() else {
            let known: Vec<&str> = left.iter().map(|key| key.kid.as_str()).collect();
            let message = format!("{} has no public key {}; it has {}", dir.display(), self.kid, known.join(", "));
            return Err(Failure::new(Exit::Refused, message));
        };
        if left.is_empty() {
            let message = "this is the only public key: restock-service needs at least one";
            return Err(Failure::new(Exit::Refused, message));
        }
        folder.write_set(&left)?;
        folder.remove(gone)?;
        show(output, &dir, &left, None);
        output.line(format!("Dropped {}. Give restock-service the set, and restart it:", gone.kid));
        output.line(set_variable(&dir));
        output.document(&document(&dir, &left, None));
        Ok(Exit::Ok)
    }
}

fn set_variable(dir: &Path) -> String {
    format!("  JAEGO_RESTOCK__CALLBACK__PUBLIC_KEYS=\"$(cat {})\"", dir.join(folder::SET).display())
}

fn next_steps(dir: &Path, kid: &str) -> Vec<String> {
    let private = dir.join(folder::private_name(kid));
    vec![
        "Next steps, in this order:".to_owned(),
        "1. Give restock-service the set of public keys, and restart it; it accepts tokens of each:".to_owned(),
        set_variable(dir),
        "2. Then give production-service the new private key, and restart it:".to_owned(),
        format!("  JAEGO_PRODUCTION__CALLBACK__SIGNING_KEY=\"$(cat {})\"", private.display()),
        format!("3. Keep {} where your secrets are kept, and delete it here.", private.display()),
        "4. When the tokens of the old key have expired (callback.token_valid_days after step 2, 30 by default):"
            .to_owned(),
        format!("  jaegoctl keys drop OLD-KID --dir {}", dir.display()),
    ]
}

fn show(output: Output, dir: &Path, keys: &[Public], new: Option<&str>) {
    let mut table = Rows::new(["KID", "PUBLIC KEY", ""]);
    for key in keys {
        let note = if new == Some(key.kid.as_str()) { "new" } else { "" };
        table.row([key.kid.as_str(), &folder::public_name(&key.kid), note]);
    }
    output.table(&table);
    output.line(format!("{} public keys in {}", keys.len(), dir.display()));
}

fn document(dir: &Path, keys: &[Public], new: Option<&str>) -> Value {
    let public: Vec<Value> = keys
        .iter()
        .map(|key| json!({"kid": key.kid, "file": dir.join(folder::public_name(&key.kid)), "pem": key.pem}))
        .collect();
    let private = new.map(|kid| dir.join(folder::private_name(kid)));
    json!({"dir": dir, "public_keys": public, "set": dir.join(folder::SET), "new": new, "private_key_file": private})
}
