//! One service's HTTP API, as the operator. Every request is bounded in time, every answer in size.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::{
    failure::{Exit, Failure, Result},
    output::one_line,
    service::Service,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most items that a service answers at once.
const PAGE_MAX: usize = 200;
/// Most bytes of an answer that are read: the totals of some hundred thousand products.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How much of an answer that is no problem document is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// A service's API.
pub(crate) struct Api {
    service: Service,
    client: Client,
    base: Url,
    token: SecretString,
}

/// A success.
pub(crate) struct Answer {
    /// Null when it is empty.
    pub(crate) body: Value,
    /// `ETag`.
    pub(crate) version: Option<String>,
    /// The first answer to this idempotency key, given again.
    pub(crate) replayed: bool,
}

/// Items of a list.
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    /// The list goes on.
    pub(crate) more: bool,
}

impl Api {
    /// The API below `base`.
    pub(crate) fn new(service: Service, base: Url, token: SecretString, timeout: Duration) -> Result<Self> {
        Ok(Self { service, client: client(timeout)?, base, token })
    }

    /// Which service it is of.
    pub(crate) fn service(&self) -> Service {
        self.service
    }

    /// Where it is, for people: without user and password.
    pub(crate) fn source(&self) -> String {
        shown(&self.base)
    }

    /// The same for programs.
    pub(crate) fn source_document(&self) -> Value {
        json!({"service": self.service.name(), "url": self.source()})
    }

    /// GET `path`, which begins with `/`.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        Ok(self.send(Method::GET, path, query, &[], None).await?.body)
    }

    /// GET with the version, for a change that is based on it.
    pub(crate) async fn get_version(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[], &[], None).await
    }

    /// POST; `body` may be null for none.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        Ok(self.send(Method::POST, path, &[], &[], Some(body)).await?.body)
    }

    /// POST under an idempotency key: the same again changes nothing.
    pub(crate) async fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Answer> {
        self.send(Method::POST, path, &[], &[("Idempotency-Key", key)], Some(body)).await
    }

    /// PUT, only over the version that it is based on.
    pub(crate) async fn put(&self, path: &str, body: &Value, version: Option<&str>) -> Result<Answer> {
        let headers: Vec<(&str, &str)> = version.map(|version| ("If-Match", version)).into_iter().collect();
        self.send(Method::PUT, path, &[], &headers, Some(body)).await
    }

    /// A list, page after page, up to `limit` items.
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
            // A page without items that leads on would never end.
            if cursor.is_none() || is_empty || items.len() >= limit {
                items.truncate(limit);
                return Ok(Listed { items, more: cursor.is_some() && !is_empty });
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut url = self.base.clone();
        // User and password of the URL would replace the bearer token.
        strip_login(&mut url);
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(self.token.expose_secret());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body.filter(|body| !body.is_null()) {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        let header =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let (version, replayed) = (header("ETag"), header("Idempotency-Replayed").is_some());
        let text = self.text_of(answer).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .map_err(|error| Failure::not_understood(self.service, format!("no JSON ({error})")))?,
        };
        Ok(Answer { body, version, replayed })
    }

    async fn text_of(&self, mut answer: Response) -> Result<String> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.no_answer(&error))? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Failure::not_understood(self.service, format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn no_answer(&self, error: &reqwest::Error) -> Failure {
        let (variable, flag) = (self.service.url_variable(), self.service.url_flag());
        let reason = reason_of(error);
        let message = format!(
            "{} does not answer at {}: {reason}\nIs it running, and is this its `api` port? {variable} or {flag} says where it is.",
            self.service,
            self.source()
        );
        Failure::new(Exit::NoAnswer, message)
    }

    /// What an answer other than success says: RFC 9457, or whatever a proxy in between wrote.
    fn refusal(&self, status: StatusCode, text: &str) -> Failure {
        let exit = if status.is_server_error() { Exit::NoAnswer } else { Exit::Refused };
        let problem: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let part = |name: &str| problem[name].as_str().filter(|text| !text.is_empty()).map(one_line);
        let Some(title) = part("title") else {
            let mut start: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
            if start.is_empty() {
                "nothing".clone_into(&mut start);
            }
            let message = format!("{} at {} answered {status}: {}", self.service, self.source(), one_line(&start));
            return Failure::new(exit, message).with_status(status.as_u16());
        };
        let mut message = format!("{}: {title} ({})", self.service, status.as_u16());
        for (label, text) in
            [("", part("detail")), ("", what_to_do(status).map(ToOwned::to_owned)), ("trace id: ", part("trace_id"))]
        {
            if let Some(text) = text {
                message.extend(["\n", label, &text]);
            }
        }
        Failure::new(exit, message).with_status(status.as_u16())
    }
}

/// What an operator can do about a status, beyond what the problem's own detail says.
fn what_to_do(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => {
            Some("The token (OPERATOR_TOKEN or --token-file) is not among the service's auth.tokens.")
        }
        StatusCode::FORBIDDEN => Some("This needs a token with role operator; a viewer's may only look."),
        _ => None,
    }
}

/// A client: bounded in time, never sent elsewhere with the token, never twice.
pub(crate) fn client(timeout: Duration) -> Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .user_agent(concat!("jaegoctl/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot make an HTTP client ({error}): are CA certificates installed?"))
        })
}

/// A URL without user, password and query.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    strip_login(&mut url);
    url.set_query(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// A URL that cannot have user and password has none.
fn strip_login(url: &mut Url) {
    url.set_username("").ok();
    url.set_password(None).ok();
}

/// The innermost cause, without the URL.
pub(crate) fn reason_of(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "time ran out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
