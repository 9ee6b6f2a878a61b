//! Composition root.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use jaego_contracts::topology::PRODUCTION_REQUESTS;
use jaego_pg::Migrations;
use jaego_process::Running;
use jaego_service::Routes;
use jaego_service::{Builder, Identity};
use tokio::sync::Notify;

use crate::commands::callback_url::CallbackUrls;
use crate::commands::outbound::Outbound;
use crate::commands::{Context, mark_overdue, measure_lead_times};
use crate::delivery::{FactoryClient, Worker};
use crate::settings::Settings;
use crate::{amqp, http, store};

pub const IDENTITY: Identity = Identity {
    name: "production-service",
    env_prefix: "JAEGO_PRODUCTION",
    defaults: include_str!("../config/default.toml"),
    migrations: || MIGRATIONS,
    books: store::books::BOOKS,
};

const MIGRATIONS: Migrations = jaego_pg::migrations!("migrations");

#[expect(clippy::unused_async, reason = "`jaego_service::run` starts every service with an await")]
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    let mut builder = Builder::new(IDENTITY, &settings.common)?;
    let context = Context {
        pool: builder.pool.clone(),
        outbox: builder.outbox.clone(),
        due: Arc::new(Notify::new()),
        retry_schedule: settings.delivery.retry_schedule().into(),
        throttled_max: Duration::from_secs(settings.delivery.throttled_max_s.into()),
        breaker: settings.breaker.rules(),
    };
    for subscription in amqp::subscriptions(&context) {
        builder.consume(subscription);
    }
    builder.hook(&PRODUCTION_REQUESTS, amqp::letters_of_requests());
    let client = FactoryClient::new(&settings.delivery)?;
    let callback_urls = CallbackUrls::new(&settings.callback)?;
    let worker = Worker::new(context.clone(), callback_urls, client, &settings);
    builder.spawn(|stop| worker.run(stop));
    let (watching, check_every) = (context.clone(), Duration::from_millis(settings.overdue.check_every_ms));
    builder.spawn(move |stop| mark_overdue::run(watching, check_every, stop));
    let measuring = context.clone();
    builder.spawn(|stop| measure_lead_times::run(measuring, settings.lead_time, stop));
    let context = Data::new(context);
    let outbound = Data::new(Outbound::new(settings.delivery.allowed_networks()));
    builder.start(&Routes {
        public: Arc::new(|_| {}),
        operator: Arc::new(move |config| {
            config.app_data(context.clone()).app_data(outbound.clone());
            http::configure(config);
        }),
        drop_abandoned: true,
        serve_as: |_| None,
        document: http::document(),
    })
}
