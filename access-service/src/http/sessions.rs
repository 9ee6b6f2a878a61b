//! `/api/v1/sessions`.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpRequest, get, post};
use chrono::{DateTime, Utc};
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{OptionalJson, PageQuery, Paged, StrictJson};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{By, State, invalid, shown_to};
use crate::commands::end_sessions as command;
use crate::commands::list::{self, SessionRow};

const LIST: &str = "sessions";

/// A session of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Id of the session.
    id: Uuid,
    /// The person who signed in.
    #[schema(example = "kim")]
    person: String,
    /// Address that the person signed in from.
    #[schema(example = "192.0.2.17")]
    source: String,
    created_at: DateTime<Utc>,
    /// Time of its last use, to the minute.
    last_seen_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Time at which it was ended.
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    /// The person who ended it.
    #[schema(required)]
    ended_by: Option<String>,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        let SessionRow { id, person, source, created_at, last_seen_at, expires_at, ended_at, ended_by } = row;
        Self { id, person, source, created_at, last_seen_at, expires_at, ended_at, ended_by }
    }
}

/// Reason for an action.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EndSessionBody {
    /// Reason, for the audit log.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$")]
    reason: String,
}

/// The person whose sessions are ended.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EndSessionsBody {
    #[schema(pattern = "^[^\\u0000]*$")]
    person: String,
    /// Reason, for the audit log.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$")]
    reason: Option<String>,
}

/// Result of ending all sessions of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedSessions {
    /// Number of sessions that were ended.
    #[schema(example = 2)]
    ended: usize,
}

/// List sessions, newest first.
///
/// An operator sees those of everyone, a viewer their own.
#[utoipa::path(
    tag = "sessions",
    operation_id = "listSessions",
    security(("operator" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of sessions.", body = Paged<Session>)),
)]
#[get("/api/v1/sessions")]
pub(super) async fn list_sessions(
    viewer: Viewer,
    query: Query<PageQuery>,
    state: Data<State>,
) -> Result<Json<Paged<Session>>, Problem> {
    let page = query.page(LIST)?;
    let rows = list::sessions(&state.context.pool, shown_to(&viewer), page.after_id()?, page.fetch()).await?;
    let entries = rows.into_iter().map(Session::from).collect();
    Ok(Json(page.answer(LIST, entries, |entry: &Session| entry.id.to_string())))
}

/// End a session; it is refused everywhere within 5 seconds.
///
/// Ending it again changes nothing.
#[utoipa::path(
    tag = "sessions",
    operation_id = "endSession",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The session.")),
    request_body(content = Option<EndSessionBody>, example = json!({"reason": "left open on a shared machine"})),
    responses(
        (status = 200, description = "The session, ended.", body = Session, example = json!({
            "ended_at": "2026-11-22T21:20:00.123456Z", "ended_by": "kim",
        })),
        (status = 404, description = "`not-found`: There is no such session."),
    )
)]
#[post("/api/v1/sessions/{id}/end")]
pub(super) async fn end_session(
    operator: Operator,
    id: Path<Uuid>,
    body: OptionalJson<EndSessionBody>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<Session>, Problem> {
    let by = By::of(&state, &request, operator, body.0.map(|body| body.reason))?;
    let ended = command::end_session(&state.context, *id, &by.asked()).await?;
    let row = ended.ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("There is no session {id}.")))?;
    Ok(Json(row.into()))
}

/// End all sessions of a person; they are refused everywhere within 5 seconds.
#[utoipa::path(
    tag = "sessions",
    operation_id = "endSessions",
    security(("operator" = [])),
    request_body(content = EndSessionsBody, example = json!({"person": "kim", "reason": "kim has left"})),
    responses((status = 200, description = "The number of sessions that were ended.", body = EndedSessions)),
)]
#[post("/api/v1/sessions/end")]
pub(super) async fn end_sessions(
    operator: Operator,
    body: StrictJson<EndSessionsBody>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<EndedSessions>, Problem> {
    let EndSessionsBody { person, reason } = body.0;
    if person.contains('\0') {
        return Err(invalid("person", "must not contain a NUL character"));
    }
    let by = By::of(&state, &request, operator, reason)?;
    let ended = command::end_all(&state.context, &person, &by.asked()).await?;
    Ok(Json(EndedSessions { ended }))
}
