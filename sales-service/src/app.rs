//! The composition root: builds the components and starts them.

use std::sync::Arc;
use std::time::Duration;

use jaego_pg::Migrations;
use jaego_process::Running;
use jaego_service::{Builder, Identity};

use crate::amqp;
use crate::commands::take_orders::{CONNECTIONS, Intake};
use crate::commands::{Context, hand_out, prune, sweep_stock};
use crate::http::{self, State};
use crate::settings::Settings;
use crate::store::books::BOOKS;

const MIGRATIONS: Migrations = jaego_pg::migrations!("migrations");

pub const IDENTITY: Identity = Identity {
    name: "sales-service",
    env_prefix: "JAEGO_SALES",
    defaults: include_str!("../config/default.toml"),
    migrations: || MIGRATIONS,
    books: BOOKS,
};

/// Starts the service, which runs until it is stopped.
#[expect(clippy::unused_async, reason = "every service starts alike")]
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    let mut builder = Builder::new(IDENTITY, &settings.common)?;
    let context = Context {
        pool: builder.pool.clone(),
        outbox: builder.outbox.clone(),
        limits: settings.limits(),
        refusal_pause: settings.replenishment.refusal_pause(),
        hand_out: Arc::default(),
    };
    let intake_pool = jaego_pg::pool(&settings.intake_database(CONNECTIONS), IDENTITY.name)?;
    let renderer = Arc::new(http::orders::Renderer(settings.shop.clone()));
    let (intake, worker) = Intake::new(context.clone(), intake_pool, &settings.intake, renderer);
    // The intake starts before the database is reachable, so that shoppers get an answer during an outage.
    builder.spawn_at_once(|stop| worker.run(stop));
    let every = Duration::from_secs(settings.replenishment.sweep_every_s);
    let ask_after = Duration::from_secs(settings.replenishment.ask_again_s);
    builder.spawn(|stop| sweep_stock::run(context.clone(), every, ask_after, stop));
    builder.spawn(|stop| hand_out::run(context.clone(), every, stop));
    builder.spawn(|stop| prune::run(context.clone(), settings.retention.clone(), stop));
    for subscription in amqp::subscriptions(&context) {
        builder.consume(subscription);
    }
    let state = State { context, intake, shop: settings.shop };
    builder.start(&http::routes(&state))
}
