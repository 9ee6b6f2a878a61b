//! One call to a factory, exactly as the factory requires it (CONTRACTS.md, section 1).

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jaego_contracts::callback::redact;
use jaego_contracts::trace::TraceContext;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::retry_after;
use super::secrets::{FactoryHeaders, UnusableSecret};
use crate::commands::claim_requests::Call;
use crate::commands::outbound::Outbound;
use crate::commands::record_attempts::{CallEnd, Ending};
use crate::settings::Delivery;

/// Maximum bytes of an answer that are stored.
const ANSWER_BYTES_KEPT: usize = 2048;
const JOB_ID_CHARS_MAX: usize = 200;
/// Connecting is allowed less time than the whole call, so that a factory that is not there can be distinguished from
/// one that does not answer.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
const CONNECT_SHARE: f64 = 0.8;
/// Factories have few distinct timeouts; beyond this number the cache is cleared.
const CLIENTS_MAX: usize = 64;

#[derive(Clone)]
pub struct FactoryClient {
    /// Clients by connect timeout.
    clients: Arc<Mutex<HashMap<Duration, reqwest::Client>>>,
    outbound: Outbound,
    headers: FactoryHeaders,
    response_bytes_max: usize,
    retry_after_max: Duration,
}

/// Reason why no factory can be called.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    #[error("cannot build an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Secret(#[from] UnusableSecret),
}

/// Field names of the factory's API. Their order has no meaning, but keeps the body recognizable.
#[derive(Serialize)]
struct Manufacture<'a> {
    #[serde(rename = "MessageGroupId")]
    group_id: &'static str,
    #[serde(rename = "MessageAttributeProductId")]
    product_id: &'a str,
    #[serde(rename = "MessageAttributeProductCnt")]
    count: String,
    #[serde(rename = "MessageAttributeFactoryId")]
    factory_id: &'a str,
    #[serde(rename = "MessageAttributeRequester")]
    requester: &'a str,
    #[serde(rename = "CallbackUrl")]
    callback_url: &'a str,
}

impl FactoryClient {
    /// Reads the secrets and checks that a client can be built.
    pub fn new(settings: &Delivery) -> Result<Self, NoClient> {
        let client = Self {
            clients: Arc::default(),
            outbound: Outbound::new(settings.allowed_networks()),
            headers: FactoryHeaders::read(settings.factory_headers())?,
            response_bytes_max: settings.response_bytes_max,
            retry_after_max: Duration::from_secs(settings.retry_after_max_s.into()),
        };
        client.client(CONNECT_TIMEOUT_MAX)?;
        Ok(client)
    }

    /// No redirects, no resending, no proxy from the environment: one call is one request to the configured address.
    fn client(&self, connect_timeout: Duration) -> reqwest::Result<reqwest::Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_timeout) {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .user_agent(concat!("jaego/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Arc::new(self.outbound.clone()))
            .connect_timeout(connect_timeout)
            .build()?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(connect_timeout, client.clone());
        Ok(client)
    }

    /// Makes the call; every failure is a result as well.
    pub async fn call(&self, call: &Call, callback_url: &SecretString, trace: TraceContext) -> CallEnd {
        let begun = Instant::now();
        if let Err(forbidden) = self.outbound.check_url(&call.factory.settings.base_url) {
            return CallEnd::not_made(forbidden.to_string());
        }
        let header = self.headers.of(&call.factory.id);
        let keep = |text: &[u8]| {
            header.map_or_else(|| keep(text), |header| keep(header.redact(&String::from_utf8_lossy(text)).as_bytes()))
        };
        let sent = tokio::time::timeout(call.timeout(), self.send(call, callback_url, trace)).await;
        let none = |ending, error| CallEnd {
            ending,
            error: Some(error),
            answer: None,
            retry_after: None,
            job_id: None,
            duration: begun.elapsed(),
        };
        match sent {
            Ok(Ok(answer)) => {
                let ending = Ending::Status(answer.status().as_u16());
                let retry_after = self.retry_after(&answer);
                let left = call.timeout().saturating_sub(begun.elapsed());
                let body = self.read(answer, left).await;
                let body = match header {
                    Some(header) => header.redact(&String::from_utf8_lossy(&body)).into_bytes(),
                    None => body,
                };
                CallEnd {
                    ending,
                    error: None,
                    answer: Some(keep(&body)),
                    retry_after,
                    job_id: job_id(&body),
                    duration: begun.elapsed(),
                }
            }
            // A client that could not be built has sent nothing.
            Ok(Err(error)) if error.is_connect() || error.is_builder() => none(Ending::NotConnected, in_words(error)),
            Ok(Err(error)) => none(Ending::NoAnswer, in_words(error)),
            Err(_) => none(Ending::NoAnswer, format!("time-out after {} ms", call.timeout().as_millis())),
        }
    }

    fn retry_after(&self, answer: &reqwest::Response) -> Option<Duration> {
        let header = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
        retry_after::parse(header, SystemTime::now(), self.retry_after_max)
    }

    async fn send(
        &self,
        call: &Call,
        callback_url: &SecretString,
        trace: TraceContext,
    ) -> reqwest::Result<reqwest::Response> {
        let body = Manufacture {
            group_id: "stock-arrival-group",
            product_id: call.request.sku.as_str(),
            count: call.request.quantity.to_string(),
            factory_id: call.factory.id.as_str(),
            requester: &call.factory.settings.requester,
            callback_url: callback_url.expose_secret(),
        };
        // The body has only strings, so serializing it to memory cannot fail.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let header = self.headers.of(&call.factory.id);
        let connect_timeout = call.timeout().mul_f64(CONNECT_SHARE).min(CONNECT_TIMEOUT_MAX);
        let request = self
            .client(connect_timeout)?
            .post(format!("{}/api/manufactures", call.factory.settings.base_url))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("Idempotency-Key", call.request_id().to_string())
            .header("traceparent", trace.to_string());
        let request = match header {
            Some(header) => request.header(header.name.clone(), header.value.clone()),
            None => request,
        };
        request.body(body).send().await
    }

    /// Reads as much of the body as arrives: once the status is known, the body does not change the result.
    async fn read(&self, mut answer: reqwest::Response, limit: Duration) -> Vec<u8> {
        let mut body = Vec::new();
        let reading = async {
            while let Ok(Some(chunk)) = answer.chunk().await {
                let room = self.response_bytes_max.saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() >= room {
                    break;
                }
            }
        };
        // Whatever arrived is kept, even if the body was cut off.
        drop(tokio::time::timeout(limit, reading).await);
        body
    }
}

/// The error and its causes in order, without the URL.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    keep(words.as_bytes())
}

/// Text for the database: redacted first, then truncated.
fn keep(answer: &[u8]) -> String {
    // PostgreSQL text cannot contain NUL.
    let mut text = redact(&String::from_utf8_lossy(answer).replace('\0', "\u{FFFD}"));
    let cut = (0..=ANSWER_BYTES_KEPT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    if text.len() > cut {
        text.truncate(cut);
    }
    text
}

/// `data.id` of the answer, if present.
fn job_id(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Accepted {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        id: String,
    }
    let accepted: Accepted = serde_json::from_slice(answer).ok()?;
    let id: String = keep(accepted.data.id.as_bytes()).chars().take(JOB_ID_CHARS_MAX).collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_taken_where_there_is_one() {
        let known = r#"{"data":{"id":"0192","reqestor":"재고담당","data":{}}}"#;
        assert_eq!(job_id(known.as_bytes()).as_deref(), Some("0192"));
        for other in ["", "ok", "{}", r#"{"data":null}"#, r#"{"data":{"id":7}}"#, r#"{"data":{"id":""}}"#] {
            assert_eq!(job_id(other.as_bytes()), None, "{other}");
        }
    }

    // Control: redacted-answers.
    #[test]
    fn an_answer_is_redacted_before_it_is_cut() {
        let url = format!("https://restock.example/callbacks/v1/restocks/eyJhbGciOi.{}", "x".repeat(300));
        for before in 0..ANSWER_BYTES_KEPT {
            let kept = keep(format!("{}{url}", "가".repeat(before / 3)).as_bytes());
            assert!(kept.len() <= ANSWER_BYTES_KEPT && !kept.contains("eyJ") && !kept.contains("xxx"), "{kept}");
        }
        assert_eq!(keep(b"a\0b\xff"), "a\u{FFFD}b\u{FFFD}");
    }
}
