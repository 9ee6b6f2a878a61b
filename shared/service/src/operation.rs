//! What an operator asks for: who, why, in which words, and the answer that a repeated request gets again.

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

/// Who asked, and in which words.
pub struct Asked<'a> {
    /// The operator.
    pub actor: &'a str,
    /// Its Idempotency-Key, where one is honoured.
    pub key: Option<KeyUse>,
    /// Why, where a reason is asked for.
    pub reason: Option<&'a str>,
    /// The request as it came.
    pub detail: Value,
    /// Its trace.
    pub trace: TraceContext,
}

impl<'a> Asked<'a> {
    /// Without a key, a reason or a body.
    pub fn plainly(actor: &'a str, trace: TraceContext) -> Self {
        Self { actor, key: None, reason: None, detail: Value::Null, trace }
    }

    /// Notes the action in the audit log.
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

    /// The answer that was given to the same request before. Waits for one that is being given. After None, the
    /// transaction keeps an answer or is rolled back.
    pub async fn known_answer(&self, connection: &mut AsyncPgConnection) -> Result<Option<Answered>, Refused> {
        let Some(used) = &self.key else { return Ok(None) };
        let kept = idempotency::claim(connection, used).await?;
        let answer = kept.map(|kept| kept.for_body(&used.fingerprint)).transpose()?;
        Ok(answer.map(|answer| Answered { answer, is_replay: true }))
    }

    /// Keeps the first answer to this request.
    pub async fn keep(&self, connection: &mut AsyncPgConnection, answer: KeptAnswer) -> Result<Answered, StoreError> {
        if let Some(used) = &self.key {
            idempotency::keep(connection, used, &answer).await?;
        }
        Ok(Answered { answer, is_replay: false })
    }
}

/// An answer that is kept under its request's key.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Status and body.
    pub answer: KeptAnswer,
    /// The request was answered before, under the same key.
    pub is_replay: bool,
}

impl Answered {
    /// As it was given first, or as it is given again.
    pub fn respond(&self, request: &HttpRequest) -> HttpResponse {
        if self.is_replay { self.answer.replay(request) } else { self.answer.respond(request) }
    }
}
