//! The listeners of a service: `api` (all routes) and `public` (routes that are not for operators).

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Service as _;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, PathConfig, QueryConfig};
use actix_web::{App, HttpResponse, web};
use jaego_pg::Pool;
use jaego_postbox::dead_letters::DeadLetters;
use jaego_telemetry::readiness::Readiness;
use jaego_web::auth::Authenticator;
use jaego_web::clients::limit;
use jaego_web::settings::Http;
use jaego_web::{
    HttpMetrics, KnownPaths, Listener, Listeners, bind_listener, complete, malformed, malformed_path, nowhere, observe,
    serve_as,
};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::SwaggerUi;

use crate::audit::{Auditor, get_audit};
use crate::audit_log::list_audit_log;
use crate::dead_letters;

/// A service's routes; each registers its own application data.
#[derive(Clone)]
pub struct Routes {
    /// Shown on `public` and `api`.
    pub public: Arc<dyn Fn(&mut ServiceConfig<'_>) + Send + Sync>,
    /// Shown on `api` only.
    pub operator: Arc<dyn Fn(&mut ServiceConfig<'_>) + Send + Sync>,
    /// If true, a request is dropped when its client closes the connection before the response. False where a message
    /// is sent only once, such as a delivery of goods: it is processed even if the client does not wait for the
    /// response.
    pub drop_abandoned: bool,
    /// The path that a request is served as, by its path and query, if it is not its own.
    pub serve_as: fn(&str) -> Option<String>,
    /// Title and description of the OpenAPI document.
    pub document: OpenApi,
}

/// The operator endpoints that every service has, and the operators' tokens.
#[derive(Clone)]
pub struct Operations {
    pub authenticator: Authenticator,
    /// For `GET /api/v1/audit-log`.
    pub pool: Pool,
    /// For `GET /api/v1/audit` and `/api/v1/dead-letters`; None for a service that exchanges no messages.
    pub messaging: Option<(Auditor, DeadLetters)>,
}

/// Opens the listeners; port 0 takes a free one.
pub fn listen(
    settings: &Http,
    routes: &Routes,
    operations: Operations,
    readiness: Readiness,
    drain: Duration,
) -> std::io::Result<Listeners> {
    let (metrics, drop_abandoned) = (HttpMetrics::new(), routes.drop_abandoned);
    let (clients, buckets) = (Data::new(settings.clients()), settings.buckets().map(Data::new));
    let bind = |port: u16, with_operator: bool| {
        let (routes, operations, metrics) = (routes.clone(), operations.clone(), metrics.clone());
        let (clients, buckets) = (clients.clone(), buckets.clone().filter(|_| !with_operator));
        let application = move || {
            let operations = operations.clone();
            let public = routes.public.clone();
            let operator = routes.operator.clone();
            let (app, document) = App::new()
                .into_utoipa_app()
                .openapi(routes.document.clone())
                .app_data(if with_operator { Listener::Api } else { Listener::Public })
                .app_data(Data::new(operations.authenticator.clone()))
                .app_data(Data::new(operations.pool.clone()))
                .app_data(Data::new(metrics.clone()))
                .app_data(clients.clone())
                .app_data(PathConfig::default().error_handler(|error, request| malformed_path(&error, request).into()))
                .app_data(QueryConfig::default().error_handler(|error, _| malformed(&error).into()))
                .configure(|config| {
                    if let Some(buckets) = &buckets {
                        config.app_data(buckets.clone());
                    }
                })
                .configure(|config| public(config))
                .configure(|config| {
                    if with_operator {
                        operator(config);
                        config.service(list_audit_log);
                        if let Some((auditor, dead_letters)) = operations.messaging {
                            config.app_data(Data::new(auditor)).app_data(Data::new(dead_letters));
                            config.service(get_audit);
                            dead_letters::routes(config);
                        }
                    }
                })
                .split_for_parts();
            let known = Data::new(KnownPaths::of(&document));
            let app = app.app_data(known).default_service(web::to(nowhere));
            let app = app.wrap(from_fn(limit)).wrap(from_fn(observe));
            let app = app.wrap_fn(move |mut request, next| {
                let asked = request.uri().path_and_query().map_or("", |asked| asked.as_str());
                if let Some(path) = (routes.serve_as)(asked) {
                    serve_as(&mut request, &path);
                }
                next.call(request)
            });
            app.configure(move |config| {
                if with_operator {
                    let body = complete(&document).to_string();
                    let answer = move || {
                        let body = body.clone();
                        async move { HttpResponse::Ok().content_type("application/json").body(body) }
                    };
                    config.route("/openapi.json", web::get().to(answer));
                    config.service(
                        SwaggerUi::new("/docs/{_:.*}").config(utoipa_swagger_ui::Config::from("/openapi.json")),
                    );
                    config.route(
                        "/docs",
                        web::get().to(|| async {
                            HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
                        }),
                    );
                }
            })
        };
        bind_listener(application, settings, port, drop_abandoned, drain)
    };
    Listeners::new(bind(settings.port, true)?, bind(settings.public_port, false)?, settings, readiness)
}
