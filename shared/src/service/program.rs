//! The program: its commands, and what each needs of the settings.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::{Identity, Program, Running, install_tls};
use crate::db::{self, ConnectError};
use crate::patience::try_for;
use crate::rebuild::{Compared, rebuild_figures};
use crate::settings::{self, Database, Sections as _, Settings, Sources};
use crate::telemetry;

/// Longest time for one statement while the database is waited for, milliseconds.
const DATABASE_WAIT_STATEMENT_MS: u64 = 10_000;

/// Exit code of `rebuild-figures` when figures are off and stay so.
const FIGURES_OFF: u8 = 3;

#[derive(Parser)]
#[command(version)]
struct Cli<C: Subcommand> {
    /// A TOML file that overrides the built-in defaults; the environment overrides both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: C,
}

/// Of a service.
#[derive(Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT.
    Serve,
    /// Bring the service's database to the newest schema, then end.
    Migrate {
        /// Wait for a database that cannot be reached yet, or does not know this service yet, at most so
        /// long, seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
        wait_s: u64,
    },
    /// Compare kept figures (stock) with the rows that explain them (ledger, orders, replenishments),
    /// then end; the exit code is 3 when any is off.
    RebuildFigures {
        /// Set figures that are off to what the rows say. Changes of them wait meanwhile.
        #[arg(long)]
        write: bool,
    },
    /// Read the configuration, tell every problem, then end.
    CheckConfig,
}

/// Of a program without a database.
#[derive(Subcommand)]
enum BasicCommand {
    /// Run until SIGTERM or SIGINT.
    Serve,
    /// Read the configuration, tell every problem, then end.
    CheckConfig,
}

/// A service's program: reads arguments and settings, runs one command.
pub fn run<S: Settings, F>(identity: Identity, start: impl FnOnce(S) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<Running>>,
{
    let program = identity.program();
    run_command(&program, |command, sources| {
        let work = match command {
            Command::CheckConfig => return check_config::<S>(&program, sources),
            Command::Serve => return serve(&program, sources, start),
            Command::Migrate { wait_s } => DatabaseWork::Migrate { wait_s },
            Command::RebuildFigures { write } => DatabaseWork::RebuildFigures { write },
        };
        let (database, telemetry) = settings::load_for_database(sources)?;
        telemetry::init(program.name, &telemetry)?;
        runtime()?.block_on(work.run(&identity, &database))
    })
}

/// The same for a program without a database.
pub fn run_without_database<S: Settings, F>(program: Program, start: impl FnOnce(S) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<Running>>,
{
    run_command(&program, |command, sources| match command {
        BasicCommand::CheckConfig => check_config::<S>(&program, sources),
        BasicCommand::Serve => serve(&program, sources, start),
    })
}

fn run_command<C: Subcommand>(
    program: &Program,
    run: impl FnOnce(C, Sources<'_>) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let arguments = Cli::<C>::command().name(program.name).get_matches();
    let cli = Cli::<C>::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit());
    let sources = Sources {
        defaults: program.defaults,
        file: cli.config.as_deref(),
        env_prefix: program.env_prefix,
        env: std::env::vars().collect(),
    };
    // Before anything that may speak TLS: the exporter of traces is one.
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

fn check_config<S: Settings>(program: &Program, sources: Sources<'_>) -> anyhow::Result<ExitCode> {
    settings::load::<S>(sources)?;
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    {
        println!("{}: the configuration is valid", program.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn serve<S: Settings, F>(
    program: &Program,
    sources: Sources<'_>,
    start: impl FnOnce(S) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Running>>,
{
    let settings: S = settings::load(sources)?;
    telemetry::init(program.name, settings.common().telemetry())?;
    runtime()?.block_on(until_told_to_stop(settings, start))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn until_told_to_stop<S: Settings, F>(settings: S, start: impl FnOnce(S) -> F) -> anyhow::Result<ExitCode>
where
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

/// What is done to the database alone, without a service.
enum DatabaseWork {
    Migrate { wait_s: u64 },
    RebuildFigures { write: bool },
}

impl DatabaseWork {
    async fn run(self, identity: &Identity, database: &Database) -> anyhow::Result<ExitCode> {
        match self {
            Self::Migrate { wait_s } => {
                wait_for_database(database, identity.name, Duration::from_secs(wait_s)).await?;
                let applied = db::migrate(database, (identity.migrations)()).await?;
                tracing::info!(count = applied.len(), versions = applied.join(" "), "schema is up to date");
                Ok(ExitCode::SUCCESS)
            }
            Self::RebuildFigures { write } => Ok(tell(&rebuild_figures(database, &identity.books, write).await?)),
        }
    }
}

/// Until the service is let in, at most so long. While an installation is made, somebody else makes
/// its role and its database.
async fn wait_for_database(database: &Database, name: &str, limit: Duration) -> Result<(), ConnectError> {
    try_for(
        limit,
        |error| !matches!(error, ConnectError::Unusable(_)),
        |error| tracing::info!(limit_s = limit.as_secs(), %error, "waiting for the database"),
        async || db::connect(database, name, DATABASE_WAIT_STATEMENT_MS).await.map(drop),
    )
    .await
}

/// The answer of `rebuild-figures`.
fn tell(compared: &[Compared]) -> ExitCode {
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    for figure in compared {
        println!("{figure}");
    }
    if compared.is_empty() {
        #[expect(clippy::print_stdout, reason = "the command's answer")]
        {
            println!(
                "this service has no figure that can be rebuilt from other rows; GET /api/v1/audit compares what it keeps"
            );
        }
    }
    let is_off = compared.iter().any(|figure| figure.mended < figure.off.len());
    if is_off { ExitCode::from(FIGURES_OFF) } else { ExitCode::SUCCESS }
}
