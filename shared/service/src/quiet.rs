//! A service that exchanges no messages: it has a database and listeners, and needs no broker.

use std::time::Duration;

use anyhow::Context;
use jaego_pg::Pool;
use jaego_process::{Loops, Process, Running};
use jaego_telemetry::readiness::Need;
use jaego_web::auth::Authenticator;
use tokio_util::sync::CancellationToken;

use crate::server::{Operations, Routes, listen};
use crate::{Identity, after, settings, watch_database};

/// Such a service under construction.
pub struct Quiet {
    identity: Identity,
    settings: settings::Quiet,
    pub pool: Pool,
    /// Cancelled when the current schema is found to be there.
    schema: CancellationToken,
    process: Process,
    loops: Loops,
}

impl Quiet {
    /// Creates the parts; nothing runs yet.
    pub fn new(identity: Identity, settings: &settings::Quiet) -> anyhow::Result<Self> {
        let process = Process::new(identity.name, &settings.telemetry)?;
        let pool = jaego_pg::pool(&settings.database, identity.name)?;
        let loops = process.loops("background work");
        Ok(Self { identity, settings: settings.clone(), pool, schema: CancellationToken::new(), process, loops })
    }

    /// Like [`crate::Builder::spawn`].
    pub fn spawn<F>(&mut self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.loops.stop();
        self.loops.spawn("background loop", after(self.schema.clone(), stop.clone(), work(stop)));
    }

    /// Opens the listeners and starts everything.
    pub fn start(self, routes: &Routes, authenticator: Authenticator) -> anyhow::Result<Running> {
        let Self { identity, settings, pool, schema, process, loops } = self;
        let database = process.readiness.register("database", Need::Required);
        let drain = Duration::from_millis(settings.shutdown.drain_ms);
        let operations = Operations { authenticator, pool: pool.clone(), messaging: None };
        let listeners =
            listen(&settings.http, routes, operations, process.readiness.clone(), drain).context("cannot listen")?;
        loops.spawn_passing(watch_database(pool, (identity.migrations)(), database, schema, loops.stop()));
        tracing::info!(service = identity.name, version = env!("CARGO_PKG_VERSION"), api = %listeners.api, public = %listeners.public, admin = %listeners.admin, "listening");
        Ok(process.run(listeners, vec![loops], &settings.shutdown))
    }
}
