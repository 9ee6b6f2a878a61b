//! The three listeners: `api` (everything), `public` (what is not for operators), `admin` (probes).

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service as _, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServerHandle};
use actix_web::http::Method;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, ResponseError, web};
use jaego_telemetry::readiness::Readiness;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use utoipa::openapi::OpenApi;

use crate::connections::{Connections, MAKING_WAY_MAX, Watched, answer_with, receive};
use crate::problem::{Problem, ProblemKind};
use crate::settings::Http;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// Bytes of an answer that are collected before they are written.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// Size of the kernel's buffers of a connection, which Linux doubles for its own use.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;
const RECEIVE_BUFFER_BYTES: u32 = 32 * 1024;
/// Maximum time to close a connection that the client does not close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The listeners of a running service.
pub struct Listeners {
    /// Address of all routes.
    pub api: SocketAddr,
    /// Address for ingresses.
    pub public: SocketAddr,
    /// Address of probes and metrics.
    pub admin: SocketAddr,
    handles: Vec<ServerHandle>,
    admin_handle: ServerHandle,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Listeners {
    /// Serves the listeners that were opened with [`bind_listener`], and opens `admin`, which reports `readiness`.
    pub fn new(
        api: BoundListener,
        public: BoundListener,
        settings: &Http,
        readiness: Readiness,
    ) -> std::io::Result<Self> {
        let admin = HttpServer::new(move || {
            App::new()
                .app_data(Data::new(readiness.clone()))
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(metrics_text))
        })
        .workers(1)
        .disable_signals()
        .bind((settings.host.as_str(), settings.admin_port))?;
        let no_address = || std::io::Error::other("no address was bound");
        let (admin, admin_server) = (admin.addrs().first().copied().ok_or_else(no_address)?, admin.run());
        Ok(Self {
            api: api.address,
            public: public.address,
            admin,
            handles: vec![api.server.handle(), public.server.handle()],
            admin_handle: admin_server.handle(),
            tasks: vec![tokio::spawn(api.server), tokio::spawn(public.server), tokio::spawn(admin_server)],
        })
    }

    /// Closes `api` and `public` after requests in flight have been answered. `admin` stays open.
    pub async fn stop_accepting(&self) {
        futures::future::join_all(self.handles.iter().map(|handle| handle.stop(true))).await;
    }

    /// Closes `admin`, and waits for all listeners to end.
    pub async fn close(self) {
        self.admin_handle.stop(false).await;
        for task in self.tasks {
            if let Ok(Err(error)) = task.await {
                tracing::warn!(%error, "a listener ended with an error");
            }
        }
    }
}

/// An open listener, which is served once it is part of a process's [`Listeners`].
pub struct BoundListener {
    address: SocketAddr,
    server: Server,
}

/// Opens a listener with the limits that all have in common; port 0 takes a free one. `drop_abandoned`: see `Routes`
/// in `jaego_service`.
pub fn bind_listener<F, I, S, B>(
    application: F,
    settings: &Http,
    port: u16,
    drop_abandoned: bool,
    drain: Duration,
) -> std::io::Result<BoundListener>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error>,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let listener = open_socket(&settings.host, port)?;
    let address = listener.local_addr()?;
    let connections = Connections::new(settings.connections_max);
    let server = Server::build()
        .workers(settings.workers)
        // Beyond this, connections would wait. The limit that counts is that of all workers together.
        .max_concurrent_connections(settings.connections_max.saturating_add(2 * MAKING_WAY_MAX))
        .shutdown_timeout(drain.as_secs().max(1))
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen(address.to_string(), listener, move || {
        let application = apply_fn_factory(application(), |mut request: Request, application: &S::Service| {
            let handle = receive(&mut request);
            let answer = application.call(request);
            async move {
                Ok(match answer.await {
                    Ok(answer) => answer_with(answer.into(), handle),
                    Err(error) => answer_with(error.into().error_response().into(), handle),
                })
            }
        });
        let application = application.map_err(|error: S::Error| error.into().error_response());
        let application = map_config(application, |()| AppConfig::default());
        let stopping = stopping.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            // This deadline would apply to the first request only.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .h1_allow_half_closed(!drop_abandoned)
            .h1_write_buffer_size(WRITE_BUFFER_BYTES)
            .local_addr(address)
            .on_connect_ext(|io: &Watched, data| {
                data.insert(io.handle());
            })
            .finish(application);
        let connections = connections.clone();
        fn_service(move |io: TcpStream| {
            let peer = io.peer_addr().ok();
            // The send buffer is small, so small segments must not wait for each other.
            let watched = io.set_nodelay(true).ok().and_then(|()| Watched::new(io, &connections));
            ready(watched.map(|io| (io, Protocol::Http1, peer)).ok_or(DispatchError::DisconnectTimeout))
        })
        .and_then(http)
    })?;
    Ok(BoundListener { address, server: server.run() })
}

/// Connections inherit the sizes of their buffers. The kernel's memory counts as the program's, too.
fn open_socket(host: &str, port: u16) -> std::io::Result<std::net::TcpListener> {
    let host: IpAddr = host.parse().map_err(std::io::Error::other)?;
    let socket = if host.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind((host, port).into())?;
    socket.listen(BACKLOG)?.into_std()
}

/// The problem for a query that cannot be parsed.
pub fn malformed(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::MalformedRequest, format!("{error}."))
}

/// The problem for a path with a parameter that cannot be parsed: `discard` is no id, but `/dead-letters/discard` is a
/// path of its own, with other methods.
pub fn malformed_path(error: &dyn std::fmt::Display, request: &HttpRequest) -> Problem {
    let known = request.app_data::<Data<KnownPaths>>();
    known.and_then(|known| known.refuse_method(request)).unwrap_or_else(|| malformed(error))
}

/// Paths of the OpenAPI document with their methods, to distinguish 405 from 404.
pub struct KnownPaths(Vec<(Vec<String>, Vec<&'static str>)>);

impl KnownPaths {
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
                ("PATCH", item.patch.is_some()),
            ];
            let allowed = methods.iter().filter(|(_, has)| *has).map(|(method, _)| *method).collect();
            (path.split('/').map(ToOwned::to_owned).collect(), allowed)
        });
        Self(paths.collect())
    }

    fn allowed(&self, path: &str) -> Vec<&'static str> {
        let segments: Vec<&str> = path.split('/').collect();
        // As in OpenAPI, a path without parameters takes precedence over those that fit by their parameters.
        if let Some((_, methods)) = self.0.iter().find(|(template, _)| *template == segments) {
            return methods.clone();
        }
        let fits = |template: &[String]| {
            template.len() == segments.len()
                && template
                    .iter()
                    .zip(&segments)
                    .all(|(wanted, got)| (wanted.starts_with('{') && !got.is_empty()) || wanted == got)
        };
        self.0.iter().filter(|(template, _)| fits(template)).flat_map(|(_, methods)| methods.clone()).collect()
    }

    /// The problem for a path that has other methods than the request's.
    fn refuse_method(&self, request: &HttpRequest) -> Option<Problem> {
        let allowed = self.allowed(request.path());
        let is_other = !allowed.is_empty() && !allowed.contains(&request.method().as_str());
        is_other.then(|| Problem::method_not_allowed(&allowed))
    }
}

/// Handles a request that no route matches: 404, or 405 with the path's methods in `Allow`.
pub async fn nowhere(request: HttpRequest, known: Data<KnownPaths>) -> HttpResponse {
    let nothing = || Problem::new(ProblemKind::NotFound, "There is nothing at this path.");
    let mut response = known.refuse_method(&request).unwrap_or_else(nothing).respond_to(&request);
    if request.method() == Method::HEAD {
        response = response.set_body(actix_web::body::BoxBody::new(()));
    }
    response
}

async fn livez(readiness: Data<Readiness>) -> HttpResponse {
    if readiness.is_alive() {
        HttpResponse::Ok().json(serde_json::json!({"status": "alive"}))
    } else {
        HttpResponse::ServiceUnavailable().json(readiness.report())
    }
}

async fn readyz(readiness: Data<Readiness>) -> HttpResponse {
    let report = readiness.report();
    if report.status == "not_ready" {
        HttpResponse::ServiceUnavailable().json(report)
    } else {
        HttpResponse::Ok().json(report)
    }
}

async fn metrics_text() -> HttpResponse {
    match jaego_telemetry::metrics_text() {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text),
        Err(error) => Problem::internal(&error).error_response(),
    }
}
