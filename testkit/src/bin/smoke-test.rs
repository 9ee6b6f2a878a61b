//! Does the main job against a Jaego that runs, and is the factory meanwhile. Exit code 0: all of it works.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use secrecy::SecretString;
use testkit::{
    Error, Result,
    smoke::{Settings, SmokeTest},
};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

/// Orders until one is refused, waits for the production request as the factory that it goes to, calls back,
/// waits for the goods and orders again; then checks the books and tidies up.
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
    /// A file with an operator's bearer token; without it the environment variable OPERATOR_TOKEN is used.
    #[arg(long, value_name = "FILE", env = "OPERATOR_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Where the factory listens.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8090")]
    listen: SocketAddr,
    /// Where production-service finds the factory [default: where it listens]
    #[arg(long, value_name = "URL")]
    factory_url: Option<Url>,
    /// Send the callback to this scheme, host and port, with the path of the CallbackUrl.
    #[arg(long, value_name = "URL")]
    callback_via: Option<Url>,
    /// How long each of the factory's four stages takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=60_000))]
    stage_ms: u64,
    /// How long all of it may take, in seconds.
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
            eprintln!("smoke-test: {error}");
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
    let no_signals = |error| Error::new(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    SmokeTest::new(&settings, |line| println!("{line}"))?.run(stop).await
}

/// Never an argument: `ps` would show it.
fn token(file: Option<PathBuf>) -> Result<SecretString> {
    let text = match file {
        Some(path) => std::fs::read_to_string(&path)
            .map_err(|error| Error::new(format!("cannot read the token file {}: {error}", path.display())))?,
        None => std::env::var("OPERATOR_TOKEN").unwrap_or_default(),
    };
    match text.trim() {
        "" => {
            Err(Error::new("who asks? Set OPERATOR_TOKEN_FILE, or give --token-file, with an operator's bearer token"))
        }
        token => Ok(token.to_owned().into()),
    }
}
