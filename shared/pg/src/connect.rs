//! One connection to PostgreSQL, in TLS where that is wanted.

use std::error::Error as _;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use jaego_net::tls;
use secrecy::ExposeSecret;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::language;
use crate::settings::Database;

/// How long PostgreSQL's side of a connection may stay silent on the network (not: over a query).
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// What the server does about a process that was frozen or cut off: its locks are everybody's.
const SERVER_OPTIONS: &str = "-c idle_in_transaction_session_timeout=30000 \
                              -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";
/// Longest wait for one of the server's addresses.
const ADDRESS_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a connection that can be used, whatever the server does.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

type Driver = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Why there is no connection. No secrets.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings cannot work: trying again does not help.
    #[error("{0}")]
    Unusable(String),
    /// Nobody answers, the server is starting or has no room: later it may be there.
    #[error("{0}")]
    Unreachable(String),
    /// The server does not let us in: an unknown role or database, another password.
    #[error("{0}")]
    Refused(String),
}

/// One connection outside the pool, with a bound on every wait. TLS (rustls, verified) unless the URL
/// says `sslmode=disable` or, with `sslmode=prefer` and without `ca_file`, the server has none.
pub async fn connect(
    settings: &Database,
    application: &str,
    statement_timeout_ms: u64,
) -> Result<AsyncPgConnection, ConnectError> {
    let (client, driver) = open(settings, application, statement_timeout_ms).await?;
    let unreachable = |error: diesel::ConnectionError| ConnectError::Unreachable(error.to_string());
    let connection = AsyncPgConnection::try_from_client_and_connection(client, driver).await.map_err(unreachable)?;
    language::settle(connection).await.map_err(unreachable)
}

/// The same without diesel, for what only an administrator does. What drives it ends with the client.
pub(super) async fn client(
    settings: &Database,
    application: &str,
    statement_timeout_ms: u64,
) -> Result<Client, ConnectError> {
    let (client, driver) = open(settings, application, statement_timeout_ms).await?;
    // Its errors come out of the client's calls, too.
    tokio::spawn(driver);
    Ok(client)
}

/// A client, and what drives it.
pub(super) async fn open(
    settings: &Database,
    application: &str,
    statement_timeout_ms: u64,
) -> Result<(Client, Driver), ConnectError> {
    let unusable = |error: tokio_postgres::Error| ConnectError::Unusable(reason(&error));
    let mut config: Config = settings.url.expose_secret().parse().map_err(unusable)?;
    config
        .application_name(application)
        .options(format!(
            "-c statement_timeout={statement_timeout_ms} -c lock_timeout={} -c TimeZone=UTC {SERVER_OPTIONS}",
            settings.lock_timeout_ms
        ))
        .connect_timeout(ADDRESS_LIMIT)
        // A link over which nothing arrives any more would else be waited for for a quarter of an hour.
        .tcp_user_timeout(SILENCE_MAX)
        .keepalives_idle(SILENCE_MAX)
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3);
    let tls = match config.get_ssl_mode() {
        // Nothing is verified, and no certificate needs to be read.
        SslMode::Disable => {
            let roots = rustls::RootCertStore::empty();
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
        }
        _ => tls::client_config(&settings.ca_file).map_err(|error| ConnectError::Unusable(error.to_string()))?,
    };
    // Who says how the server is known does not want to speak to whoever answers without TLS.
    if config.get_ssl_mode() == SslMode::Prefer && !settings.ca_file.is_empty() {
        config.ssl_mode(SslMode::Require);
    }
    let connecting = config.connect(MakeRustlsConnect::new(tls));
    match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
        Ok(connected) => connected.map_err(classify),
        Err(_) => Err(ConnectError::Unreachable(format!("no connection within {CONNECT_LIMIT:?}"))),
    }
}

fn classify(error: tokio_postgres::Error) -> ConnectError {
    let is_passing = |code: &SqlState| {
        *code == SqlState::CANNOT_CONNECT_NOW
            || *code == SqlState::TOO_MANY_CONNECTIONS
            || *code == SqlState::ADMIN_SHUTDOWN
            || *code == SqlState::CRASH_SHUTDOWN
    };
    match error.code() {
        Some(code) if !is_passing(code) => ConnectError::Refused(reason(&error)),
        _ => ConnectError::Unreachable(reason(&error)),
    }
}

/// The error with its causes: the outermost alone says `db error`.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
