//! `/api/v1/dead-letters`.

mod discard;
mod redrive;

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use jaego_pg::StoreError;
use jaego_postbox::dead_letters::DeadLetters;
use jaego_postbox::dead_letters::letters::{self, DeadLetterGroup, Filter, Letter};
use jaego_web::auth::Viewer;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{PageQuery, Paged, check_word};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::Refused;

const LIST: &str = "dead-letters";
const GROUPS: &str = "dead-letter-groups";
/// Bytes of a body that a list shows.
const BODY_SHOWN_MAX: i64 = 2048;
const IDS_MAX: usize = 1000;
/// Maximum length of the name of a queue or group, in characters.
const NAME_LENGTH_MAX: usize = 255;

jaego_web::words! {
    /// Status of a dead letter.
    DeadLetterStatus: "waiting", "redriving", "processed", "discarded";
    /// Encoding of a body: as its own text, or as base64.
    BodyEncoding: "utf-8", "base64";
}

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_dead_letters)
        .service(list_dead_letter_groups)
        .service(redrive::redrive_dead_letters)
        .service(redrive::get_redrive)
        .service(discard::discard_dead_letters)
        .service(get_dead_letter);
}

/// A dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"headers": {"x-jaego-attempts": 7, "x-jaego-reason": "factory-unreachable"}}))]
pub struct DeadLetter {
    id: Uuid,
    /// The queue that it came from, and that a redrive sends it back to.
    #[schema(example = "production.requests")]
    queue: String,
    #[schema(value_type = DeadLetterStatus)]
    status: String,
    /// Kind of failure: `undecodable`, `unknown-type`, `handler-failed`, `factory-unreachable`, ...
    #[schema(example = "factory-unreachable")]
    reason: String,
    /// The last error.
    #[schema(example = "the factory answered 503")]
    error: String,
    /// Dead letters with the same cause have the same group.
    #[schema(example = "5f2b6d1c9a3e4f70")]
    group: String,
    /// Number of attempts, redrives included.
    #[schema(example = 7)]
    attempts: i64,
    #[schema(example = "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3")]
    message_id: String,
    #[schema(example = "application/cloudevents+json")]
    content_type: String,
    #[schema(value_type = Object)]
    headers: Value,
    /// The body as received; in a list, its first 2 KiB.
    #[schema(example = "{\"specversion\":\"1.0\"}")]
    body: String,
    #[schema(value_type = BodyEncoding)]
    body_encoding: &'static str,
    /// Size of the whole body, bytes.
    #[schema(example = 412)]
    body_bytes: i64,
    #[schema(required, example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: Option<String>,
    /// HTTP status of the factory's last response.
    #[schema(required, example = 503)]
    http_status: Option<i16>,
    /// The factory that was called.
    #[schema(required, example = "FF-500293")]
    factory_id: Option<String>,
    first_failed_at: DateTime<Utc>,
    last_failed_at: DateTime<Utc>,
}

impl From<Letter> for DeadLetter {
    fn from(letter: Letter) -> Self {
        let is_whole = i64::try_from(letter.body.len()).is_ok_and(|bytes| bytes == letter.body_bytes);
        let (body, body_encoding) = match String::from_utf8(letter.body) {
            Ok(text) => (text, "utf-8"),
            // A text that was truncated within a character is still a text.
            Err(error) if !is_whole && error.utf8_error().error_len().is_none() => {
                (String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned(), "utf-8")
            }
            Err(error) => (STANDARD.encode(error.as_bytes()), "base64"),
        };
        Self {
            id: letter.id,
            queue: letter.queue,
            status: letter.status,
            reason: letter.reason,
            error: letter.error,
            group: letter.group,
            attempts: letter.attempts,
            message_id: letter.message_id,
            content_type: letter.content_type,
            headers: letter.headers,
            body,
            body_encoding,
            body_bytes: letter.body_bytes,
            trace_id: letter.trace_id,
            http_status: letter.http_status,
            factory_id: letter.factory_id,
            first_failed_at: letter.first_failed_at,
            last_failed_at: letter.last_failed_at,
        }
    }
}

/// Filter of the list of dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeadLetterQuery {
    /// Only dead letters of this queue.
    #[param(max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "production.requests")]
    queue: Option<String>,
    /// Only dead letters of this group.
    #[param(max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "5f2b6d1c9a3e4f70")]
    group: Option<String>,
    /// Only dead letters in this status; default: `waiting`.
    #[param(value_type = Option<DeadLetterStatus>)]
    status: Option<String>,
}

/// List dead letters, newest first.
#[utoipa::path(
    tag = "dead letters",
    operation_id = "listDeadLetters",
    security(("operator" = [])),
    params(DeadLetterQuery, PageQuery),
    responses(
        (status = 200, description = "One page.", body = Paged<DeadLetter>),
    ),
)]
#[get("/api/v1/dead-letters")]
async fn list_dead_letters(
    _: Viewer,
    letters: Data<DeadLetters>,
    filter: Query<DeadLetterQuery>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page.page(LIST)?;
    let status = filter.status.as_deref().unwrap_or("waiting");
    check_word("status", Some(status), DeadLetterStatus::ALL)?;
    let (queue, group) = (filter.queue.as_deref(), filter.group.as_deref());
    check_name("queue", queue)?;
    check_name("group", group)?;
    let filter = Filter { status, queue, group, older_than: page.after_id()? };
    let mut connection = letters.pool.get().await.map_err(StoreError::from)?;
    let found = letters::list(&mut connection, &filter, BODY_SHOWN_MAX, page.fetch()).await?;
    let items = found.into_iter().map(DeadLetter::from).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |letter: &DeadLetter| letter.id.to_string())))
}

/// List groups of dead letters that wait or are being redriven, by cause.
#[utoipa::path(
    tag = "dead letters",
    operation_id = "listDeadLetterGroups",
    security(("operator" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "One page.", body = Paged<DeadLetterGroup>),
    ),
)]
#[get("/api/v1/dead-letters/groups")]
async fn list_dead_letter_groups(
    _: Viewer,
    letters: Data<DeadLetters>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page.page(GROUPS)?;
    let mut connection = letters.pool.get().await.map_err(StoreError::from)?;
    let groups = letters::groups(&mut connection, page.after.as_deref(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.answer(GROUPS, groups, |group: &DeadLetterGroup| group.group.clone())))
}

/// Get a dead letter with its whole body.
#[utoipa::path(
    tag = "dead letters",
    operation_id = "getDeadLetter",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The dead letter's id.")),
    responses(
        (status = 200, description = "The dead letter.", body = DeadLetter),
        (status = 404, description = "`not-found`: There is no such dead letter."),
    ),
)]
#[get("/api/v1/dead-letters/{id}")]
async fn get_dead_letter(_: Viewer, letters: Data<DeadLetters>, id: Path<Uuid>) -> Result<HttpResponse, Problem> {
    let mut connection = letters.pool.get().await.map_err(StoreError::from)?;
    let found = letters::get(&mut connection, &[*id]).await?.pop();
    let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no dead letter {id}."));
    Ok(HttpResponse::Ok().json(DeadLetter::from(found.ok_or_else(unknown)?)))
}

/// Returns these dead letters if all of them are in one of `statuses`; otherwise a problem that names the others.
async fn all_in(connection: &mut AsyncPgConnection, ids: &[Uuid], statuses: &[&str]) -> Result<Vec<Letter>, Refused> {
    let found = letters::get(connection, ids).await?;
    let unknown: Vec<&Uuid> = ids.iter().filter(|id| found.iter().all(|letter| letter.id != **id)).collect();
    if !unknown.is_empty() {
        let problem =
            Problem::new(ProblemKind::NotFound, "Some of these dead letters do not exist. Nothing was changed.");
        return Err(problem.with("ids", unknown).into());
    }
    let other = found.iter().filter(|letter| !statuses.contains(&letter.status.as_str()));
    let other: Vec<Value> = other.map(|letter| json!({"id": letter.id, "status": letter.status})).collect();
    if !other.is_empty() {
        let detail = "Some of these dead letters are in another status; leave them out. Nothing was changed.";
        return Err(Problem::new(ProblemKind::Conflict, detail).with("letters", other).into());
    }
    Ok(found)
}

fn bounded(ids: &[Uuid]) -> Result<(), Problem> {
    if (1..=IDS_MAX).contains(&ids.len()) { Ok(()) } else { Err(invalid("ids", "must be 1 to 1000 ids")) }
}

/// Refuses a name that no queue or group can have, such as one with a NUL, which the database does not take.
fn check_name(field: &str, name: Option<&str>) -> Result<(), Problem> {
    let can_be = |name: &str| name.chars().count() <= NAME_LENGTH_MAX && !name.chars().any(char::is_control);
    let must = "must have at most 255 characters, and no control characters";
    if name.is_none_or(can_be) { Ok(()) } else { Err(invalid(field, must)) }
}

fn invalid(field: &str, must: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("{field}: {must}.")).with("field", field)
}
