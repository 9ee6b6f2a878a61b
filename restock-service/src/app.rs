//! The composition root: everything the service is made of, put together once.

use std::time::Duration;

use anyhow::Context;
use jaego_process::Running;
use jaego_service::{Builder, Identity};
use opentelemetry::global;

use crate::commands::take_callbacks::{CallbackMetrics, Intake};
use crate::commands::watch_quarantine::watch_quarantine;
use crate::http::{self, State};
use crate::settings::Settings;
use crate::{amqp, commands, store};

pub const IDENTITY: Identity = Identity {
    name: "restock-service",
    env_prefix: "JAEGO_RESTOCK",
    defaults: include_str!("../config/default.toml"),
    migrations: store::migrations,
    books: store::books::BOOKS,
};

/// Starts the service on the current runtime.
#[expect(clippy::unused_async, reason = "starting a service needs its runtime")]
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    let mut builder = Builder::new(IDENTITY, &settings.common)?;
    let context =
        commands::Context { pool: builder.pool.clone(), outbox: builder.outbox.clone(), source: IDENTITY.name };
    for subscription in amqp::subscriptions(&context) {
        builder.consume(subscription);
    }
    let metrics = CallbackMetrics::new(&global::meter("jaego"));
    let hold = Duration::from_millis(settings.callback.hold_ms);
    let (intake, worker) = Intake::new(context.clone(), settings.callback.policy(), &settings.intake, hold, &metrics);
    // Starts before the database was ever reached, so that early callers get an answer.
    builder.spawn_at_once(|stop| worker.run(stop));
    let pool = builder.pool.clone();
    builder.spawn(|stop| watch_quarantine(pool, global::meter("jaego"), stop));
    let state = State {
        intake,
        context,
        verifier: settings.callback.verifier().context("callback.public_keys")?,
        allowed_sources: settings.callback.sources(),
        metrics,
    };
    builder.start(&http::routes(state))
}
