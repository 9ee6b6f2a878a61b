//! Calls of the services' and the simulator's HTTP APIs.

use std::{fmt, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// One API, as one caller.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base_url: String,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The body; null when it is empty, a text when it is not JSON.
    pub body: Value,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Api {
    /// The API at `base_url`, without a token.
    pub fn new(base_url: &str) -> Self {
        Self {
            client: testkit::http::client(TIMEOUT),
            base_url: base_url.trim_end_matches('/').to_owned(),
            token: None,
        }
    }

    /// The same, with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, &[], Some(body)).await
    }

    /// POST of JSON, with further headers.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, headers, Some(body)).await
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.base_url);
        let mut request = self.client.request(method.clone(), &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("no answer to {method} {url}"))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("no whole answer to {method} {url}"))?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text))
        };
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body of a success; anything else is an error that names what was tried.
    pub fn ok(self, doing: &str) -> anyhow::Result<Value> {
        if !self.status.is_success() {
            bail!("could not {doing}: answered {} {}", self.status, self.body);
        }
        Ok(self.body)
    }
}
