//! A single connection to PostgreSQL, with TLS where the settings ask for it.

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

/// Longest silence of the server on the network. It does not bound the duration of a query.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Makes the server end the session of a frozen or disconnected process, whose locks would block everyone else.
const SERVER_OPTIONS: &str = "-c idle_in_transaction_session_timeout=30000 \
                              -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";
/// Longest wait for each of the server's addresses.
const ADDRESS_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait until a connection is usable, whatever the server does.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

type Driver = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Reason why a connection could not be opened. Contains no secrets.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings are invalid, and a retry does not help.
    #[error("{0}")]
    Unusable(String),
    /// The server does not answer, is starting or has no free connection; a retry may succeed later.
    #[error("{0}")]
    Unreachable(String),
    /// The server rejects the login: unknown role or database, or wrong password.
    #[error("{0}")]
    Refused(String),
}

/// Opens a connection outside the pool, with a bound on every wait. TLS (rustls, verified) unless the URL says
/// `sslmode=disable` or, with `sslmode=prefer` and without `ca_file`, the server does not offer it.
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

/// Like [`connect`], but without diesel, for administrative statements, and possibly to another database of the same
/// server. The task that drives the connection ends with the client.
pub(super) async fn client(
    settings: &Database,
    database: Option<&str>,
    application: &str,
    statement_timeout_ms: u64,
) -> Result<Client, ConnectError> {
    let mut config = config(settings)?;
    if let Some(database) = database {
        config.dbname(database);
    }
    let (client, driver) = open_as(config, settings, application, statement_timeout_ms).await?;
    // The client's calls return its errors as well.
    tokio::spawn(driver);
    Ok(client)
}

/// Opens a client and the connection that must be polled to drive it.
pub(super) async fn open(
    settings: &Database,
    application: &str,
    statement_timeout_ms: u64,
) -> Result<(Client, Driver), ConnectError> {
    open_as(config(settings)?, settings, application, statement_timeout_ms).await
}

fn config(settings: &Database) -> Result<Config, ConnectError> {
    settings.url.expose_secret().parse().map_err(|error| ConnectError::Unusable(reason(&error)))
}

async fn open_as(
    mut config: Config,
    settings: &Database,
    application: &str,
    statement_timeout_ms: u64,
) -> Result<(Client, Driver), ConnectError> {
    config
        .application_name(application)
        .options(format!(
            "-c statement_timeout={statement_timeout_ms} -c lock_timeout={} -c TimeZone=UTC {SERVER_OPTIONS}",
            settings.lock_timeout_ms
        ))
        .connect_timeout(ADDRESS_LIMIT)
        // Without this, a dead link would go unnoticed for a quarter of an hour.
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
    // A configured `ca_file` means that the server must prove its identity, so a connection without TLS is not an
    // option.
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

/// The error with its causes: the outermost one only says `db error`.
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
