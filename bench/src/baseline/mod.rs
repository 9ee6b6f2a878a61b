//! Baselines of the services: servers that do the same work in the ordinary way, fairly tuned.

mod empty;
pub mod factory;
mod orders;
mod pool;
mod receipts;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};

/// HTTP worker threads: as many as a service's listener has.
const WORKERS: usize = 2;

/// A baseline server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Only answers: the upper bound of everything over HTTP on this machine.
    Empty,
    /// One transaction for each order.
    Orders,
    /// One transaction for each callback.
    Receipts,
    /// A factory that answers at once.
    Factory,
}

impl Server {
    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Orders => "orders",
            Self::Receipts => "receipts",
            Self::Factory => "factory",
        }
    }
}

/// Options of a baseline server.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The server to run.
    #[arg(value_enum)]
    pub server: Server,
    /// Address to listen on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// URL of its database, if it has one.
    #[arg(long, default_value = "")]
    pub database: String,
    /// Size of its connection pool.
    #[arg(long, default_value_t = 16)]
    pub pool: usize,
    /// PEM file with the public key of callback tokens, for a server that takes callbacks.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

/// Serves until it is terminated, which happens at the latest when its parent process ends.
pub async fn serve(wanted: &Serve) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGTERM).context("cannot ask the kernel to end this process with its parent")?;
    match wanted.server {
        Server::Empty => empty::serve(wanted).await,
        Server::Orders => orders::serve(wanted).await,
        Server::Receipts => receipts::serve(wanted).await,
        Server::Factory => factory::serve(wanted).await,
    }
}
