//! HTTP requests to one server: bounded in time, responses bounded in size, credentials sent nowhere else.

use std::{path::Path, time::Duration};

use jaego_net::tls;
use reqwest::{Certificate, Client, Method, Response, StatusCode, header::HeaderMap, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

pub(crate) use jaego_amqp::provision::segment;

use crate::failure::{Exit, Failure, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum bytes read of a response: enough for the totals of some hundred thousand products.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(crate) enum Login {
    /// No credentials.
    Nobody,
    Bearer(SecretString),
    Basic(String, SecretString),
}

/// Client of one server.
pub(crate) struct Http {
    /// Name in messages.
    pub(crate) name: String,
    /// Advice for when it does not answer.
    pub(crate) hint: String,
    base: Url,
    login: Login,
    client: Client,
}

/// A response with any status.
pub(crate) struct Exchange {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Exchange {
    /// `None` when the header is absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
    }

    /// The body as JSON; null when it is empty.
    pub(crate) fn json(&self, from: &str) -> Result<Value> {
        match self.text.as_str() {
            "" => Ok(Value::Null),
            text => {
                serde_json::from_str(text).map_err(|error| Failure::not_understood(from, format!("no JSON ({error})")))
            }
        }
    }
}

pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Begins with `/`, percent-encoded where needed.
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a Value>,
}

impl<'a> Ask<'a> {
    /// A request without query, headers and body.
    pub(crate) const fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, query: &[], headers: &[], body: None }
    }
}

impl Http {
    /// All paths are below `base`. Servers are verified by the system's authorities.
    pub(crate) fn new(name: &str, hint: String, base: Url, login: Login, timeout: Duration) -> Result<Self> {
        Self::trusting(None, name, hint, base, login, timeout)
    }

    /// Also accepts servers that the authorities in this PEM file verify.
    pub(crate) fn trusting(
        ca_file: Option<&Path>,
        name: &str,
        hint: String,
        base: Url,
        login: Login,
        timeout: Duration,
    ) -> Result<Self> {
        let mut client = Client::builder();
        if let Some(path) = ca_file {
            let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
            let text = tls::authorities(&path.display().to_string()).map_err(|error| usage(&error))?;
            let text = text.unwrap_or_default();
            let own = Certificate::from_pem_bundle(text.as_bytes()).map_err(|error| usage(&error))?;
            client = client.tls_certs_merge(own);
        }
        let client = client
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .user_agent(concat!("jaegoctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                let message = format!("cannot make an HTTP client ({error}): are CA certificates installed?");
                Failure::new(Exit::Failed, message)
            })?;
        Ok(Self { name: name.to_owned(), hint, base, login, client })
    }

    /// Base URL without user, password and query, for display.
    pub(crate) fn source(&self) -> String {
        let mut url = self.base.clone();
        strip_login(&mut url);
        url.set_query(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// Sends one request; a response with any status is a success.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Exchange> {
        let mut url = self.base.clone();
        // User and password in the URL would replace the login.
        strip_login(&mut url);
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), ask.path));
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        let mut request = self.client.request(ask.method, url);
        request = match &self.login {
            Login::Nobody => request,
            Login::Bearer(token) => request.bearer_auth(token.expose_secret()),
            Login::Basic(user, password) => request.basic_auth(user, Some(password.expose_secret())),
        };
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body.filter(|body| !body.is_null()) {
            request = request.json(body);
        }
        let mut answer = request.send().await.map_err(|error| self.no_answer(&error))?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        Ok(Exchange { status, headers, text: self.text_of(answer).await? })
    }

    async fn text_of(&self, mut answer: Response) -> Result<String> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.no_answer(&error))? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Failure::not_understood(&self.name, format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn no_answer(&self, error: &reqwest::Error) -> Failure {
        let reason = reason_of(error);
        Failure::new(
            Exit::NoAnswer,
            format!("{} does not answer at {}: {reason}\n{}", self.name, self.source(), self.hint),
        )
    }
}

/// Ignores errors: a URL that cannot have user and password has none.
fn strip_login(url: &mut Url) {
    url.set_username("").ok();
    url.set_password(None).ok();
}

/// The innermost cause, without the URL.
fn reason_of(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "time ran out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
