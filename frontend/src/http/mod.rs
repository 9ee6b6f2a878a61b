//! Routes and middleware.

mod demo;
mod forwarding;
mod headers;
mod live;
mod pages;
mod provider;
mod same_origin;
mod session;

use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::web::{Bytes, Data, PathConfig, PayloadConfig, QueryConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, Resource, web};
use jaego_access::settings::Access;
use jaego_process::settings::Basics;
use jaego_telemetry::readiness::Readiness;
use jaego_web::auth::Role;
use jaego_web::clients::{Attempts, limit};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{BODY_BYTES_MAX, HttpMetrics, Listeners, bind_listener, malformed, observe};

use crate::forward::Upstream;
use crate::live::Hub;
use crate::session::{Session, Sessions};
use crate::settings::Services;
use crate::site::Site;

/// State shared by all handlers.
pub(crate) struct State {
    pub(crate) site: Site,
    /// Sent with every answer.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) hub: Hub,
    /// None if there is no console.
    pub(crate) sessions: Option<Sessions>,
    pub(crate) attempts: Attempts,
    /// Name of the identity provider; empty if there is none.
    pub(crate) provider: String,
    pub(crate) services: Services,
    pub(crate) access: Access,
    /// Sales-service for shoppers, who must not keep operators from it.
    pub(crate) shop: Upstream,
    /// For operators, in the order of [`crate::forward::Service::ALL`].
    pub(crate) upstreams: [Upstream; 4],
    /// None if there is no simulator.
    pub(crate) factory: Option<Factory>,
}

pub(crate) struct Factory {
    pub(crate) url: String,
    pub(crate) upstream: Upstream,
}

/// The listener that a request came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// The shop only.
    Shop,
    /// The shop and the console.
    Both,
}

impl State {
    /// The session of a request, unless the listener has no sessions.
    async fn session(&self, face: Face, request: &HttpRequest) -> Result<Option<Session>, Problem> {
        match self.sessions(face) {
            Some(sessions) => sessions.of(request).await,
            None => Ok(None),
        }
    }

    fn sessions(&self, face: Face) -> Option<&Sessions> {
        self.sessions.as_ref().filter(|_| face == Face::Both)
    }

    /// The session of a request that requires one with this role.
    async fn need(&self, face: Face, request: &HttpRequest, role: Role) -> Result<Session, Problem> {
        let session = self.session(face, request).await?.ok_or_else(|| {
            Problem::new(ProblemKind::Unauthorized, "Sign in first: POST /session with an operator's token.")
        })?;
        if session.role >= role {
            Ok(session)
        } else {
            Err(Problem::new(ProblemKind::Forbidden, "This needs an operator; a viewer cannot change anything."))
        }
    }
}

/// The header by which browsers use https only; None if the time is 0.
pub(crate) fn hsts(max_age_s: u32) -> Option<HeaderValue> {
    (max_age_s > 0).then(|| HeaderValue::from_str(&format!("max-age={max_age_s}")).ok()).flatten()
}

pub(crate) fn listen(state: State, basics: &Basics, readiness: Readiness) -> std::io::Result<Listeners> {
    let (state, metrics) = (Data::new(state), HttpMetrics::new());
    let (clients, buckets) = (Data::new(basics.http.clients()), basics.http.buckets().map(Data::new));
    let drain = Duration::from_millis(basics.shutdown.drain_ms);
    let bind = |port: u16, face: Face| {
        let (state, metrics, clients) = (state.clone(), metrics.clone(), clients.clone());
        let buckets = buckets.clone().filter(|_| face == Face::Shop);
        let application = move || {
            let face = if state.sessions.is_some() { face } else { Face::Shop };
            App::new()
                .app_data(state.clone())
                .app_data(Data::new(metrics.clone()))
                .app_data(clients.clone())
                .app_data(Data::new(face))
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .app_data(PathConfig::default().error_handler(|error, _| malformed(&error).into()))
                .app_data(QueryConfig::default().error_handler(|error, _| malformed(&error).into()))
                .configure(|config| {
                    if let Some(buckets) = &buckets {
                        config.app_data(buckets.clone());
                    }
                })
                .configure(move |config| routes(config, face))
                .default_service(web::to(pages::page))
                // The last middleware is the outermost.
                .wrap(from_fn(same_origin::check))
                .wrap(from_fn(limit))
                .wrap(from_fn(observe))
                .wrap(from_fn(headers::add))
        };
        bind_listener(application, &basics.http, port, true, drain)
    };
    let (api, public) = (bind(basics.http.port, Face::Both)?, bind(basics.http.public_port, Face::Shop)?);
    Listeners::new(api, public, &basics.http, readiness)
}

fn routes(config: &mut ServiceConfig, face: Face) {
    config
        .service(resource("/settings.json").route(web::get().to(pages::settings)))
        .service(resource("/live").route(web::get().to(live::shop)))
        .service(web::resource("/{service:sales|production|restock|access}/{path:.*}").to(forwarding::forward))
        // These paths are not pages.
        .service(web::resource("/{service:sales|production|restock|access}").to(nothing));
    if face == Face::Both {
        config
            .service(
                resource("/session")
                    .route(web::get().to(session::get))
                    .route(web::post().to(session::post))
                    .route(web::delete().to(session::delete)),
            )
            .service(resource("/session/provider").route(web::post().to(provider::begin)))
            .service(resource("/session/provider/return").route(web::get().to(provider::finish)))
            .service(resource("/live/console").route(web::get().to(live::console)))
            .service(web::resource("/demo/{path:.*}").to(demo::forward));
    }
    config.service(web::resource("/{what:session|live|demo}{_:(/.*)?}").to(nothing));
}

/// A resource that answers 405 to other methods.
fn resource(path: &str) -> Resource {
    web::resource(path).default_service(web::to(method_not_allowed))
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    let allowed = match request.path() {
        "/session" => "GET, POST, DELETE",
        "/session/provider" => "POST",
        _ => "GET",
    };
    let problem = Problem::new(ProblemKind::MethodNotAllowed, format!("This path answers {allowed}."));
    let mut response = problem.respond_to(&request);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

async fn nothing() -> Result<HttpResponse, Problem> {
    Err(not_found())
}

fn not_found() -> Problem {
    Problem::new(ProblemKind::NotFound, "There is nothing at this path.")
}

/// The body of a request to forward, unchanged; empty for HEAD and GET.
fn body_of(request: &HttpRequest, body: Bytes) -> Bytes {
    if matches!(*request.method(), Method::GET | Method::HEAD) { Bytes::new() } else { body }
}
