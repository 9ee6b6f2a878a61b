//! Endpoints that redrive dead letters.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use diesel_async::AsyncConnection;
use jaego_pg::StoreError;
use jaego_postbox::dead_letters::DeadLetters;
use jaego_postbox::dead_letters::redrives;
use jaego_postbox::dead_letters::redrives::{Chosen, Redrive};
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::trace_of;
use jaego_web::{IdempotencyKey, RawJson, parse_strict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{all_in, bounded, check_name, invalid};
use crate::Refused;
use crate::idempotency::{KeptAnswer, KeyUse, fingerprint};
use crate::operation::Asked;

const REDRIVE: &str = "POST /api/v1/dead-letters/redrive";
const RATE_PER_S_DEFAULT: f64 = 50.0;
/// The slowest redrive still sends a dead letter every hundred seconds.
const RATE_PER_S_MIN: f64 = 0.01;
const RATE_PER_S_MAX: f64 = 10_000.0;

/// Dead letters to redrive: either `ids` or a `group`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(example = json!({"group": "5f2b6d1c9a3e4f70", "rate_per_s": 50}))]
pub struct RedriveLetters {
    /// 1 to 1,000 dead letters that wait, or whose redrive never arrived.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Option<Vec<Uuid>>,
    /// All waiting dead letters of a group, at most 100,000.
    #[schema(max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    group: Option<String>,
    /// Messages per second, 0.01 to 10,000; default: 50.
    #[schema(minimum = 0.01, maximum = 10_000)]
    rate_per_s: Option<f64>,
}

/// Redrive dead letters: send them back to their queues.
#[utoipa::path(
    tag = "dead letters",
    operation_id = "redriveDeadLetters",
    security(("operator" = [])),
    params(IdempotencyKey),
    request_body = RedriveLetters,
    responses(
        (status = 202, description = "The redrive job; poll it until it is done.", body = Redrive),
        (status = 404, description = "`not-found`: Some of the dead letters do not exist, or none waits in the group."),
        (status = 409, description = "`conflict`: Some of the dead letters are in another status; nothing was sent."),
    ),
)]
#[post("/api/v1/dead-letters/redrive")]
pub(super) async fn redrive_dead_letters(
    operator: Operator,
    letters: Data<DeadLetters>,
    key: IdempotencyKey,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted: RedriveLetters = parse_strict(&body.0)?;
    let rate_per_s = wanted.rate_per_s.unwrap_or(RATE_PER_S_DEFAULT);
    if !(RATE_PER_S_MIN..=RATE_PER_S_MAX).contains(&rate_per_s) {
        return Err(invalid("rate_per_s", "must be 0.01 to 10000"));
    }
    let chosen = match (wanted.ids, wanted.group) {
        (Some(ids), None) => {
            bounded(&ids)?;
            Chosen::Ids(ids)
        }
        (None, Some(group)) => {
            check_name("group", Some(&group))?;
            Chosen::Group(group)
        }
        _ => return Err(invalid("ids", "send either ids or a group")),
    };
    let key = key.0.map(|key| KeyUse {
        endpoint: REDRIVE,
        caller: operator.name.clone(),
        key,
        fingerprint: fingerprint(&body.0),
    });
    let detail = serde_json::from_slice(&body.0).unwrap_or(Value::Null);
    let asked = Asked { actor: &operator.name, key, reason: None, detail, trace: trace_of(&request) };
    let mut connection = letters.pool.get().await.map_err(StoreError::from)?;
    let answered = connection
        .transaction(async |connection| {
            if let Some(known) = asked.known_answer(connection).await? {
                return Ok(known);
            }
            if let Chosen::Ids(ids) = &chosen {
                // A dead letter whose redrive never arrived, for example because its queue was deleted, may be sent
                // again.
                all_in(connection, ids, &["waiting", "redriving"]).await?;
            }
            let id = Uuid::now_v7();
            if redrives::order(connection, id, asked.actor, rate_per_s, &chosen).await? == 0 {
                let detail = "No dead letter in this group waits; see GET /api/v1/dead-letters/groups.";
                return Err(Problem::new(ProblemKind::NotFound, detail).into());
            }
            asked.record(connection, "dead_letters.redrive", &id.to_string()).await?;
            let job = redrives::get(connection, id).await?;
            let answer = KeptAnswer { status: 202, body: json!(job).to_string() };
            Ok::<_, Refused>(asked.keep(connection, answer).await?)
        })
        .await?;
    letters.redrive_ordered();
    letters.note_change();
    Ok(answered.respond(&request))
}

/// Get the progress of a redrive.
#[utoipa::path(
    tag = "dead letters",
    operation_id = "getRedrive",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The current state of the job.", body = Redrive),
        (status = 404, description = "`not-found`: There is no such redrive."),
    ),
)]
#[get("/api/v1/dead-letters/redrives/{id}")]
pub(super) async fn get_redrive(
    _: Viewer,
    letters: Data<DeadLetters>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let mut connection = letters.pool.get().await.map_err(StoreError::from)?;
    let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no redrive {id}."));
    let job = redrives::get(&mut connection, *id).await?.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(job))
}
