//! The commands: `run` measures; `serve` runs a baseline server, which `run` starts next to the services.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    baseline::{self, Serve},
    cases,
    output::say,
    run::Run,
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
                        // Dropping the other future stops everything that it has started.
                        _ = interrupt.recv() => anyhow::bail!("stopped; the case in progress was not written"),
                        _ = terminate.recv() => anyhow::bail!("stopped; the case in progress was not written"),
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
