//! The first answer to a creating POST, stored so that a repeated request gets it again.
//!
//! A key is scoped to one endpoint and caller. Its row is written in the transaction of the request's effect.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use diesel::sql_types::{Binary, SmallInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use jaego_web::problem;
use jaego_web::problem::{Problem, ProblemKind};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Header of a replayed answer.
const REPLAYED: &str = "Idempotency-Replayed";

/// A key as one request uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Such as `POST /api/v1/orders`.
    pub endpoint: &'static str,
    /// The operator's name; empty on public endpoints.
    pub caller: String,
    pub key: String,
    /// Digest of the request's body.
    pub fingerprint: Vec<u8>,
}

/// Digest of a JSON body; the order of its fields and its white space do not matter.
pub fn fingerprint(body: &[u8]) -> Vec<u8> {
    // serde_json keeps objects in key order.
    let canonical = serde_json::from_slice::<Value>(body).map(|value| value.to_string());
    canonical.map_or_else(|_| Sha256::digest(body).to_vec(), |text| Sha256::digest(text.as_bytes()).to_vec())
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    pub status: u16,
    /// JSON body; that of a problem is without `instance` and `trace_id`.
    pub body: String,
}

impl KeptAnswer {
    /// Builds the first response.
    pub fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_success() {
            return HttpResponse::build(status).content_type("application/json").body(self.body.clone());
        }
        let body = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        problem::respond_with_body(body, request)
    }

    /// Builds a replayed response, marked with `Idempotency-Replayed`.
    pub fn replay(&self, request: &HttpRequest) -> HttpResponse {
        let mut response = self.respond(request);
        let name = actix_web::http::header::HeaderName::from_static("idempotency-replayed");
        debug_assert!(name.as_str().eq_ignore_ascii_case(REPLAYED), "one header, one name");
        response.headers_mut().insert(name, actix_web::http::header::HeaderValue::from_static("true"));
        response
    }
}

/// The entry of a key that was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Digest of the first request's body.
    pub fingerprint: Vec<u8>,
    /// The first answer.
    pub answer: KeptAnswer,
}

impl Kept {
    /// Returns the first answer, or the problem for a key that was used with another body.
    pub fn for_body(self, fingerprint: &[u8]) -> Result<KeptAnswer, Problem> {
        if self.fingerprint == fingerprint { Ok(self.answer) } else { Err(reused()) }
    }
}

/// The problem for a key that was used with another body.
pub fn reused() -> Problem {
    let detail = "This Idempotency-Key was used with another body; use a new key for a new request.";
    Problem::new(ProblemKind::IdempotencyKeyReused, detail)
}

#[derive(QueryableByName)]
struct KeptAnswerRow {
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = Text)]
    body: String,
}

/// Claims the key for this transaction, which must then [`keep`] an answer or be rolled back. Waits for a concurrent
/// holder of the key. Returns None when the key is claimed, or its entry when it was used before.
pub async fn claim(connection: &mut AsyncPgConnection, used: &KeyUse) -> Result<Option<Kept>, StoreError> {
    let claimed = sql_query(
        "INSERT INTO idempotency_keys (endpoint, caller, key, fingerprint, status, body) \
         VALUES ($1, $2, $3, $4, 0, '') ON CONFLICT DO NOTHING",
    )
    .bind::<Text, _>(used.endpoint)
    .bind::<Text, _>(&used.caller)
    .bind::<Text, _>(&used.key)
    .bind::<Binary, _>(&used.fingerprint)
    .execute(connection)
    .await?;
    if claimed == 1 {
        return Ok(None);
    }
    let row: KeptAnswerRow = sql_query(
        "SELECT fingerprint, status, body FROM idempotency_keys WHERE endpoint = $1 AND caller = $2 AND key = $3",
    )
    .bind::<Text, _>(used.endpoint)
    .bind::<Text, _>(&used.caller)
    .bind::<Text, _>(&used.key)
    .get_result(connection)
    .await?;
    let status = u16::try_from(row.status).unwrap_or(500);
    Ok(Some(Kept { fingerprint: row.fingerprint, answer: KeptAnswer { status, body: row.body } }))
}

/// Stores the answer under a key that this transaction has claimed.
pub async fn keep(connection: &mut AsyncPgConnection, used: &KeyUse, answer: &KeptAnswer) -> Result<(), StoreError> {
    sql_query("UPDATE idempotency_keys SET status = $4, body = $5 WHERE endpoint = $1 AND caller = $2 AND key = $3")
        .bind::<Text, _>(used.endpoint)
        .bind::<Text, _>(&used.caller)
        .bind::<Text, _>(&used.key)
        .bind::<SmallInt, _>(i16::try_from(answer.status).unwrap_or(500))
        .bind::<Text, _>(&answer.body)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_does_not_change_a_fingerprint_and_content_does() {
        assert_eq!(fingerprint(br#"{"a":1,"b":2}"#), fingerprint(b"{ \"b\": 2, \"a\": 1 }"));
        assert_ne!(fingerprint(br#"{"a":1}"#), fingerprint(br#"{"a":2}"#));
    }
}
