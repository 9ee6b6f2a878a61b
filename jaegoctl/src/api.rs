//! One service's HTTP API, as the operator. Every request is bounded in time, every answer in size.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::{
    failure::{Exit, Failure, Result},
    service::Service,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
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

    /// GET `path`, which begins with `/`.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.send(Method::GET, path, query, None).await
    }

    async fn send(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> Result<Value> {
        let mut url = self.base.clone();
        // User and password of the URL would replace the bearer token.
        strip_login(&mut url);
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let (status, text) = self.exchange(request).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        serde_json::from_str(&text).map_err(|error| Failure::not_understood(self.service, format!("no JSON ({error})")))
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<(StatusCode, String)> {
        let answer = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        Ok((status, self.text_of(answer).await?))
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
        let part = |name: &str| problem[name].as_str().filter(|text| !text.is_empty());
        let Some(title) = part("title") else {
            let mut start: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
            if start.is_empty() {
                "nothing".clone_into(&mut start);
            }
            return Failure::new(exit, format!("{} at {} answered {status}: {start}", self.service, self.source()));
        };
        let mut message = format!("{}: {title} ({})", self.service, status.as_u16());
        for (label, text) in [("", part("detail")), ("", what_to_do(status)), ("trace id: ", part("trace_id"))] {
            if let Some(text) = text {
                message.extend(["\n", label, text]);
            }
        }
        Failure::new(exit, message)
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
