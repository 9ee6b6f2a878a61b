//! Databases next to the services' own, and queries on any of them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use localstack::stack::{Service, Stack};
use testkit::{
    provision::{beside, create_database},
    servers::random_secret,
};
use tokio_postgres::{Client, NoTls};

use crate::bounds;

/// Maximum time for the migrations of a new database.
const MIGRATE: Duration = Duration::from_secs(120);

/// Opens a connection, which is driven until its client is dropped.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let connected = tokio::time::timeout(bounds::START, tokio_postgres::connect(url, NoTls)).await;
    let (client, connection) = connected.context("PostgreSQL took too long to connect")?.context("cannot connect")?;
    // The task ends with the client; errors are returned by the client's calls.
    tokio::spawn(connection);
    Ok(client)
}

/// Opens a connection to the database of `url` as the administrator, who may also empty and tidy up its tables.
pub async fn connect_as_admin(stack: &Stack, url: &str) -> anyhow::Result<Client> {
    connect(&beside(&stack.postgres_admin_url()?, url)?).await
}

/// Creates a database with a service's tables, for a baseline; returns its URL.
pub async fn make(stack: &Stack, service: Service, name: &str) -> anyhow::Result<String> {
    let admin_url = stack.postgres_admin_url()?;
    let urls = create_database(&admin_url, name, name, &random_secret(), &random_secret()).await?;
    let (url, log) = (urls.url, format!("{name}-migrate"));
    let logins = [("DATABASE__URL", url.clone()), ("DATABASE__OWNER_URL", urls.owner_url)];
    let mut migration = stack.beside(service, "migrate", &log, &logins)?;
    let status = migration.wait_exit(MIGRATE).await;
    ensure!(status.is_some_and(|status| status.success()), migration.not_ready("failed".to_owned()));
    Ok(url)
}

/// Queries one whole number.
pub async fn number(client: &Client, sql: &str) -> anyhow::Result<u64> {
    let row = client.query_one(sql, &[]).await.with_context(|| format!("cannot ask {sql}"))?;
    Ok(u64::try_from(row.get::<_, i64>(0))?)
}

/// Waits until a query returns 0.
pub async fn wait_until_none(client: &Client, sql: &str, what: &str) -> anyhow::Result<()> {
    let waited = tokio::time::timeout(bounds::SETTLE, async {
        while number(client, sql).await? > 0 {
            tokio::time::sleep(bounds::POLL).await;
        }
        anyhow::Ok(())
    });
    waited.await.with_context(|| format!("there were still {what} after {:?}", bounds::SETTLE))?
}

/// Start of each turn, on each side alike: no dirty pages of the previous turn.
pub async fn begin_alike(admin: &Client) -> anyhow::Result<()> {
    admin.batch_execute("CHECKPOINT").await.context("cannot make a checkpoint")
}
