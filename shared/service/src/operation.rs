//! An operator's request: actor, reason, content, and the stored answer that a repeated request gets.

use actix_web::{HttpRequest, HttpResponse};
use diesel_async::AsyncPgConnection;
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use serde_json::Value;

use crate::Refused;
use crate::audit_log;
use crate::audit_log::Action;
use crate::idempotency;
use crate::idempotency::{KeptAnswer, KeyUse};

/// An operator's request, as it is recorded in the audit log.
pub struct Asked<'a> {
    /// Name of the operator.
    pub actor: &'a str,
    /// The request's Idempotency-Key, where the endpoint takes one.
    pub key: Option<KeyUse>,
    /// The operator's reason, where the endpoint takes one.
    pub reason: Option<&'a str>,
    /// Body of the request as received.
    pub detail: Value,
    pub trace: TraceContext,
}

impl<'a> Asked<'a> {
    /// A request without a key, a reason or a body.
    pub fn plainly(actor: &'a str, trace: TraceContext) -> Self {
        Self { actor, key: None, reason: None, detail: Value::Null, trace }
    }

    /// Records the action in the audit log.
    pub async fn record(
        &self,
        connection: &mut AsyncPgConnection,
        action: &'static str,
        subject: &str,
    ) -> Result<(), StoreError> {
        let (actor, reason, trace) = (self.actor, self.reason, self.trace);
        audit_log::record(connection, &Action { actor, action, subject, reason, detail: self.detail.clone(), trace })
            .await
    }

    /// Returns the stored answer if the same request was answered before. Waits for a concurrent request with the
    /// same key. After None, the transaction must store an answer or be rolled back.
    pub async fn known_answer(&self, connection: &mut AsyncPgConnection) -> Result<Option<Answered>, Refused> {
        let Some(used) = &self.key else { return Ok(None) };
        let kept = idempotency::claim(connection, used).await?;
        let answer = kept.map(|kept| kept.for_body(&used.fingerprint)).transpose()?;
        Ok(answer.map(|answer| Answered { answer, is_replay: true }))
    }

    /// Stores the first answer to this request.
    pub async fn keep(&self, connection: &mut AsyncPgConnection, answer: KeptAnswer) -> Result<Answered, StoreError> {
        if let Some(used) = &self.key {
            idempotency::keep(connection, used, &answer).await?;
        }
        Ok(Answered { answer, is_replay: false })
    }
}

/// An answer that is stored under its request's key.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Status and body.
    pub answer: KeptAnswer,
    /// True when the request was answered before, under the same key.
    pub is_replay: bool,
}

impl Answered {
    /// Builds the response: the first one, or a replay.
    pub fn respond(&self, request: &HttpRequest) -> HttpResponse {
        if self.is_replay { self.answer.replay(request) } else { self.answer.respond(request) }
    }
}
