//! The first answer to a creating POST, kept so that a repeated request gets it again.
//!
//! A key counts within one endpoint and caller. Its row is written in the transaction of the effect.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use diesel::sql_types::{Array, Binary, SmallInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::db::{Statement, StatementSql, StoreError};
use crate::problem::{self, Problem, ProblemKind};

/// The unique constraint that a second first answer runs into.
pub const PRIMARY_KEY: &str = "idempotency_keys_pkey";
/// Marks an answer that was given before.
const REPLAYED: &str = "Idempotency-Replayed";

/// A key in use: whose, for what, with which body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Such as `POST /api/v1/orders`.
    pub endpoint: &'static str,
    /// The operator's name; empty on public endpoints.
    pub caller: String,
    /// The key.
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

/// An answer worth keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// Its JSON, for a problem without `instance` and `trace_id`.
    pub body: String,
}

impl KeptAnswer {
    /// As the first answer.
    pub fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_success() {
            return HttpResponse::build(status).content_type("application/json").body(self.body.clone());
        }
        let body = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        problem::respond_with_body(body, request)
    }

    /// As a repeated answer.
    pub fn replay(&self, request: &HttpRequest) -> HttpResponse {
        let mut response = self.respond(request);
        let name = actix_web::http::header::HeaderName::from_static("idempotency-replayed");
        debug_assert!(name.as_str().eq_ignore_ascii_case(REPLAYED), "one header, one name");
        response.headers_mut().insert(name, actix_web::http::header::HeaderValue::from_static("true"));
        response
    }
}

/// What was kept under a key: with the same body its answer, with another one a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Digest of the first request's body.
    pub fingerprint: Vec<u8>,
    /// The first answer.
    pub answer: KeptAnswer,
}

impl Kept {
    /// The first answer, or the problem that says that the key was used for something else.
    pub fn for_body(self, fingerprint: &[u8]) -> Result<KeptAnswer, Problem> {
        if self.fingerprint == fingerprint { Ok(self.answer) } else { Err(reused()) }
    }
}

/// The key was used with another body.
pub fn reused() -> Problem {
    let detail = "This Idempotency-Key was used with another body; use a new key for a new request.";
    Problem::new(ProblemKind::IdempotencyKeyReused, detail)
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = Text)]
    body: String,
}

struct Find;
impl StatementSql for Find {
    // Key by key: for `key = ANY(..)` the planner, while it knows nothing of the table yet, would rather read all keys
    // of the endpoint, which are all there are.
    const SQL: &'static str = "SELECT kept.* FROM unnest(?) AS wanted (key) CROSS JOIN LATERAL ( \
        SELECT key, fingerprint, status, body FROM idempotency_keys \
        WHERE endpoint = ? AND caller = ? AND key = wanted.key LIMIT 1) AS kept";
}

/// What is kept under these keys of one endpoint and caller; in a transaction.
pub async fn find(
    connection: &AsyncPgConnection,
    endpoint: &str,
    caller: &str,
    keys: &[String],
) -> Result<HashMap<String, Kept>, StoreError> {
    let find = Statement::<Find>::new()
        .bind::<Array<Text>, _>(keys.to_vec())
        .bind::<Text, _>(endpoint.to_owned())
        .bind::<Text, _>(caller.to_owned());
    // A plan from when the table was empty scans it.
    let rows: Vec<Row> = find.load_planned_anew(connection).await?;
    let kept = |row: Row| {
        let status = u16::try_from(row.status).unwrap_or(500);
        (row.key, Kept { fingerprint: row.fingerprint, answer: KeptAnswer { status, body: row.body } })
    };
    Ok(rows.into_iter().map(kept).collect())
}

struct Keep;
impl StatementSql for Keep {
    const SQL: &'static str = "INSERT INTO idempotency_keys (endpoint, caller, key, fingerprint, status, body) \
        SELECT * FROM unnest(?, ?, ?, ?, ?, ?)";
}

/// An answer, and the key under which it is kept.
pub type KeptFor<'a> = (&'a KeyUse, &'a KeptAnswer);

/// Keeps answers. A key that another transaction has just used violates [`PRIMARY_KEY`].
pub async fn keep(connection: &AsyncPgConnection, answers: &[KeptFor<'_>]) -> Result<(), StoreError> {
    if !answers.is_empty() {
        keeping(answers).run(connection).await?;
    }
    Ok(())
}

/// What [`keep`] does, to be done together with other statements.
pub fn keeping(answers: &[KeptFor<'_>]) -> Statement<impl StatementSql + use<>> {
    let text = |pick: fn(&KeptFor<'_>) -> String| answers.iter().map(pick).collect::<Vec<_>>();
    let statuses = answers.iter().map(|(_, answer)| i16::try_from(answer.status).unwrap_or(500));
    Statement::<Keep>::new()
        .bind::<Array<Text>, _>(text(|(used, _)| used.endpoint.to_owned()))
        .bind::<Array<Text>, _>(text(|(used, _)| used.caller.clone()))
        .bind::<Array<Text>, _>(text(|(used, _)| used.key.clone()))
        .bind::<Array<Binary>, _>(answers.iter().map(|(used, _)| used.fingerprint.clone()).collect::<Vec<_>>())
        .bind::<Array<SmallInt>, _>(statuses.collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|(_, answer)| answer.body.clone()))
}

/// For one request in a transaction of its own: waits for another holder of the same key, then
/// answers what was kept under it.
pub async fn lock_and_find(connection: &mut AsyncPgConnection, used: &KeyUse) -> Result<Option<Kept>, StoreError> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind::<Text, _>(format!("{}\n{}\n{}", used.endpoint, used.caller, used.key))
        .execute(connection)
        .await?;
    let found = find(connection, used.endpoint, &used.caller, std::slice::from_ref(&used.key)).await?;
    Ok(found.into_values().next())
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
