//! The program: its commands, and the settings that each needs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use jaego_net::install_tls;
use jaego_settings::{Settings, Sources};
use tokio::signal::unix::{SignalKind, signal};

use crate::process::Running;
use crate::settings::HasTelemetry;

/// Identity of a program.
#[derive(Clone, Copy)]
pub struct Program {
    /// Such as `sales-service`.
    pub name: &'static str,
    /// Such as `JAEGO_SALES`.
    pub env_prefix: &'static str,
    /// Content of the embedded `default.toml`.
    pub defaults: &'static str,
}

#[derive(Parser)]
#[command(version)]
struct Cli<C: Subcommand> {
    /// A TOML file that overrides the built-in defaults; the environment overrides both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: C,
}

/// Runs a Jaego program, or one of its maintenance commands.
#[derive(Subcommand)]
enum BasicCommand {
    /// Run the program until SIGTERM or SIGINT.
    Serve,
    /// Check the configuration, report every problem, and exit.
    CheckConfig,
}

/// Arguments of a program without a database.
pub fn arguments(name: &'static str) -> clap::Command {
    arguments_with::<BasicCommand>(name)
}

/// Arguments of a program with these commands.
pub fn arguments_with<C: Subcommand>(name: &'static str) -> clap::Command {
    Cli::<C>::command().name(name)
}

pub fn run_without_database<S: Settings, F>(program: Program, start: impl FnOnce(S) -> F) -> ExitCode
where
    S::Common: HasTelemetry,
    F: Future<Output = anyhow::Result<Running>>,
{
    run_command(&program, |command, sources| match command {
        BasicCommand::CheckConfig => check_config::<S>(&program, sources),
        BasicCommand::Serve => serve(&program, sources, start),
    })
}

/// Parses the arguments and runs one command with the sources of its settings.
pub fn run_command<C: Subcommand>(
    program: &Program,
    run: impl FnOnce(C, Sources<'_>) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let arguments = arguments_with::<C>(program.name).get_matches();
    let cli = Cli::<C>::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit());
    let sources = Sources {
        defaults: program.defaults,
        file: cli.config.as_deref(),
        env_prefix: program.env_prefix,
        env: std::env::vars().collect(),
    };
    // This precedes anything that may use TLS, such as the exporter of traces.
    install_tls();
    match run(cli.command, sources) {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the process ends, and logs may not be set up")]
            {
                eprintln!("{}: {error:#}", program.name);
            }
            ExitCode::FAILURE
        }
    }
}

/// The command `check-config`.
pub fn check_config<S: Settings>(program: &Program, sources: Sources<'_>) -> anyhow::Result<ExitCode> {
    jaego_settings::load::<S>(sources)?;
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    {
        println!("{}: the configuration is valid", program.name);
    }
    Ok(ExitCode::SUCCESS)
}

/// The command `serve`: runs until SIGTERM or SIGINT.
pub fn serve<S: Settings, F>(
    program: &Program,
    sources: Sources<'_>,
    start: impl FnOnce(S) -> F,
) -> anyhow::Result<ExitCode>
where
    S::Common: HasTelemetry,
    F: Future<Output = anyhow::Result<Running>>,
{
    let settings: S = jaego_settings::load(sources)?;
    jaego_telemetry::init(program.name, settings.common().telemetry())?;
    runtime()?.block_on(until_told_to_stop(settings, start))
}

pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn until_told_to_stop<S: Settings, F>(settings: S, start: impl FnOnce(S) -> F) -> anyhow::Result<ExitCode>
where
    S::Common: HasTelemetry,
    F: Future<Output = anyhow::Result<Running>>,
{
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = start(settings).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}
