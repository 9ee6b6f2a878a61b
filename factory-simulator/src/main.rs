//! The factory simulator as a program, for the local stack.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use factory_simulator::{FactorySimulator, STAGE_MS_DEFAULT};
use tokio::signal::unix::{SignalKind, signal};

/// Simulates a factory: takes production requests, and calls back when the goods are made.
#[derive(Debug, Parser)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Duration of each of the four stages, in milliseconds.
    #[arg(long, default_value_t = STAGE_MS_DEFAULT)]
    stage_ms: u64,
    /// File that keeps unfinished requests, which are continued at the next start.
    #[arg(long)]
    state: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (simulator, mut terminate, mut interrupt) = match (
        FactorySimulator::start_kept(args.listen, args.stage_ms, args.state.as_deref()),
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(simulator), Ok(terminate), Ok(interrupt)) => (simulator, terminate, interrupt),
        (Err(error), ..) => {
            eprintln!("factory-simulator: {error:#}");
            return ExitCode::FAILURE;
        }
        (_, Err(error), _) | (.., Err(error)) => {
            eprintln!("factory-simulator: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("factory simulator on {} (stages of {} ms)", simulator.url(), args.stage_ms);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    ExitCode::SUCCESS
}
