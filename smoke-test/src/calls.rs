//! Calls to one service's API, retried while the service is only unavailable.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{Client, Method, StatusCode, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::sleep;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
/// Maximum characters shown of an unexpected response, which may not come from a service of ours.
const SHOWN_CHARS_MAX: usize = 400;

/// The time at which everything must be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Waits before the next attempt; fails with what was `seen` last when time is up.
    pub(crate) async fn pause(self, what: &str, seen: &str) -> Result<()> {
        if self.left() <= PAUSE {
            bail!("not within {} s: {what}; last seen: {seen}", self.timeout.as_secs());
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// Calls `probe` until it returns a value instead of what it saw.
    pub(crate) async fn until<T>(
        self,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<Result<T, String>>,
    ) -> Result<T> {
        loop {
            match probe().await? {
                Ok(value) => return Ok(value),
                Err(seen) => self.pause(what, &seen).await?,
            }
        }
    }
}

/// Client of a service's API, as the operator.
pub(crate) struct Api {
    service: &'static str,
    base_url: String,
    client: Client,
    token: SecretString,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Null when the response is empty, a string when it is not JSON.
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new(service: &'static str, base_url: &str, token: &SecretString) -> Result<Self> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        jaego_net::install_tls();
        // A server may close an idle connection while the next request is on its way.
        let client = Client::builder().no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0).build();
        let client = client.context("cannot make an HTTP client: is the package ca-certificates installed?")?;
        Ok(Self { service, base_url, client, token: token.clone() })
    }

    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    /// GET, expecting 200.
    pub(crate) async fn get(&self, deadline: Deadline, path: &str) -> Result<Value> {
        Ok(self.call(deadline, Method::GET, path, None, &[StatusCode::OK]).await?.body)
    }

    /// PUT, expecting any success.
    pub(crate) async fn put(&self, deadline: Deadline, path: &str, body: &Value) -> Result<Value> {
        Ok(self.call(deadline, Method::PUT, path, Some((body, None)), &[]).await?.body)
    }

    /// POST with an idempotency key, so that it counts once however often it is sent. Expects any success, or
    /// a status in `also`.
    pub(crate) async fn post(
        &self,
        deadline: Deadline,
        path: &str,
        key: &str,
        body: &Value,
        also: &[StatusCode],
    ) -> Result<Answer> {
        self.call(deadline, Method::POST, path, Some((body, Some(key))), also).await
    }

    /// No response, 429, 502, 503 and 504 are what a service that is starting or being replaced looks like
    /// from here, so they are retried. Any other refusal is final.
    async fn call(
        &self,
        deadline: Deadline,
        method: Method,
        path: &str,
        body: Option<(&Value, Option<&str>)>,
        also: &[StatusCode],
    ) -> Result<Answer> {
        let request = format!("{method} {}{path}", self.base_url);
        let what = format!("{} answers {request}", self.service);
        deadline
            .until(&what, async || {
                let answer = match self.once(deadline, &method, path, body).await {
                    Ok(answer) => answer,
                    Err(error) => return Ok(Err(format!("{:#}", anyhow::Error::from(error.without_url())))),
                };
                let body = || answer.body.to_string().chars().take(SHOWN_CHARS_MAX).collect::<String>();
                let described = || format!("{} {}", answer.status, body());
                match answer.status.as_u16() {
                    429 | 502..=504 => Ok(Err(described())),
                    _ if answer.status.is_success() || also.contains(&answer.status) => Ok(Ok(answer)),
                    401 | 403 => Err(anyhow!(
                        "{} does not allow {request} with this token: give a token of role operator; it answered {}",
                        self.service,
                        described()
                    )),
                    _ => Err(anyhow!("{} refused {request}: {}", self.service, described())),
                }
            })
            .await
    }

    async fn once(
        &self,
        deadline: Deadline,
        method: &Method,
        path: &str,
        body: Option<(&Value, Option<&str>)>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base_url));
        request = request.bearer_auth(self.token.expose_secret()).timeout(deadline.left().min(CALL_TIMEOUT));
        if let Some((body, key)) = body {
            request = request.json(body);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }
}
