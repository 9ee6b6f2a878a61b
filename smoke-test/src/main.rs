//! The smoke test of a running Jaego, with this process as the factory. Exit code 0 means that everything
//! works.

mod calls;
mod smoke;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::smoke::{Settings, SmokeTest};

/// Tests a running Jaego, with this process as the factory: orders until an order is refused, accepts the
/// production request, calls back, waits for the goods and orders again; then checks the books and cleans up.
#[derive(Debug, Parser)]
#[command(name = "smoke-test", version)]
struct Args {
    /// The API of sales-service.
    #[arg(long, value_name = "URL", env = "SALES_URL")]
    sales_url: Url,
    /// The API of production-service.
    #[arg(long, value_name = "URL", env = "PRODUCTION_URL")]
    production_url: Url,
    /// The API of restock-service.
    #[arg(long, value_name = "URL", env = "RESTOCK_URL")]
    restock_url: Url,
    /// A file with an operator's bearer token; default: the environment variable OPERATOR_TOKEN.
    #[arg(long, value_name = "FILE", env = "OPERATOR_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Address that the factory listens on.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8090")]
    listen: SocketAddr,
    /// URL at which production-service reaches the factory [default: the address that it listens on]
    #[arg(long, value_name = "URL")]
    factory_url: Option<Url>,
    /// Send the callback to this scheme, host and port, with the path of the CallbackUrl.
    #[arg(long, value_name = "URL")]
    callback_via: Option<Url>,
    /// Duration of each of the factory's four stages, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=60_000))]
    stage_ms: u64,
    /// Maximum duration of the test, in seconds.
    #[arg(long, value_name = "S", default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout_s: u64,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => {
            println!("Jaego works.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("smoke-test: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program talks to its terminal")]
async fn run(args: Args) -> Result<()> {
    let settings = Settings {
        token: token(args.token_file)?,
        sales_url: args.sales_url,
        production_url: args.production_url,
        restock_url: args.restock_url,
        listen: args.listen,
        factory_url: args.factory_url,
        callback_via: args.callback_via,
        stage_ms: args.stage_ms,
        timeout: Duration::from_secs(args.timeout_s),
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    SmokeTest::new(&settings, |line| println!("{line}"))?.run(stop).await
}

/// Never an argument, which `ps` would show.
fn token(file: Option<PathBuf>) -> Result<SecretString> {
    let text = match file {
        Some(path) => {
            std::fs::read_to_string(&path).with_context(|| format!("cannot read the token file {}", path.display()))?
        }
        None => std::env::var("OPERATOR_TOKEN").unwrap_or_default(),
    };
    match text.trim() {
        "" => {
            bail!("no token is given: set OPERATOR_TOKEN_FILE, or give --token-file, with an operator's bearer token")
        }
        token => Ok(token.to_owned().into()),
    }
}
