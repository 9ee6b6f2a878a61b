//! HTTP client for the APIs of the services and of the factory simulator.

use std::{fmt, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Client of one API, with at most one identity.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base_url: String,
    token: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    /// Null when the response has no body; a string when it is not JSON.
    pub body: Value,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Api {
    /// A client without a token; see [`Self::with_token`].
    pub fn new(base_url: &str) -> Self {
        Self {
            client: testkit::http::client(TIMEOUT),
            base_url: base_url.trim_end_matches('/').to_owned(),
            token: None,
        }
    }

    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, &[], Some(body)).await
    }

    /// Sends JSON with additional headers.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, headers, Some(body)).await
    }

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
    /// Returns the body of a success. Any other status is an error that names what was attempted.
    pub fn ok(self, doing: &str) -> anyhow::Result<Value> {
        if !self.status.is_success() {
            bail!("could not {doing}: answered {} {}", self.status, self.body);
        }
        Ok(self.body)
    }
}
