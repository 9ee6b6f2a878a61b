//! The commands: `run` measures; `serve` is a baseline server, which `run` starts next to the services.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    baseline,
    cases::{self, Case},
};

/// Measures Jaego; `cargo xtask bench` builds and runs it.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure.
    Run(Run),
    /// Run a baseline server.
    Serve(Serve),
}

/// Options of a measurement.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Cases to measure; all if none is named.
    #[arg(value_enum)]
    pub cases: Vec<Case>,
    /// Folder of Jaego's own programs.
    #[arg(long, value_name = "FOLDER")]
    pub programs: PathBuf,
    /// Folder for the data of servers; deleted before and after.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// Folder of the document and its charts.
    #[arg(long, value_name = "FOLDER")]
    pub docs: PathBuf,
    /// Only check that everything runs.
    #[arg(long)]
    pub quick: bool,
    /// Limit tables to a million orders and the soak to two minutes.
    #[arg(long, conflicts_with = "quick")]
    pub short: bool,
    /// Write the document after a quick run, too.
    #[arg(long)]
    pub write: bool,
}

/// Options of a baseline server.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The server to run.
    #[arg(value_enum)]
    pub server: baseline::Server,
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

pub fn run(cli: Cli) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads");
    let outcome = outcome.and_then(|runtime| {
        runtime.block_on(async {
            match cli.command {
                Command::Run(wanted) => {
                    let (mut interrupt, mut terminate) =
                        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
                    tokio::select! {
                        outcome = cases::run(&wanted) => outcome,
                        // Dropping the other future ends all that it has started.
                        _ = interrupt.recv() => anyhow::bail!("stopped; nothing was written"),
                        _ = terminate.recv() => anyhow::bail!("stopped; nothing was written"),
                    }
                }
                Command::Serve(wanted) => baseline::serve(&wanted).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints progress to standard error; a closed terminal is not an error.
pub fn say(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Prints a line of the result to standard output.
pub fn answer(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").ok();
}
