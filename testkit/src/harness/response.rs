//! The response to a request.

use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// A string when the body is not JSON.
    pub body: Value,
}

impl Response {
    /// Sends the request.
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    pub fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or_default()
    }

    pub fn etag(&self) -> Option<&str> {
        self.header("etag")
    }

    pub fn retry_after(&self) -> Option<&str> {
        self.header("retry-after")
    }

    /// True for a kept answer to a repeated `Idempotency-Key`.
    pub fn replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// The problem's slug. Panics if the body is not a complete problem.
    #[track_caller]
    pub fn problem(&self) -> &str {
        let slug = self.body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/"));
        let has = |member: &str| self.body[member].as_str().is_some_and(|text| !text.is_empty());
        let is_complete = ["title", "detail", "instance"].into_iter().all(has)
            && self.body["trace_id"].as_str().map(str::len) == Some(32)
            && self.body["status"] == self.status.as_u16();
        match slug {
            Some(slug) if is_complete && self.content_type() == "application/problem+json" => slug,
            _ => panic!("no problem: {self:?}"),
        }
    }

    /// Status and slug of a problem.
    #[track_caller]
    pub fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.problem())
    }
}
