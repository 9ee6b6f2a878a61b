//! Client of one service's HTTP API, with an operator's token.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::{
    failure::{Exit, Failure, Result},
    http::{Ask, Exchange, Http, Login},
    output::one_line,
    service::Service,
};

/// Largest page that a service returns.
const PAGE_MAX: usize = 200;
/// Maximum characters shown of an error response that is not a problem document.
const SHOWN_CHARS_MAX: usize = 300;

pub(crate) struct Api {
    service: Service,
    http: Http,
}

/// A successful response.
pub(crate) struct Answer {
    /// Null when the response is empty.
    pub(crate) body: Value,
    /// The `ETag` header.
    pub(crate) version: Option<String>,
    /// True when the service replayed its first response to this idempotency key.
    pub(crate) replayed: bool,
}

pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    /// True when the list goes on after these items.
    pub(crate) more: bool,
}

impl Api {
    pub(crate) fn new(service: Service, base: Url, token: SecretString, timeout: Duration) -> Result<Self> {
        let hint = format!(
            "Is it running, and is this its `api` port? Its URL is set by {} or {}.",
            service.url_variable(),
            service.url_flag()
        );
        Ok(Self { service, http: Http::new(service.name(), hint, base, Login::Bearer(token), timeout)? })
    }

    pub(crate) fn service(&self) -> Service {
        self.service
    }

    /// Base URL without user and password, for display.
    pub(crate) fn source(&self) -> String {
        self.http.source()
    }

    /// The source for `--json` documents.
    pub(crate) fn source_document(&self) -> Value {
        json!({"service": self.service.name(), "url": self.source()})
    }

    /// `path` begins with `/`.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        Ok(self.send(Ask { query, ..Ask::new(Method::GET, path) }).await?.body)
    }

    /// GET with the resource's `ETag`, for a conditional update.
    pub(crate) async fn get_version(&self, path: &str) -> Result<Answer> {
        self.send(Ask::new(Method::GET, path)).await
    }

    /// A null `body` is not sent.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        Ok(self.send(Ask { body: Some(body), ..Ask::new(Method::POST, path) }).await?.body)
    }

    /// POST with an idempotency key: a repeat with the same key changes nothing.
    pub(crate) async fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Answer> {
        let headers = [("Idempotency-Key", key)];
        self.send(Ask { headers: &headers, body: Some(body), ..Ask::new(Method::POST, path) }).await
    }

    /// PUT, conditional on `version` when there is one.
    pub(crate) async fn put(&self, path: &str, body: &Value, version: Option<&str>) -> Result<Answer> {
        let headers: Vec<(&str, &str)> = version.map(|version| ("If-Match", version)).into_iter().collect();
        self.send(Ask { headers: &headers, body: Some(body), ..Ask::new(Method::PUT, path) }).await
    }

    /// Fetches pages until `limit` items or the end of the list.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, &str)], limit: usize) -> Result<Listed> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let wanted = (limit - items.len()).min(PAGE_MAX).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &wanted));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = self.get(path, &query).await?;
            let Value::Array(found) = page["items"].take() else {
                return Err(Failure::not_understood(self.service, "a list without `items`"));
            };
            let is_empty = found.is_empty();
            items.extend(found);
            cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
            // A cursor on an empty page would make this loop endless.
            if cursor.is_none() || is_empty || items.len() >= limit {
                items.truncate(limit);
                return Ok(Listed { items, more: cursor.is_some() && !is_empty });
            }
        }
    }

    async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let exchange = self.http.ask(ask).await?;
        if !exchange.status.is_success() {
            return Err(refusal(&self.http, &exchange));
        }
        let body = exchange.json(self.service.name())?;
        let replayed = exchange.header("Idempotency-Replayed").is_some();
        Ok(Answer { body, version: exchange.header("ETag"), replayed })
    }
}

/// The failure for an unsuccessful response: an RFC 9457 problem, or whatever a proxy in between wrote.
pub(crate) fn refusal(http: &Http, exchange: &Exchange) -> Failure {
    let status = exchange.status;
    let exit = if status.is_server_error() { Exit::NoAnswer } else { Exit::Refused };
    let problem: Value = serde_json::from_str(&exchange.text).unwrap_or(Value::Null);
    let part = |name: &str| problem[name].as_str().filter(|text| !text.is_empty()).map(one_line);
    let Some(title) = part("title") else {
        let mut start: String = exchange.text.trim().chars().take(SHOWN_CHARS_MAX).collect();
        if start.is_empty() {
            "nothing".clone_into(&mut start);
        }
        let message = format!("{} at {} answered {status}: {}", http.name, http.source(), one_line(&start));
        return Failure::new(exit, message).with_status(status.as_u16());
    };
    let mut message = format!("{}: {title} ({})", http.name, status.as_u16());
    let parts = [("", part("detail")), ("", remedy(status).map(ToOwned::to_owned)), ("trace id: ", part("trace_id"))];
    for (label, text) in parts {
        if let Some(text) = text {
            message.extend(["\n", label, &text]);
        }
    }
    Failure::new(exit, message).with_status(status.as_u16())
}

/// Advice for an operator on a status, beyond the problem's own detail.
fn remedy(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some(
            "The token (OPERATOR_TOKEN or --token-file) is not among the service's auth.tokens; a personal access token may be \
             revoked or expired, and the session of `jaegoctl login` may have ended: log in again.",
        ),
        StatusCode::FORBIDDEN => Some("This needs a token with role operator; a viewer's cannot change anything."),
        _ => None,
    }
}
