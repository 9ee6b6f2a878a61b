//! A service's program: its commands, and what each needs of the settings.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use jaego_net::patience::try_for;
use jaego_pg::settings::Database;
use jaego_pg::{ConnectError, connect, migrate};
use jaego_process::settings::HasTelemetry;
use jaego_process::{Running, check_config, run_command, runtime, serve};
use jaego_settings::Settings;

use crate::Identity;
use crate::rebuild::{Compared, rebuild_figures};
use crate::settings::load_for_database;

/// Longest time for one statement while the database is waited for, milliseconds.
const DATABASE_WAIT_STATEMENT_MS: u64 = 10_000;

/// Exit code of `rebuild-figures` when figures are off and stay so.
const FIGURES_OFF: u8 = 3;

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

/// A service's program: reads arguments and settings, runs one command.
pub fn run<S: Settings, F>(identity: Identity, start: impl FnOnce(S) -> F) -> ExitCode
where
    S::Common: HasTelemetry,
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
        let (database, telemetry) = load_for_database(sources)?;
        jaego_telemetry::init(program.name, &telemetry)?;
        runtime()?.block_on(work.run(&identity, &database))
    })
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
                let applied = migrate(database, (identity.migrations)()).await?;
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
        async || connect(database, name, DATABASE_WAIT_STATEMENT_MS).await.map(drop),
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
