//! A running service, and requests to it.

use std::{fmt::Display, net::SocketAddr, ops::Deref, path::Path, pin::Pin, str::FromStr};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use super::{Response, SOON, bearer};
use crate::{
    http,
    lab::wait_until,
    process::{Process, Spec},
    service::{OPERATOR_TOKEN, VIEWER_TOKEN},
};

/// A running service: the URLs of its three listeners, and requests to them. A path goes to `api`, a URL to where it
/// says.
pub struct Service {
    pub api: String,
    pub public: String,
    pub admin: String,
    pub http: Client,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Another process of a service, killed with this value.
pub struct Replica {
    pub process: Process,
    service: Service,
    _folder: TempDir,
}

impl Deref for Replica {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Replica {
    /// Starts a program, and reads its addresses from its log.
    pub(super) async fn start(program: &str, env: Vec<(String, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the log");
        let log = folder.path().join("log");
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        let spawned = Spec::new(name, program, &log).arg("serve").envs(env).spawn();
        let mut process = spawned.unwrap_or_else(|error| panic!("{error}"));
        let addresses = wait_until("the line `listening`", SOON, || {
            process.check_alive().unwrap_or_else(|error| panic!("{error}"));
            std::future::ready(addresses_in(&log))
        })
        .await;
        Self { process, service: Service::at(addresses), _folder: folder }
    }
}

fn addresses_in(log: &Path) -> Option<[String; 3]> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["message"] == "listening")?;
    let address = |listener: &str| line[listener].as_str().map(ToOwned::to_owned);
    Some([address("api")?, address("public")?, address("admin")?])
}

impl Service {
    /// A service in this process, with its listeners `api`, `public` and `admin`; `stop` ends it.
    pub fn in_process(listeners: [SocketAddr; 3], stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { stop: Some(Box::pin(stop)), ..Self::at(listeners) }
    }

    fn at(addresses: [impl Display; 3]) -> Self {
        let [api, public, admin] = addresses.map(|address| format!("http://{address}"));
        Self { api, public, admin, http: http::client(SOON), stop: None }
    }

    /// Stops a service in this process gracefully; a second time it does nothing.
    pub async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.await;
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = if path.starts_with('/') { self.api.as_str() } else { "" };
        self.http.request(method, format!("{base}{path}"))
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Response {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Response::to(request).await
    }

    /// Sends a request with this token, or without any.
    pub async fn send_as(&self, token: Option<&str>, method: Method, path: &str, body: Option<Value>) -> Response {
        let token = token.map(bearer);
        let headers: Vec<(&str, &str)> = token.iter().map(|value| ("Authorization", value.as_str())).collect();
        self.send(method, path, &headers, body).await
    }

    /// As the viewer.
    pub async fn get(&self, path: &str) -> Response {
        self.send_as(Some(VIEWER_TOKEN), Method::GET, path, None).await
    }

    /// As the operator.
    pub async fn post(&self, path: &str, body: impl Into<Option<Value>>) -> Response {
        self.send_as(Some(OPERATOR_TOKEN), Method::POST, path, body.into()).await
    }

    /// As the operator.
    pub async fn put(&self, path: &str, body: Value) -> Response {
        self.send_as(Some(OPERATOR_TOKEN), Method::PUT, path, Some(body)).await
    }

    /// As the operator, on condition that it has not changed since.
    pub async fn put_if_match(&self, path: &str, tag: &str, body: Value) -> Response {
        let headers = [("Authorization", &*bearer(OPERATOR_TOKEN)), ("If-Match", tag)];
        self.send(Method::PUT, path, &headers, Some(body)).await
    }

    pub async fn readiness(&self) -> Response {
        Response::to(self.request(Method::GET, &format!("{}/readyz", self.admin))).await
    }

    pub async fn metrics(&self) -> String {
        let response = self.request(Method::GET, &format!("{}/metrics", self.admin)).send().await;
        response.expect("metrics").text().await.expect("a text")
    }

    /// The first value of a metric with a label, such as `queue="sales.factories"`; an empty one is in every line.
    pub async fn metric<T: FromStr>(&self, name: &str, label: &str) -> Option<T> {
        let text = self.metrics().await;
        let is_named = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let line = text.lines().find(|line| is_named(line) && line.contains(label))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}
