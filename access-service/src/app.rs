//! The composition root: everything the service is made of, put together once.

use std::sync::Arc;

use jaego_process::Running;
use jaego_service::audit::Books;
use jaego_service::{Identity, Quiet};
use jaego_web::auth::{Authenticator, OperatorTokens};
use jaego_web::wrong_tokens::WrongTokens;

use crate::commands::{self, Introspector, prune};
use crate::http::{self, State};
use crate::identity_provider::IdentityProvider;
use crate::programs::Programs;
use crate::settings::Settings;
use crate::store;

pub const IDENTITY: Identity = Identity {
    name: "access-service",
    env_prefix: "JAEGO_ACCESS",
    defaults: include_str!("../config/default.toml"),
    migrations: store::migrations,
    books: Books::NONE,
};

/// Starts the service on the current runtime.
#[expect(clippy::unused_async, reason = "starting a service needs its runtime")]
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    let mut service = Quiet::new(IDENTITY, &settings.common)?;
    let configured = OperatorTokens::from_settings(&settings.common.auth.tokens);
    let context = commands::Context {
        pool: service.pool.clone(),
        configured: configured.clone(),
        tokens: settings.tokens.clone(),
        sessions: settings.sessions.clone(),
        refusals: Arc::default(),
        provider: IdentityProvider::of(&settings.oidc)?.map(Arc::new),
    };
    let pruned = (context.clone(), settings.history.kept_days);
    service.spawn(|stop| prune::run(pruned.0, pruned.1, stop));
    let wrong = WrongTokens::new(settings.common.auth.wrong_per_minute_max);
    let authenticator = Authenticator::new(configured, Some(Arc::new(Introspector(context.clone()))), wrong);
    let programs = Programs::of(&settings.programs.credentials);
    service.start(&http::routes(State { context, programs }), authenticator)
}
