//! The composition root: everything the program is made of, put together once.

use std::time::Duration;

use anyhow::Context as _;
use jaego_amqp::health::BrokerHealth;
use jaego_process::{Process, Program, Running};
use jaego_telemetry::readiness::Need;
use jaego_web::clients::Attempts;

use crate::forward::{self, Service, Upstream};
use crate::http::{self, Factory, State, hsts};
use crate::live::Hub;
use crate::live::listener::Listener;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::site::{NOT_BUILT, Site};

pub const PROGRAM: Program =
    Program { name: "frontend", env_prefix: "JAEGO_FRONTEND", defaults: include_str!("../config/default.toml") };

/// Starts the program on the current runtime, with the pages that it was built with.
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    start_with(settings, Site::embedded()).await
}

/// Starts the program with the given pages.
#[expect(clippy::unused_async, reason = "starting listeners needs their runtime")]
pub async fn start_with(settings: Settings, site: Site) -> anyhow::Result<Running> {
    let basics = &settings.basics;
    let process = Process::new(PROGRAM.name, &basics.telemetry)?;
    let pages = process.readiness.register("pages", Need::Useful);
    if site.is_there() {
        pages.pass();
    } else {
        pages.fail(NOT_BUILT);
        tracing::warn!("{NOT_BUILT}");
    }

    let loops = process.loops("live events");
    let hub = Hub::new(settings.live.clients_max, settings.live.per_client_max);
    loops.spawn("live events", {
        // Streams do not end by themselves, and the listeners would wait for them.
        let (run, stop) = (hub.clone().run(process.closing()), loops.stop());
        async move {
            run.await;
            stop.cancelled().await;
        }
    });
    let health = BrokerHealth::new(process.readiness.register("broker-live", Need::Useful), "live");
    let listener = Listener { name: PROGRAM.name, amqp: basics.amqp.clone(), health, hub: hub.clone() };
    loops.spawn("broker", listener.run(loops.stop()));

    let listeners =
        http::listen(state(&settings, site, hub)?, basics, process.readiness.clone()).context("cannot listen")?;
    tracing::info!(service = PROGRAM.name, version = env!("CARGO_PKG_VERSION"), api = %listeners.api, public = %listeners.public, admin = %listeners.admin, "listening");
    Ok(process.run(listeners, vec![loops], &basics.shutdown))
}

fn state(settings: &Settings, site: Site, hub: Hub) -> anyhow::Result<State> {
    let services = &settings.services;
    let wait = Duration::from_millis(services.timeout_ms);
    let client = forward::client().context("no HTTP client")?;
    let upstream = |name: String| Upstream::new(client.clone(), name, wait, services.in_flight_max);
    let sessions = if settings.console.enabled {
        Some(Sessions::new(&settings.access, settings.session.secure).context("no HTTP client for access-service")?)
    } else {
        None
    };
    let factory_url = &settings.demo.factory_url;
    let factory = if settings.console.enabled && !factory_url.is_empty() {
        Some(Factory { url: factory_url.clone(), upstream: upstream("the factory simulator".to_owned()) })
    } else {
        None
    };
    Ok(State {
        site,
        hsts: hsts(settings.pages.hsts_max_age_s),
        hub,
        sessions,
        attempts: Attempts::new(settings.session.attempts_per_minute_max),
        provider: settings.session.provider.clone(),
        services: settings.services.clone(),
        access: settings.access.clone(),
        shop: upstream(Service::Sales.to_string()),
        upstreams: Service::ALL.map(|service| upstream(service.to_string())),
        factory,
    })
}
