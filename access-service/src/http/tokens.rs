//! `/api/v1/tokens`.

use actix_web::http::header;
use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use jaego_web::auth::{Operator, Role, Viewer};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{OptionalJson, PageQuery, Paged, StrictJson};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{By, State, invalid, shown_to};
use crate::commands::create_token::{self as command, Wanted};
use crate::commands::list::{self, TokenRow};
use crate::commands::{check_name, revoke_token as revoke};

const LIST: &str = "tokens";

/// A personal access token, without the token itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccessToken {
    /// Id of the token.
    id: Uuid,
    /// Its holder.
    #[schema(example = "kim")]
    person: String,
    /// The name that its holder gave it.
    #[schema(example = "nightly stock report")]
    name: String,
    /// The role that it was made with. It has no more rights than its holder.
    #[schema(value_type = Role, example = "viewer")]
    role: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Time of its last use, to the minute.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
    /// Time at which it was revoked.
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
    /// The operator who revoked it.
    #[schema(required)]
    revoked_by: Option<String>,
}

impl From<TokenRow> for AccessToken {
    fn from(row: TokenRow) -> Self {
        let TokenRow { id, person, name, role, created_at, expires_at, last_used_at, revoked_at, revoked_by } = row;
        Self { id, person, name, role, created_at, expires_at, last_used_at, revoked_at, revoked_by }
    }
}

/// A personal access token that has just been made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewAccessToken {
    /// The token itself, which is shown only now.
    #[schema(example = "jaego_pat_c4n0tB3aT0kenB3cause1tIsAnExampleOnlyAAAAAA")]
    token: String,
    #[serde(flatten)]
    entry: AccessToken,
}

/// Properties of a new token.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CreateTokenBody {
    /// A name by which its holder knows it; one token at a time has it.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    name: String,
    role: Role,
    /// Lifetime in days; the setting tokens.lifetime_days_max is the maximum.
    #[schema(minimum = 1)]
    expires_in_days: i32,
}

/// Reason for an action.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RevokeTokenBody {
    /// Reason, for the audit log.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$")]
    reason: String,
}

/// List personal access tokens, newest first.
///
/// An operator sees those of everyone, a viewer their own.
#[utoipa::path(
    tag = "tokens",
    operation_id = "listTokens",
    security(("operator" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of tokens.", body = Paged<AccessToken>)),
)]
#[get("/api/v1/tokens")]
pub(super) async fn list_tokens(
    viewer: Viewer,
    query: Query<PageQuery>,
    state: Data<State>,
) -> Result<Json<Paged<AccessToken>>, Problem> {
    let page = query.page(LIST)?;
    let rows = list::tokens(&state.context.pool, shown_to(&viewer), page.after_id()?, page.fetch()).await?;
    let entries = rows.into_iter().map(AccessToken::from).collect();
    Ok(Json(page.answer(LIST, entries, |entry: &AccessToken| entry.id.to_string())))
}

/// Make a personal access token for oneself.
///
/// It has at most the role of its holder, also when that changes later. A personal access token cannot make another
/// one. The answer is not kept under an `Idempotency-Key`, because it contains the token; the name prevents a second
/// one.
#[utoipa::path(
    tag = "tokens",
    operation_id = "createToken",
    security(("operator" = [])),
    request_body(content = CreateTokenBody, example = json!({"name": "nightly stock report", "role": "viewer", "expires_in_days": 90})),
    responses(
        (status = 201, description = "The token, which is shown only now.", body = NewAccessToken),
        (status = 409, description = "`conflict`: There is already a token with this name, or there are too many."),
    )
)]
#[post("/api/v1/tokens")]
pub(super) async fn create_token(
    operator: Operator,
    body: StrictJson<CreateTokenBody>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let CreateTokenBody { name, role, expires_in_days: days } = body.0;
    check_name(&name).map_err(|must| invalid("name", must))?;
    let days_max = state.context.tokens.lifetime_days_max;
    if !(1..=days_max).contains(&days) {
        return Err(invalid("expires_in_days", &format!("must be 1 to {days_max}")));
    }
    let by = By::of(&state, &request, operator, None)?;
    let wanted = Wanted { name: &name, role, days };
    let (token, row) = command::create_token(&state.context, wanted, &by.asked()).await?;
    let answer = NewAccessToken { token, entry: row.into() };
    Ok(HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(answer))
}

/// Revoke a personal access token; it is refused everywhere within 5 seconds.
///
/// Revoking it again changes nothing.
#[utoipa::path(
    tag = "tokens",
    operation_id = "revokeToken",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The token.")),
    request_body(content = Option<RevokeTokenBody>, example = json!({"reason": "the laptop was lost"})),
    responses(
        (status = 200, description = "The token, revoked.", body = AccessToken, example = json!({
            "revoked_at": "2026-11-22T21:20:00.123456Z", "revoked_by": "kim",
        })),
        (status = 404, description = "`not-found`: There is no such token."),
    )
)]
#[post("/api/v1/tokens/{id}/revoke")]
pub(super) async fn revoke_token(
    operator: Operator,
    id: Path<Uuid>,
    body: OptionalJson<RevokeTokenBody>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<AccessToken>, Problem> {
    let by = By::of(&state, &request, operator, body.0.map(|body| body.reason))?;
    let revoked = revoke::revoke_token(&state.context, *id, &by.asked()).await?;
    let row = revoked.ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("There is no token {id}.")))?;
    Ok(Json(row.into()))
}
