//! A service's program: its commands, and the settings that each needs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use jaego_net::patience::try_for;
use jaego_pg::settings::{Database, SchemaOwner};
use jaego_pg::{ConnectError, Migrator, connect, migrate};
use jaego_process::settings::HasTelemetry;
use jaego_process::{Running, arguments_with, check_config, run_command, runtime, serve};
use jaego_settings::Settings;

use crate::Identity;
use crate::rebuild::{Compared, rebuild_figures};
use crate::settings::load_for_database;

/// Timeout of one statement while waiting for the database, milliseconds.
const DATABASE_WAIT_STATEMENT_MS: u64 = 10_000;

/// Exit code of `rebuild-figures` when wrong figures remain.
const FIGURES_OFF: u8 = 3;

/// Runs a Jaego service, or one of its maintenance commands.
#[derive(Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT.
    Serve,
    /// Migrate the service's database to the newest schema, as its owner if `database.owner_url` is set, and exit.
    Migrate {
        /// Maximum wait, in seconds, for a database that cannot be reached yet or lacks this service's role.
        #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
        wait_s: u64,
    },
    /// Compare stored figures (stock) with the rows that they are derived from (ledger, orders, replenishments),
    /// and exit; the exit code is 3 if any figure is wrong.
    RebuildFigures {
        /// Set wrong figures to the values derived from the rows. Changes of these figures wait until it is done.
        #[arg(long)]
        write: bool,
    },
    /// Check the configuration, report every problem, and exit.
    CheckConfig,
}

/// Arguments of a service's program.
pub fn arguments(name: &'static str) -> clap::Command {
    arguments_with::<Command>(name)
}

/// Runs a service's program: parses arguments, loads settings, runs one command.
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
        let (database, owner, telemetry) = load_for_database(sources)?;
        jaego_telemetry::init(program.name, &telemetry)?;
        runtime()?.block_on(work.run(&identity, database, owner))
    })
}

/// Work on the database alone, without a running service.
enum DatabaseWork {
    Migrate { wait_s: u64 },
    RebuildFigures { write: bool },
}

impl DatabaseWork {
    async fn run(self, identity: &Identity, database: Database, owner: SchemaOwner) -> anyhow::Result<ExitCode> {
        match self {
            Self::Migrate { wait_s } => {
                let migrator = Migrator::new(database, owner).map_err(anyhow::Error::msg)?;
                wait_for_database(&migrator.login, identity.name, Duration::from_secs(wait_s)).await?;
                let applied = migrate(&migrator, (identity.migrations)()).await?;
                tracing::info!(count = applied.len(), versions = applied.join(" "), "schema is up to date");
                Ok(ExitCode::SUCCESS)
            }
            Self::RebuildFigures { write } => Ok(print(&rebuild_figures(&database, &identity.books, write).await?)),
        }
    }
}

/// Waits, at most `limit`, until this login can connect. During an installation its role and its database are
/// created by another process.
async fn wait_for_database(database: &Database, name: &str, limit: Duration) -> Result<(), ConnectError> {
    try_for(
        limit,
        |error| !matches!(error, ConnectError::Unusable(_)),
        |error| tracing::info!(limit_s = limit.as_secs(), %error, "waiting for the database"),
        async || connect(database, name, DATABASE_WAIT_STATEMENT_MS).await.map(drop),
    )
    .await
}

/// Prints the result of `rebuild-figures` and returns its exit code.
fn print(compared: &[Compared]) -> ExitCode {
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    for figure in compared {
        println!("{figure}");
    }
    if compared.is_empty() {
        #[expect(clippy::print_stdout, reason = "the command's answer")]
        {
            println!(
                "this service has no figure that can be rebuilt from other rows; GET /api/v1/audit checks its books"
            );
        }
    }
    let is_wrong = compared.iter().any(|figure| figure.repaired < figure.violations.len());
    if is_wrong { ExitCode::from(FIGURES_OFF) } else { ExitCode::SUCCESS }
}
