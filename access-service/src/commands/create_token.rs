//! A person makes a personal access token.

use diesel_async::AsyncConnection;
use jaego_contracts::issued::{Issued, Kind};
use jaego_pg::StoreError;
use jaego_service::Refused;
use jaego_web::auth::{Credential, Role};
use jaego_web::problem::{Problem, ProblemKind};
use serde_json::json;

use super::{Asked, Context};
use crate::store;
use crate::store::tokens::{NewToken, ONE_NAME, TokenRow};

/// Properties of the new token.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) days: i32,
}

/// Makes a token for the person who asks, and returns it with its row. The token is shown only now.
pub(crate) async fn create_token(
    context: &Context,
    wanted: Wanted<'_>,
    asked: &Asked<'_>,
) -> Result<(String, TokenRow), Problem> {
    if let Credential::Token(_) = asked.credential {
        // Otherwise a token that was stolen could be kept alive by new ones after its revocation.
        let detail = "A personal access token cannot make another one; sign in.";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let text = Issued::text(Kind::Token, rand::random());
    let issued =
        Issued::of_text(&text).ok_or_else(|| Problem::internal("a token that was just made is not recognized"))?;
    let limit = context.tokens.per_person_max;
    let Wanted { name, role, days } = wanted;
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let made = connection.transaction(async |connection| {
        store::lock_person(connection, asked.actor).await?;
        if store::tokens::count(connection, asked.actor).await? >= limit {
            let detail = format!("There are already {limit} tokens of {}; revoke one first.", asked.actor);
            return Err(Refused::from(Problem::new(ProblemKind::Conflict, detail)));
        }
        let person_id = match asked.credential {
            Credential::Session(id) => store::sessions::person_of(connection, id).await?,
            Credential::Configured | Credential::Token(_) => None,
        };
        let new = NewToken { digest: &issued.digest, person: asked.actor, name, role: role.name(), days, person_id };
        let row = store::tokens::insert(connection, &new).await.map_err(|error| {
            if error.violates(ONE_NAME) {
                let detail = format!("There is already a token with the name {name:?}; revoke it first.");
                Refused::from(Problem::new(ProblemKind::Conflict, detail))
            } else {
                error.into()
            }
        })?;
        let detail = json!({"name": name, "role": role, "expires_at": row.expires_at});
        asked.record(connection, "token.create", &row.id.to_string(), detail).await?;
        Ok(row)
    });
    Ok((text, made.await?))
}
