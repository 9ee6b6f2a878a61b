//! Finds the server programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Missing, process::find_on_path};

const POSTGRES_MAJOR_MIN: u32 = 15;

/// The programs of one PostgreSQL installation.
#[derive(Debug, Clone)]
pub struct PostgresBinaries {
    /// Creates a data folder.
    pub initdb: PathBuf,
    pub postgres: PathBuf,
    pub major: u32,
}

/// The programs of one RabbitMQ installation.
#[derive(Debug, Clone)]
pub struct RabbitBinaries {
    /// The server's own start script (not a distribution's wrapper).
    pub server: PathBuf,
    /// Erlang's port mapper.
    pub epmd: PathBuf,
}

/// Finds the newest PostgreSQL (15 or later) on `PATH` or in Debian's folders.
pub fn find_postgres() -> Result<PostgresBinaries, Missing> {
    let on_path = find_on_path("postgres").and_then(|path| path.parent().map(Path::to_owned));
    on_path
        .into_iter()
        .chain(folders_of("/usr/lib/postgresql").into_iter().map(|folder| folder.join("bin")))
        .filter_map(|bin| postgres_in(&bin))
        .filter(|found| found.major >= POSTGRES_MAJOR_MIN)
        .max_by_key(|found| found.major)
        .ok_or(Missing { program: "PostgreSQL 15 or later", packages: &["postgresql"] })
}

/// Finds a RabbitMQ server whose start script does not switch to another user, and Erlang.
pub fn find_rabbitmq() -> Result<RabbitBinaries, Missing> {
    let missing = |program| Missing { program, packages: &["rabbitmq-server"] };
    if find_on_path("erl").is_none() {
        return Err(missing("Erlang (erl)"));
    }
    let epmd = find_on_path("epmd").ok_or_else(|| missing("Erlang (epmd)"))?;

    let mut installed: Vec<PathBuf> = ["/usr/lib/rabbitmq/lib", "/usr/local/lib/rabbitmq/lib", "/opt"]
        .into_iter()
        .flat_map(folders_of)
        .filter(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rabbitmq")))
        .collect();
    installed.sort_by_key(|folder| version_of(folder));
    let on_path = find_on_path("rabbitmq-server")
        .and_then(|path| fs::canonicalize(path).ok())
        .and_then(|path| path.parent().map(Path::to_owned));

    installed
        .into_iter()
        .rev()
        .map(|folder| folder.join("sbin"))
        .chain(on_path)
        .find(|sbin| is_unwrapped(sbin))
        .map(|sbin| RabbitBinaries { server: sbin.join("rabbitmq-server"), epmd })
        .ok_or_else(|| missing("RabbitMQ (rabbitmq-server)"))
}

/// The real scripts read `rabbitmq-env` beside them; a wrapper has none.
fn is_unwrapped(sbin: &Path) -> bool {
    ["rabbitmq-server", "rabbitmq-env", "rabbitmq-defaults", "../plugins"]
        .into_iter()
        .all(|name| sbin.join(name).exists())
}

fn postgres_in(bin: &Path) -> Option<PostgresBinaries> {
    let (initdb, postgres) = (bin.join("initdb"), bin.join("postgres"));
    if !initdb.is_file() {
        return None;
    }
    let output = Command::new(&postgres).arg("--version").output().ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(PostgresBinaries { initdb, postgres, major })
}

/// Parses lines such as `postgres (PostgreSQL) 15.18 (Debian 15.18-1)` and `... 17beta1`.
fn major_version(line: &str) -> Option<u32> {
    let version = line.split("(PostgreSQL) ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The numbers in `rabbitmq_server-3.10.8`, so that 3.10 is newer than 3.9.
fn version_of(folder: &Path) -> Vec<u32> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn folders_of(parent: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(major_version("something else\n"), None);
    }

    #[test]
    fn a_newer_rabbitmq_sorts_last() {
        assert!(
            version_of(Path::new("/x/rabbitmq_server-3.10.8")) > version_of(Path::new("/x/rabbitmq_server-3.9.13"))
        );
        assert!(version_of(Path::new("/x/rabbitmq_server-4.1.0")) > version_of(Path::new("/x/rabbitmq_server-3.13.7")));
    }

    #[test]
    fn missing_names_the_packages() {
        let missing = Missing { program: "PostgreSQL 15 or later", packages: &["postgresql"] };
        assert_eq!(
            missing.to_string(),
            "PostgreSQL 15 or later is not installed; on Debian or Ubuntu: apt-get install postgresql"
        );
    }
}
