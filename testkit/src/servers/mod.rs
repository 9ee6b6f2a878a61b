//! Private server instances: found, started, watched and stopped without touching any server that already
//! runs on this machine.

mod find;
pub(crate) mod place;
mod ports;
mod postgres;
mod rabbitmq;
pub mod shared;

use std::{path::Path, time::Duration};

pub use self::{
    find::{PostgresBinaries, RabbitBinaries, find_postgres, find_rabbitmq},
    place::write_private,
    ports::choose as choose_ports,
    postgres::{PostgresOptions, PostgresServer},
    rabbitmq::{RabbitOptions, RabbitServer},
};
use crate::{error::Result, process};

/// Time limit for a server to stop before it is killed.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// Record of the server itself, in its folder.
const SERVER_RECORD: &str = "server.pid";
/// Record of RabbitMQ's private epmd.
const EPMD_RECORD: &str = "epmd.pid";

/// Stops the server in `dir`, whichever process started it. Returns true when one ran.
pub async fn stop_recorded(dir: &Path) -> Result<bool> {
    let server = process::stop_recorded(&dir.join(SERVER_RECORD), STOP_TIMEOUT).await?;
    let epmd = process::stop_recorded(&dir.join(EPMD_RECORD), Duration::from_secs(5)).await?;
    Ok(server || epmd)
}

/// True when the server in `dir` is still running.
pub fn is_running(dir: &Path) -> bool {
    process::is_running(&dir.join(SERVER_RECORD))
}

/// Removes everything that a server keeps in `dir`, following its link. The server must be stopped first.
pub fn wipe(dir: &Path) -> Result<()> {
    place::wipe(dir)
}

/// A random secret of 32 hexadecimal digits.
pub fn random_secret() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
