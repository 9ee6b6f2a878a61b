//! The endpoint that discards dead letters.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, post};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_pg::StoreError;
use jaego_postbox::dead_letters::letters;
use jaego_postbox::dead_letters::letters::Letter;
use jaego_postbox::dead_letters::{DeadLetters, Hooks};
use jaego_web::auth::Operator;
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{RawJson, parse_strict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{all_in, bounded, invalid};
use crate::Refused;
use crate::operation::Asked;

const REASON_LENGTH_MAX: usize = 500;

/// Dead letters to discard, and the reason.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"ids": ["0193b5a0-7b1e-7c52-9d43-2f6b1f0a9c11"], "reason": "sent by a broken script"}))]
pub struct DiscardLetters {
    /// 1 to 1,000 dead letters.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Vec<Uuid>,
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    reason: String,
}

/// Result of discarding dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiscardedLetters {
    /// Number of dead letters that were discarded, without those that already were.
    #[schema(example = 1)]
    discarded: usize,
}

/// Discard dead letters, all or none. A production request that no factory has accepted is cancelled.
#[utoipa::path(
    tag = "dead letters",
    operation_id = "discardDeadLetters",
    security(("operator" = [])),
    request_body = DiscardLetters,
    responses(
        (status = 200, description = "Discarded.", body = DiscardedLetters),
        (status = 404, description = "`not-found`: Some of the dead letters do not exist; nothing was discarded."),
        (status = 409, description = "`conflict`: Some of the dead letters are being redriven, or were processed; nothing was discarded."),
    ),
)]
#[post("/api/v1/dead-letters/discard")]
pub(super) async fn discard_dead_letters(
    operator: Operator,
    letters: Data<DeadLetters>,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted: DiscardLetters = parse_strict(&body.0)?;
    bounded(&wanted.ids)?;
    let reason = wanted.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_LENGTH_MAX || reason.chars().any(char::is_control) {
        return Err(invalid("reason", "must be 1 to 500 characters without control characters"));
    }
    let asked = Asked { reason: Some(reason), ..Asked::plainly(&operator.name, trace_of(&request)) };
    let mut connection = letters.pool.get().await.map_err(StoreError::from)?;
    let hooks = letters.hooks.clone();
    let discarded = connection
        .transaction(async |connection| {
            let found = all_in(connection, &wanted.ids, &["waiting", "discarded"]).await?;
            let mut discarded = 0;
            for letter in found {
                let (id, hooks) = (letter.id, hooks.get(letter.queue.as_str()));
                discarded += usize::from(discard(connection, letter, hooks).await?);
                asked.record(connection, "dead_letters.discard", &id.to_string()).await?;
            }
            Ok::<_, Refused>(discarded)
        })
        .await?;
    letters.outbox.wake();
    letters.note_change();
    Ok(HttpResponse::Ok().json(DiscardedLetters { discarded }))
}

/// Locks the work that the letter asks for first, as all code does that ends this work and with it the letter. The
/// letter is discarded before the queue's hook runs, which must no longer find it waiting.
async fn discard(
    connection: &mut AsyncPgConnection,
    letter: Letter,
    hooks: Option<&Hooks>,
) -> Result<bool, StoreError> {
    if let Some(hooks) = hooks {
        (hooks.lock)(connection, letter.body.clone()).await?;
    }
    let is_new = letters::discard(connection, letter.id).await?;
    if let Some(hooks) = hooks.filter(|_| is_new) {
        (hooks.discarded)(connection, letter.body).await?;
    }
    Ok(is_new)
}
