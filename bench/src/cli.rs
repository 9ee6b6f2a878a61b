//! The commands: `run` measures; `serve` is what it starts beside the services to compare with.

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
    /// Be a server that a service is compared with.
    Serve(Serve),
}

/// What to measure, with what.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Which cases; all when none is named.
    #[arg(value_enum)]
    pub cases: Vec<Case>,
    /// Our own programs.
    #[arg(long, value_name = "FOLDER")]
    pub programs: PathBuf,
    /// Where servers keep their data; deleted before and after.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// Where the document and its charts are.
    #[arg(long, value_name = "FOLDER")]
    pub docs: PathBuf,
    /// Only to see that everything runs.
    #[arg(long)]
    pub quick: bool,
    /// Tables of a million orders at the most, two minutes of soak.
    #[arg(long, conflicts_with = "quick")]
    pub short: bool,
    /// Write the document after a quick run, too.
    #[arg(long)]
    pub write: bool,
}

/// A server to compare with.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Which.
    #[arg(value_enum)]
    pub server: baseline::Server,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Its database, when it has one.
    #[arg(long, default_value = "")]
    pub database: String,
    /// Connections to it.
    #[arg(long, default_value_t = 16)]
    pub pool: usize,
    /// A PEM file with the public key of callback tokens, for who takes callbacks.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

/// Runs one command.
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

/// A line for the person who waits; a terminal that has gone away is no failure.
pub fn say(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{text}").ok();
}

/// A line of the answer.
pub fn answer(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").ok();
}
