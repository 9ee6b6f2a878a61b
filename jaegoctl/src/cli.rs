//! The commands and their arguments.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    commands::{
        audit::Audit,
        database::Database,
        dlq::Dlq,
        factories::Factories,
        help::{Completions, Man},
        keys::Keys,
        login::{Login, Logout},
        migrate::Migrate,
        orders::Orders,
        quarantine::Quarantine,
        receipts::Receipts,
        replenishments::Replenishments,
        requests::Requests,
        sessions::Sessions,
        status::Status,
        stock::Stock,
        tokens::Tokens,
        topology::Topology,
    },
    connection::Connection,
    failure::{EXIT_CODES, Exit, Result},
    output::{Output, say},
};

/// The operators' command line of Jaego: shows the state of the services, and changes it only with an
/// explicit verb.
///
/// SALES_URL, PRODUCTION_URL, RESTOCK_URL and ACCESS_URL are the URLs of the services' `api` ports, and
/// OPERATOR_TOKEN is the bearer token; without one, the session of `jaegoctl login` is used. For a local stack: source target/dev/env
#[derive(Debug, Parser)]
#[command(name = "jaegoctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Print one JSON document on standard output, for programs; times are in UTC
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

// The help of each command is in its own file.
#[derive(Debug, Subcommand)]
enum Command {
    Status(Status),
    Audit(Audit),
    Dlq(Dlq),
    #[command(subcommand)]
    Requests(Requests),
    #[command(subcommand)]
    Factories(Factories),
    #[command(subcommand)]
    Receipts(Receipts),
    #[command(subcommand)]
    Quarantine(Quarantine),
    #[command(subcommand)]
    Stock(Stock),
    #[command(subcommand)]
    Orders(Orders),
    #[command(subcommand)]
    Replenishments(Replenishments),
    Login(Login),
    Logout(Logout),
    #[command(subcommand)]
    Tokens(Tokens),
    #[command(subcommand)]
    Sessions(Sessions),
    #[command(subcommand)]
    Topology(Topology),
    #[command(subcommand)]
    Keys(Keys),
    #[command(subcommand)]
    Database(Database),
    Migrate(Migrate),
    Completions(Completions),
    Man(Man),
}

pub fn run(cli: Cli) -> ExitCode {
    jaego_net::install_tls();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: {error}"));
            return Exit::Failed.into();
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            say(&format!("error: {failure}"));
            failure.exit.into()
        }
    }
}

impl Cli {
    async fn run(self) -> Result<Exit> {
        let (output, connection) = (Output { json: self.json }, self.connection);
        match self.command {
            Command::Status(status) => status.run(&connection, output).await,
            Command::Audit(audit) => audit.run(&connection, output).await,
            Command::Dlq(dlq) => dlq.run(&connection, output).await,
            Command::Requests(requests) => requests.run(&connection, output).await,
            Command::Factories(factories) => factories.run(&connection, output).await,
            Command::Receipts(receipts) => receipts.run(&connection, output).await,
            Command::Quarantine(quarantine) => quarantine.run(&connection, output).await,
            Command::Stock(stock) => stock.run(&connection, output).await,
            Command::Orders(orders) => orders.run(&connection, output).await,
            Command::Replenishments(replenishments) => replenishments.run(&connection, output).await,
            Command::Login(login) => login.run(&connection, output).await,
            Command::Logout(logout) => logout.run(&connection, output).await,
            Command::Tokens(tokens) => tokens.run(&connection, output).await,
            Command::Sessions(sessions) => sessions.run(&connection, output).await,
            Command::Topology(topology) => topology.run(&connection, output).await,
            Command::Keys(keys) => keys.run(output),
            Command::Database(database) => database.run(output).await,
            Command::Migrate(migrate) => migrate.run(output).await,
            Command::Completions(completions) => Ok(completions.run(Self::command())),
            Command::Man(man) => man.run(Self::command()),
        }
    }
}

/// Help of all commands as one Markdown document: `docs/jaegoctl.md`.
pub fn reference() -> String {
    crate::commands::help::reference(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
